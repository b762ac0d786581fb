/** A realm in memory under full control of a test: one command stream, one log, controllers and workers that may be late or fail. */
import assert from 'node:assert/strict';
import { pino } from 'pino';
import { bridgeDriver } from '../../drivers/bridge.ts';
import { drivers as builtInDrivers } from '../../drivers/registry.ts';
import { remoteDriver } from '../../drivers/remote.ts';
import type { DriverRules } from '../../events/driver-rules.ts';
import { DEFAULT_REALM_POOLS } from '../../events/ipam.ts';
import { subjects } from '../../events/names.ts';
import type { BoundaryState } from '../../events/state.ts';
import {
  commandDue,
  type Due,
  dueId,
  endpointDue,
  leaseDue,
  networkDue,
  sandboxDue,
} from '../../services/collector/due.ts';
import { admissionOf, commitOf, fenceOf } from '../../services/controller/commits.ts';
import { type Intake, takeIn } from '../../services/controller/intake.ts';
import { type Batch, decideRound, inLogOrder, type Round } from '../../services/controller/round.ts';
import { boundaryOf, emptyRealm } from '../../services/lib/realm.ts';
import { type Append, batchHeaders, type Message } from '../../services/lib/stream.ts';
import { able } from '../support/realm-stage.ts';
import { startMs } from '../support/world.ts';
import { Checker, dump } from './model-checks.ts';
import { Follower, type Guarded, type Lag, ModelWorker, messageOf, type Place } from './model-worker.ts';

/** A bridge that takes three endpoints, so that networks are full soon. */
const smallBridge: DriverRules = { ...bridgeDriver, endpointsMax: 3 };
/** One whose networks are led out through another, as overlays are. */
const deepDriver: DriverRules = {
  ...smallBridge,
  name: 'deep',
  defaultRoute: () => 'outlet',
  canPublish: () => false,
  checkEndpoint: () => null,
};
const drivers: ReadonlyMap<string, DriverRules> = new Map([
  ...builtInDrivers,
  ['bridge', smallBridge],
  ['deep', deepDriver],
]);

const logger = pino({ level: 'silent' });
const quarantineMs = 60_000;
export const confirmMs = 5_000;

/**
 * What becomes of a commit on its way: `lost`: it is never stored; `unacknowledged`: it is, and who sent it does not learn so; `late`: it is
 * when it arrives, if its guard still holds; `overtaken`: the other controllers decide before it is stored.
 */
export type Fate = 'appended' | 'lost' | 'unacknowledged' | 'late' | 'overtaken';

/** Any of a list, by a number. */
export const at = <T>(list: readonly T[], index: number): T | undefined => list[index % Math.max(1, list.length)];

const guarded = ({ subject, body, headers = {}, expectedLast = 0 }: Append): Guarded => ({
  expectedLast,
  stored: { subject, body, headers },
});

const commandsIn = ({ decided, repeated }: Batch): readonly Intake[] => [
  ...decided.map(({ intake }) => intake),
  ...repeated,
];

class ModelController extends Follower<Model> {
  /** Next command to be read. */
  #next = 1;
  #waiting: readonly Intake[] = [];
  #from = 1;

  /** Dies and comes back: all that it knew is what the log says. */
  restart(): void {
    this.realm = emptyRealm();
    this.fold(0);
    this.#next = this.realm.roundFrom;
    this.#waiting = [];
  }

  get isIdle(): boolean {
    return this.#waiting.length === 0 && this.#next > this.model.commands.length;
  }

  /** One round over what waits, or over the next commands. */
  round(take: number, lag: Lag, fates: readonly Fate[]): void {
    // Which hosts there are is never read late: two that differ in that may decide one command on two subjects.
    this.fold(lag, this.model.workers.length);
    if (this.#waiting.length === 0) {
      const messages = this.model.commands.slice(this.#next - 1, this.#next - 1 + take);
      this.#from = this.#next;
      this.#next += messages.length;
      this.#waiting = messages.map(takeIn);
    }
    let sent = 0;
    const next = (): Fate => fates[sent++ % Math.max(1, fates.length)] ?? 'appended';
    if (this.#waiting.length === 0 || !this.#whole(next)) return;
    const before = dump(this.realm);
    const round = decideRound(this.realm, this.#waiting, {
      realmName: 'model',
      nowMs: this.model.nowMs,
      drivers,
      plugin: remoteDriver,
      quarantineMs,
      realmPools: DEFAULT_REALM_POOLS,
      realmUla: 'fdaa:bbbb:cccc::/48',
      actorProof: 'claim',
      newId: () => this.model.newId(),
      log: logger,
    });
    assert.deepEqual(dump(this.realm), before, 'a round leaves the state as it was');
    const undone = [...round.rest, ...this.#commit(round, next)];
    this.#waiting = undone.sort((a, b) => a.sequence - b.sequence);
  }

  /** As a controller does it: what was appended as one is read as one, and what was admitted is there or can come no more. */
  #whole(next: () => Fate): boolean {
    while (this.realm.isTorn) this.fold(this.model.log.length, this.realm.position + 1);
    for (const subject of [...this.realm.awaited]) {
      const boundary = this.realm.boundaries.get(subject) ?? assert.fail(`${subject} is not known`);
      this.#append([fenceOf(boundary, this.model.newId())], next());
    }
    return !this.realm.isTorn && this.realm.awaited.size === 0;
  }

  /** @returns whether it is known to be stored; if not, the log is read anew */
  #append(commits: readonly Append[], fate: Fate): boolean {
    if (fate === 'late') this.model.late.push(commits.map(guarded));
    if (fate === 'overtaken') this.model.overtake(this);
    const position = fate === 'lost' || fate === 'late' ? null : this.model.append(commits.map(guarded));
    const isKnown = position !== null && fate !== 'unacknowledged';
    this.fold(isKnown ? this.model.log.length : 0, position ?? 0);
    return isKnown;
  }

  /** @returns the commands that must be decided again */
  #commit({ batches, bond }: Round, next: () => Fate): readonly Intake[] {
    const written = inLogOrder(batches);
    if (written.length === 0) return [];
    if (bond === 'joint') {
      const through = Math.max(...written.map(({ decided }) => decided.at(-1)?.intake.sequence ?? 0));
      const commits = written.map((batch) => commitOf(batch, this.#from, through));
      return this.#append(commits, next()) ? [] : written.flatMap(commandsIn);
    }
    const append = (batch: Batch): readonly Intake[] => {
      const commit = commitOf(batch, this.#from, batch.decided.at(-1)?.intake.sequence ?? 0);
      return this.#append([commit], next()) ? [] : commandsIn(batch);
    };
    if (bond === 'apart') return written.flatMap(append);
    const hosts = written.filter(({ boundary }) => boundary.host !== null);
    const lost = written
      .filter(({ boundary }) => boundary.host === null)
      .filter((batch) => !this.#append([admissionOf(batch, this.#from, hosts)], next()));
    return lost.length > 0 ? [...lost, ...hosts].flatMap(commandsIn) : hosts.flatMap(append);
  }
}

export class Model implements Place {
  readonly commands: Message[] = [];
  readonly log: Message[] = [];
  /** Commits that are on their way still. */
  readonly late: (readonly Guarded[])[] = [];
  readonly checker = new Checker();
  readonly controllers: readonly ModelController[];
  readonly workers: readonly ModelWorker[];
  nowMs = startMs;
  #serial = 0;
  readonly #suspectedMs = new Map<string, number>();
  readonly #mended = new Set<string>();

  /** @param reach whether the hosts reach each other, so that networks can be on all of them */
  constructor(controllers: number, hosts: readonly string[], reach: 'apart' | 'together' = 'apart') {
    this.controllers = Array.from({ length: controllers }, () => new ModelController(this));
    this.workers = hosts.map((host) => new ModelWorker(this, host, reach === 'together' ? able(host) : {}));
    for (const worker of this.workers) worker.introduce();
  }

  newId(): string {
    this.#serial += 1;
    return this.#serial.toString(36).padStart(12, '0');
  }

  send(subject: string, body: string | Uint8Array): void {
    this.commands.push(messageOf({ subject, body, headers: {} }, this.commands.length + 1, this.nowMs));
  }

  /** All or nothing. @returns the position of the last, or null when a guard does not hold */
  append(commits: readonly Guarded[]): number | null {
    const lastOn = (subject: string) => this.log.findLast((message) => message.subject === subject)?.position ?? 0;
    if (commits.some(({ stored, expectedLast }) => lastOn(stored.subject) !== expectedLast)) return null;
    const together = commits.length > 1 ? { [batchHeaders.id]: this.newId() } : {};
    for (const { stored } of commits) {
      const isLast = commits.length > 1 && stored === commits.at(-1)?.stored;
      const headers = { ...stored.headers, ...together, ...(isLast ? { [batchHeaders.commit]: '1' } : {}) };
      const message = messageOf({ ...stored, headers }, this.log.length + 1, this.nowMs);
      this.log.push(message);
      this.checker.take(message);
    }
    for (const { state } of this.checker.realm.boundaries.values()) {
      for (const [id, row] of state.endpoints) {
        if (!row.suspected) this.#suspectedMs.delete(id);
        else if (!this.#suspectedMs.has(id)) this.#suspectedMs.set(id, this.nowMs);
      }
    }
    return this.log.length;
  }

  /** The commit that has been on its way for the longest time is stored, or its guard does not hold any more. */
  arrive(): void {
    const commits = this.late.shift();
    if (commits) this.append(commits);
  }

  /** All controllers but one decide. */
  overtake(one: ModelController): void {
    for (const other of this.controllers) if (other !== one) other.round(5, 0, []);
  }

  stateOf(host: string): BoundaryState {
    return boundaryOf(this.checker.realm, host).state;
  }

  /** What collectors ask for at this moment. */
  collect(): void {
    for (const worker of this.workers) {
      const state = this.stateOf(worker.host);
      const dues: (Due | null)[] = [
        ...[...state.endpoints.keys()].map((id) => endpointDue(state, id, this.#suspectedMs.get(id), confirmMs)),
        ...[...state.progress.keys()].map((key) => commandDue(state, key)),
        ...[...state.sandboxes.keys()].map((id) => sandboxDue(state, id)),
        ...[...state.sandboxes.keys()].map((id) => leaseDue(state, id, confirmMs)),
        ...[...state.networks.keys()].map((id) => networkDue(state, id)),
      ];
      for (const due of dues) {
        if (due === null || due.dueMs > this.nowMs) continue;
        const body = JSON.stringify({ id: dueId(due, 0, this.nowMs), ...due.command });
        this.send(subjects.command('collector', worker.host), body);
      }
    }
  }

  /** What of sandboxes is to be mended, by the id of the command that asks for it. */
  astray(): ReadonlyMap<string, Due> {
    const dues = this.workers.flatMap(({ host }) => {
      const state = this.stateOf(host);
      return [...state.sandboxes.keys()].flatMap((id) => sandboxDue(state, id) ?? []);
    });
    return new Map(dues.map((due) => [dueId(due, 0, this.nowMs), due]));
  }

  /** Asks for all of it that was not asked for before. */
  #mend(): boolean {
    const fresh = [...this.astray()].filter(([id]) => !this.#mended.has(id));
    for (const [id, { command }] of fresh) {
      this.#mended.add(id);
      this.send(subjects.command('collector', null), JSON.stringify({ id, ...command }));
    }
    return fresh.length > 0;
  }

  /** Lets the controllers decide all that was sent. */
  decide(): void {
    for (let turn = 0; !this.controllers.every(({ isIdle }) => isIdle); turn++) {
      assert.ok(turn < 1_000, 'what was sent is never decided');
      for (const controller of this.controllers) controller.round(50, 0, []);
    }
  }

  /** Lets everything come to rest: all commands decided, all intents reported, overdue commands ended. */
  settle(): void {
    while (this.late.length > 0) this.arrive();
    for (let turn = 0; turn < 200; turn++) {
      this.decide();
      const worked = this.workers.map((worker) => worker.work(50, 0, []));
      if (worked.includes(true) || !this.controllers.every(({ isIdle }) => isIdle) || this.#mend()) continue;
      for (const worker of this.workers) worker.census();
      return;
    }
    assert.fail('it does not come to rest');
  }
}
