/** What is told of drifts: each once, and who fights us in sum. Keeps the memory of what was told. */
import type { Plan, PlanResult } from '../../drivers/port.ts';
import type { DriftChange, DriftThing, FactOf, Fault } from '../../events/events.ts';
import type { BoundaryState } from '../../events/state.ts';
import type { Clock } from '../lib/clock.ts';
import type { Finding } from './drift-finding.ts';
import { contestedTimes, type Drifted, type DriftMemory, pauseOf, signatureOf } from './drift-memory.ts';
import { thingKey, thingOf } from './drift-scope.ts';
import { kernelFault, type Report } from './reports.ts';

export type FoundBy = FactOf<'DriftDetected'>['data']['by'];

export interface DriftReportsOptions {
  readonly host: string;
  readonly clock: Clock;
  readonly memory: DriftMemory;
  /** Drifts of one thing that follow each other within this time are a row. */
  readonly quietMs: number;
  readonly report: (reports: readonly Report[]) => void;
}

/** Changes of one thing that are told one by one. */
const changesMax = 20;

const keysOf = (signature: string): readonly string[] => (signature === '' ? [] : signature.split('\n'));

/** Whether a thing is there still. */
const isThere = (state: BoundaryState, of: DriftThing): boolean => {
  if (of.kind === 'host') return true;
  if (of.kind === 'network') return thingOf(state, { entity: 'network', id: of.networkId ?? '' }) !== null;
  if (of.kind === 'endpoint') return state.endpoints.get(of.endpointId ?? '')?.status === 'joined';
  return state.sandboxes.has(of.sandbox?.incarnation ?? '');
};

export class DriftReports {
  readonly #options: DriftReportsOptions;

  constructor(options: DriftReportsOptions) {
    this.#options = options;
  }

  isOpen(key: string): boolean {
    return this.#options.memory.get(key)?.isOpen ?? false;
  }

  /** Whether its next repair is due: who is undone again and again takes pauses. */
  mayRepair({ key }: Finding): boolean {
    return this.waitMs({ key }) <= 0;
  }

  waitMs({ key }: Pick<Finding, 'key'>): number {
    return (this.#options.memory.get(key)?.dueMs ?? 0) - this.#now;
  }

  detected(finding: Finding, by: FoundBy): void {
    const thing = this.#options.memory.take(finding.key, finding.of);
    if (this.#isQuiet(thing) && !thing.isOpen) thing.times = 0;
    thing.times += 1;
    if (!thing.isOpen || !this.#isTold(thing, finding)) this.#tell(thing, finding, by);
  }

  /** It stays as it was found. */
  left(finding: Finding, by: FoundBy): void {
    const thing = this.#options.memory.take(finding.key, finding.of);
    if (thing.isOpen && thing.reason === 'policy' && this.#isTold(thing, finding)) return;
    thing.times += 1;
    this.#tell(thing, finding, by);
    this.#leave(thing, 'policy', null, []);
  }

  /** Whether it is time to say that somebody is at work against us. */
  isContested({ key }: Finding): boolean {
    const thing = this.#options.memory.get(key);
    return thing?.isOpen === true && thing.times >= contestedTimes && thing.reason !== 'contested';
  }

  /** @param others who may be behind it if it is contested */
  repaired(
    { key, operations }: Finding,
    plans: readonly Plan[],
    results: readonly PlanResult[],
    others: readonly string[] = [],
  ): void {
    const thing = this.#options.memory.get(key);
    if (!thing) return;
    const own = new Set(operations);
    const failed = results.find((result, at) => !result.ok && plans[at]?.operations.some((each) => own.has(each)));
    thing.repairedMs = this.#now;
    thing.dueMs = this.#now + pauseOf(thing.times);
    if (failed?.ok === false) {
      if (thing.reason !== 'fault') this.#leave(thing, 'fault', kernelFault(failed.fault), []);
    } else if (thing.times >= contestedTimes) {
      if (thing.reason !== 'contested') this.#leave(thing, 'contested', null, others);
    } else this.#close(thing, 'DriftRepaired');
  }

  /**
   * What was looked at and is as it should be.
   * @param settled keys of objects that are wanted and were read
   * @returns those of drifts that are over with it
   */
  right(settled: ReadonlySet<string>, found: readonly Pick<Finding, 'key'>[]): readonly string[] {
    const over: string[] = [];
    const differ = new Set(found.map(({ key }) => key));
    for (const [key, thing] of this.#options.memory.entries()) {
      if (!thing.isOpen || thing.reason === 'contested' || differ.has(key)) continue;
      const keys = keysOf(thing.signature);
      if (keys.length === 0 || !keys.every((object) => settled.has(object))) continue;
      this.#close(thing, 'right');
      over.push(...keys);
    }
    return over;
  }

  /** A setting of the host, which is followed; or our table, which is made again where it is found. */
  host(changes: readonly DriftChange[], by: FoundBy): void {
    const of: DriftThing = { kind: 'host', name: this.#options.host, networkId: null, endpointId: null, sandbox: null };
    const finding: Finding = { key: thingKey(of), of, policy: 'repair', operations: [], changes };
    this.detected(finding, by);
    this.repaired(finding, [], []);
  }

  suspectHost(who: string): void {
    const of: DriftThing = { kind: 'host', name: this.#options.host, networkId: null, endpointId: null, sandbox: null };
    this.#options.memory.suspect(thingKey(of), of, who);
  }

  /** Drifts of what is not there any more are over; so are those of who has left off. */
  tidy(state: BoundaryState): void {
    const { memory } = this.#options;
    for (const [, thing] of memory.entries()) {
      if (!thing.isOpen) continue;
      if (!isThere(state, thing.of)) this.#close(thing, 'gone');
      else if (thing.reason === 'contested' && this.#isQuiet(thing)) this.#close(thing, 'DriftRepaired');
    }
    memory.tidy(this.#now, this.#options.quietMs);
  }

  #isQuiet({ repairedMs }: Drifted): boolean {
    return this.#now - repairedMs > this.#options.quietMs;
  }

  get #now(): number {
    return this.#options.clock.monotonicMs();
  }

  #isTold({ signature }: Drifted, { changes }: Finding): boolean {
    const known = new Set(keysOf(signature));
    return changes.every(({ object }) => known.has(object));
  }

  #tell(thing: Drifted, { changes, policy }: Finding, by: FoundBy): void {
    const { clock, host, report } = this.#options;
    if (!thing.isOpen) Object.assign(thing, { drift: clock.randomId(12), signature: '', reason: null });
    thing.isOpen = true;
    thing.signature = signatureOf([...new Set([...keysOf(thing.signature), ...changes.map(({ object }) => object)])]);
    const data: FactOf<'DriftDetected'>['data'] = {
      ...{ drift: thing.drift, host, of: thing.of },
      changes: changes.slice(0, changesMax).map((change) => ({ ...change })),
      more: Math.max(0, changes.length - changesMax),
      ...{ by, policy, suspects: [...thing.suspects], times: thing.times },
    };
    report([{ fact: { type: 'DriftDetected', data }, intent: null }]);
  }

  #leave(thing: Drifted, reason: NonNullable<Drifted['reason']>, fault: Fault | null, others: readonly string[]): void {
    const { host, report } = this.#options;
    thing.reason = reason;
    const suspects = [...new Set([...thing.suspects, ...others])];
    const data = { drift: thing.drift, host, of: thing.of, reason, fault, suspects, times: thing.times };
    report([{ fact: { type: 'DriftLeft', data }, intent: null }]);
  }

  #close(thing: Drifted, how: 'DriftRepaired' | 'right' | 'gone'): void {
    if (!thing.isOpen) return;
    const { host, report } = this.#options;
    const about = { drift: thing.drift, host, of: thing.of };
    Object.assign(thing, { isOpen: false, reason: null });
    const fact =
      how === 'DriftRepaired'
        ? ({ type: how, data: { ...about, times: thing.times } } as const)
        : ({ type: 'DriftEnded', data: { ...about, reason: how } } as const);
    report([{ fact, intent: null }]);
  }
}
