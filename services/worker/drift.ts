/**
 * Finds what others have changed of what is settled. Where to look comes from what the kernel tells of, and from looks at everything in slices.
 * A notification is never believed: what is told of was looked at, and is wanted before the look and after it, with nothing of ours under
 * way. What is done about it: drift-remedy.ts.
 */
import type { Logger } from 'pino';
import { type KernelObject, objectKey } from '../../drivers/objects.ts';
import type { Census, Kernel, Notice, Operation, Plan, PlanResult } from '../../drivers/port.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import { Timers } from '../lib/timers.ts';
import { corrections, type Finding, objectsOf } from './drift-finding.ts';
import { DriftMemory } from './drift-memory.ts';
import { DriftRemedy } from './drift-remedy.ts';
import { DriftReports } from './drift-reports.ts';
import {
  busyThings,
  everything,
  extentOf,
  noScope,
  policyOf,
  type Scope,
  scopeAround,
  thingKey,
  thingOf,
  wantedIn,
} from './drift-scope.ts';
import { type DriftSift, type Sifted, sift } from './drift-sift.ts';
import type { Scene } from './inmates.ts';
import type { Present } from './present.ts';
import type { Report } from './reports.ts';

export interface DriftOptions {
  readonly host: string;
  readonly scene: () => Scene;
  readonly kernel: Pick<Kernel, 'census' | 'watch' | 'listeners'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether the host is as the worker before this one had it. */
  readonly isSameBoot: () => boolean;
  /** Between looks at everything. */
  readonly everyMs: number;
  /** Drifts of one thing that follow each other within this time are a row. */
  readonly quietMs: number;
  readonly report: (reports: readonly Report[]) => void;
  /** Applies plans at once, behind what was handed in before; what is planned from here on finds them done. */
  readonly mend: (plans: readonly Plan[]) => Promise<readonly PlanResult[]>;
  /** Lets go of namespaces that operations make or remove. */
  readonly release: (operations: readonly Operation[]) => Promise<void>;
  readonly onFault: (error: unknown) => void;
}

/** What comes together is looked at together. */
const gatherMs = 20;
/** Until something that is under way is looked at again. */
const busyMs = 100;
const busyTriesMax = 100;
/** The kernel's thread is asked for no more at once: some 0.3 ms each. */
const sliceSandboxes = 32;
const sliceNetworks = 64;
/** A look at everything is never more than a fifth of the time of that thread. */
const shareOfTime = 4;

const slices = function* (ids: Iterable<string>, size: number): Generator<readonly string[]> {
  const all = [...ids];
  for (let at = 0; at < all.length; at += size) yield all.slice(at, at + size);
};

export class Drift implements DriftSift {
  readonly #options: DriftOptions;
  readonly memory = new DriftMemory();
  readonly #reports: DriftReports;
  readonly #remedy: DriftRemedy;
  readonly #timers: Timers;
  /** One look, or one repair of everything, at a time. */
  #turn: Promise<unknown> = Promise.resolve();
  #suspects = noScope();
  #tries = new Map<string, number>();
  #isGathering = false;
  /** A look at everything that was asked for. */
  #passing: Promise<void> = Promise.resolve();
  #isAsked = false;
  #hasBegun = false;
  #isClosed = false;

  constructor(options: DriftOptions) {
    this.#options = options;
    this.#timers = new Timers(options.clock);
    this.#reports = new DriftReports({ ...options, memory: this.memory });
    const { scene, kernel, logger, mend, release } = options;
    this.#remedy = new DriftRemedy({
      ...{ scene, kernel, logger, mend, release, reports: this.#reports, timers: this.#timers },
      suspect: (scope) => this.suspect(scope),
      isClosed: () => this.#isClosed,
    });
  }

  /** Before the kernel is watched everything that differs is news, unless the host was booted meanwhile. */
  sift(operations: readonly Operation[], census: Census, believed: Pick<Present, 'get'>): Sifted {
    const [scene, isFirst] = [this.#options.scene(), !this.#hasBegun];
    return sift({
      ...{ scene, reports: this.#reports, operations, census, believed: isFirst ? null : believed },
      isSameBoot: !isFirst || this.#options.isSameBoot(),
      by: isFirst ? 'start' : 'census',
    });
  }

  /** The kernel is as the log says, but for what is left as it is: from here on it is watched. */
  begin(): void {
    this.#hasBegun = true;
    this.#options.kernel.watch((notices) => this.#noticed(notices));
    this.#passLater();
  }

  close(): void {
    this.#isClosed = true;
    this.#timers.close();
  }

  /** Work that no look may come between. */
  exclusively<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work, work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  /** Looks at networks and sandboxes soon. */
  suspect(scope: Partial<Scope>): void {
    for (const id of scope.networks ?? []) this.#suspects.networks.add(id);
    for (const id of scope.sandboxes ?? []) this.#suspects.sandboxes.add(id);
    this.#gather(gatherMs);
  }

  /** What a tunnel knows of other hosts was looked at, and corrected unless that is to be left. */
  peersChecked(networkId: string, tunnel: string, wrong: number): void {
    const object = `peers of ${tunnel}`;
    const { state } = this.#options.scene();
    const of = thingOf(state, { entity: 'network', id: networkId });
    if (wrong === 0 || of === null) {
      this.#reports.right(new Set([object]), []);
      return;
    }
    const changes = [{ object, before: 'as told', after: `${wrong} entries missing, changed or too many` }];
    const policy = policyOf(state, of);
    const finding: Finding = { key: `${thingKey(of)} peers`, of, policy, operations: [], changes };
    if (policy === 'report') this.#reports.left(finding, 'census');
    else {
      this.#reports.detected(finding, 'census');
      this.#reports.repaired(finding, [], []);
    }
  }

  #carefully(work: () => Promise<void>): void {
    work().catch((error) => {
      if (!this.#isClosed) this.#options.onFault(error);
    });
  }

  #noticed(notices: readonly Notice[]): void {
    if (this.#isClosed) return;
    const { state } = this.#options.scene();
    for (const { of, id, suspect } of notices) {
      if (of === 'table' || of === 'everything') {
        if (of === 'table') this.#reports.suspectHost(suspect);
        this.#passSoon();
        continue;
      }
      const sandbox = of === 'endpoint' ? state.endpoints.get(id)?.sandbox?.incarnation : id;
      if (of === 'network') this.#suspects.networks.add(id);
      else if (sandbox !== undefined) this.#suspects.sandboxes.add(sandbox);
      const thing = thingOf(state, { entity: of, id });
      if (thing) this.memory.suspect(thingKey(thing), thing, suspect);
    }
    this.#gather(gatherMs);
  }

  #gather(delayMs: number): void {
    if (this.#isGathering || !this.#hasBegun) return;
    this.#isGathering = true;
    this.#timers.after(delayMs, () => {
      this.#isGathering = false;
      this.#carefully(() => this.#lookAtSuspects());
    });
  }

  /** As many as one look takes; those about which something is under way wait. */
  async #lookAtSuspects(): Promise<void> {
    const busy = busyThings(this.#options.scene().state);
    const scope = noScope();
    for (const kind of ['networks', 'sandboxes'] as const) {
      for (const id of this.#suspects[kind]) {
        if (scope[kind].size === (kind === 'networks' ? sliceNetworks : sliceSandboxes)) break;
        const tries = this.#tries.get(id) ?? 0;
        if (this.#isBusy(kind, id, busy) && tries < busyTriesMax) this.#tries.set(id, tries + 1);
        else {
          this.#tries.delete(id);
          this.#suspects[kind].delete(id);
          scope[kind].add(id);
        }
      }
    }
    if (scope.networks.size + scope.sandboxes.size > 0) await this.#look(scope, 'notification');
    if (this.#suspects.networks.size + this.#suspects.sandboxes.size > 0) this.#gather(busyMs);
  }

  #isBusy(kind: keyof Scope, id: string, busy: ReadonlySet<string>): boolean {
    if (busy.has(id)) return true;
    const members = kind === 'sandboxes' ? this.#options.scene().state.sandboxes.get(id)?.members : undefined;
    return members?.some((member) => busy.has(member)) ?? false;
  }

  /** However often it is asked for: once more when the one that is under way has ended. */
  #passSoon(): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    this.#timers.after(gatherMs, () => {
      this.#carefully(() => {
        this.#passing = this.#passing.then(() => {
          this.#isAsked = false;
          return this.#pass('notification');
        });
        return this.#passing;
      });
    });
  }

  #passLater(): void {
    this.#timers.after(this.#options.everyMs, () => {
      this.#carefully(async () => {
        await this.#passing;
        await this.#pass('census');
        this.#passLater();
      });
    });
  }

  /** A look at everything, in slices between which others have their turn. */
  async #pass(by: 'census' | 'notification'): Promise<void> {
    const { clock, scene } = this.#options;
    const all = everything(scene().state);
    const elements = new Map<string, KernelObject>();
    const look = async (scope: Scope): Promise<void> => {
      if (this.#isClosed) return;
      const startMs = clock.monotonicMs();
      for (const [key, object] of await this.#look(scope, by)) if (object.kind === 'element') elements.set(key, object);
      await sleep(clock, shareOfTime * (clock.monotonicMs() - startMs));
    };
    for (const ids of slices(all.networks, sliceNetworks)) await look({ ...noScope(), networks: new Set(ids) });
    for (const ids of slices(all.sandboxes, sliceSandboxes)) await look({ ...noScope(), sandboxes: new Set(ids) });
    if (!this.#isClosed) await this.#lookAtElements(elements, by);
    this.#reports.tidy(scene().state);
  }

  /** @returns what was wanted before the look */
  #look(scope: Scope, by: 'census' | 'notification'): Promise<ReadonlyMap<string, KernelObject>> {
    return this.exclusively(async () => {
      const before = wantedIn(this.#options.scene(), scope);
      const objects = [...before.values()].filter(({ kind }) => kind !== 'element');
      if (this.#isClosed || objects.length === 0) return before;
      const census = await this.#options.kernel.census(extentOf(objects, false));
      const keys = new Set(objects.map(objectKey));
      const now = () => wantedIn(this.#options.scene(), scope);
      await this.#remedy.treat({ before, keys, census, now, by });
      return before;
    });
  }

  #lookAtElements(before: ReadonlyMap<string, KernelObject>, by: 'census' | 'notification'): Promise<void> {
    return this.exclusively(async () => {
      if (this.#isClosed) return;
      const census = await this.#options.kernel.census(extentOf([], true));
      const { state } = this.#options.scene();
      const strays = census.objects.filter((object) => !before.has(objectKey(object)));
      // What is wanted of whatever they belong to now is computed anew for those only that differ.
      const differ = objectsOf(corrections(before.values(), census));
      const scope = scopeAround([...differ, ...strays], state);
      const now = () => wantedIn(this.#options.scene(), scope);
      await this.#remedy.treat({ before, keys: new Set(before.keys()), census, now, strays, by });
    });
  }
}
