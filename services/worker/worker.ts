/**
 * The worker of one host: takes intents from the log in order, makes the kernel what they say, reports what became of them. It keeps
 * no state of its own: its start is a census of the kernel against what the log adds up to.
 */
import type { Logger } from 'pino';
import type { Driver, Effect } from '../../drivers/driver.ts';
import { type KernelObject, objectKey } from '../../drivers/objects.ts';
import { diff } from '../../drivers/plan.ts';
import type { Kernel, KernelFacts, Operation, Plan } from '../../drivers/port.ts';
import { eventVersions } from '../../events/envelope.ts';
import type { EventData, Fault } from '../../events/events.ts';
import { isTerminal } from '../../events/events.ts';
import type { SubnetPool } from '../../events/ipam.ts';
import { subjects } from '../../events/names.ts';
import type { Clock } from '../lib/clock.ts';
import { type Boundary, boundaryOf, type FollowedRealm, followRealm } from '../lib/realm.ts';
import type { Stream } from '../lib/stream.ts';
import { type Deployment, effectOf, pendingObjects, routesIn, settledObjects, undoEffectOf } from './effects.ts';
import { Outbox, type Report } from './outbox.ts';
import { deadlineFault, dependencyFault, done, failed, kernelFault } from './reports.ts';
import { nextBatch, type Unit } from './units.ts';

export interface WorkerOptions {
  readonly realm: string;
  readonly host: string;
  readonly log: Stream;
  readonly kernel: Kernel;
  readonly drivers: ReadonlyMap<string, Driver>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Holds `netns/`, where sandbox keys lie. */
  readonly runDir: string;
  readonly pools: readonly SubnetPool[];
  /** /48 of automatic IPv6 subnets. */
  readonly ula: string;
  readonly netnsRoots: readonly string[];
}

export interface Worker {
  /** Resolves when the kernel is as the log says, the host's facts are on the log, and intents are being taken. */
  start(): Promise<void>;
  /** Finishes what is under way and reports it; sandboxes and networks stay. */
  stop(): Promise<void>;
  /** Rejects when the worker cannot go on: fenced, kernel threads gone, log unreadable. */
  readonly failed: Promise<never>;
}

/** How many operations of a census go into one plan, so that intents need not wait for all of it. */
const censusPlanMax = 64;

export const createWorker = (options: WorkerOptions): Worker => new HostWorker(options);

/** A unit with what it changes; `missing` when it stands on something that is not there. */
interface Prepared {
  readonly unit: Unit;
  readonly effects: readonly Effect[];
  readonly missing: string | null;
  readonly plan: Plan;
}

class HostWorker implements Worker {
  readonly failed: Promise<never>;
  readonly #options: WorkerOptions;
  readonly #deployment: Deployment;
  /** What exists in the kernel, by object key, as far as this worker has made or seen it. */
  readonly #present = new Map<string, KernelObject>();
  /** Intents that are being executed, or reported and not yet folded in. */
  readonly #busy = new Set<string>();
  /** Networks and endpoints whose failed creation is reported and not yet folded in. */
  readonly #dead = new Set<string>();
  /** Sandbox incarnations that SandboxCreated was reported for. */
  readonly #announced = new Set<string>();
  #fail: (error: unknown) => void = () => undefined;
  #followed: FollowedRealm | null = null;
  #boundary: Boundary | null = null;
  #outbox: Outbox | null = null;
  #wake: () => void = () => undefined;
  #running = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#deployment = { host: { realm: options.realm, host: options.host }, drivers: options.drivers };
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => undefined);
  }

  async start(): Promise<void> {
    const { realm, host, log, clock, logger, kernel } = this.#options;
    const followed = followRealm(log, {
      subjects: [subjects.host(host), subjects.outcome(host)],
      listener: {
        before: (_, event) => {
          if (isTerminal(event.type)) this.#busy.delete(event.meta.causationid);
        },
        folded: () => this.#wake(),
      },
    });
    followed.reader.closed.catch((error) => this.#fail(error));
    await followed.reader.caughtUp;
    const boundary = boundaryOf(followed.realm, host);
    this.#followed = followed;
    this.#boundary = boundary;
    const onFault = (error: unknown) => this.#fail(error);
    this.#outbox = new Outbox({ realm, host, log, followed, boundary, clock, logger, onFault });
    await this.#reconcile();
    this.#outbox.push([{ fact: { type: 'HostFacts', data: this.#facts(await kernel.facts()) }, intent: null }]);
    await this.#outbox.drained();
    this.#running = true;
    this.#loop = this.#run().catch((error) => this.#fail(error));
  }

  async stop(): Promise<void> {
    this.#running = false;
    this.#wake();
    await this.#loop;
    await this.#outbox?.drained();
    await this.#followed?.reader.stop();
  }

  get #state() {
    if (!this.#boundary) throw new Error('worker: used before start');
    return this.#boundary.state;
  }

  #facts(facts: KernelFacts): EventData<'HostFacts'> {
    const { host, runDir, ula, pools, netnsRoots } = this.#options;
    return {
      ...facts,
      host,
      runDir,
      ula,
      routes: [...facts.routes],
      capabilities: { ...facts.capabilities },
      pools: pools.map((pool) => ({ ...pool })),
      netnsRoots: [...netnsRoots],
      reads: { ...eventVersions },
    };
  }

  /** Start is a diff, never a flush: only what the log does not know is removed, only what is missing is made. */
  async #reconcile(): Promise<void> {
    const { kernel, logger } = this.#options;
    const operations = await this.#census();
    if (operations.length === 0) return;
    logger.info({ operations: operations.length }, 'the kernel differs from the log, repairing');
    const plans: Plan[] = [];
    for (let first = 0; first < operations.length; first += censusPlanMax) {
      plans.push({ id: `census/${first}`, operations: operations.slice(first, first + censusPlanMax) });
    }
    const results = await kernel.apply(plans);
    for (const [index, result] of results.entries()) {
      if (result.ok) this.#remember(plans[index]?.operations ?? []);
      else logger.error({ fault: result.fault }, 'could not repair');
    }
  }

  /** Reads what exists, and answers what has to change. What could not be read is left alone. */
  async #census(): Promise<readonly Operation[]> {
    const census = await this.#options.kernel.census();
    this.#present.clear();
    for (const object of census.objects) this.#present.set(objectKey(object), object);
    for (const unknown of census.unknown) this.#options.logger.warn(unknown, 'could not be read, left alone');
    for (const row of this.#state.sandboxes.values())
      if (row.status !== 'creating') this.#announced.add(row.facts.incarnation);
    const pending = new Set(pendingObjects(this.#state, this.#deployment).map(objectKey));
    const unread = census.unknown.map(({ what }) => what);
    const isOpen = (object: KernelObject): boolean => {
      const key = objectKey(object);
      return pending.has(key) || unread.some((what) => key.includes(what));
    };
    const wanted = settledObjects(this.#state, this.#deployment).filter((object) => !isOpen(object));
    return diff(
      wanted,
      census.objects.filter((object) => !isOpen(object)),
    );
  }

  async #run(): Promise<void> {
    while (this.#running) {
      const batch = nextBatch(this.#state, this.#busy);
      if (batch.length > 0) await this.#execute(batch);
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  async #execute(batch: readonly Unit[]): Promise<void> {
    for (const { intents } of batch) for (const { meta } of intents) this.#busy.add(meta.id);
    const prepared = batch.map((unit) => this.#prepare(unit));
    const runnable = prepared.filter(({ missing, plan }) => missing === null && plan.operations.length > 0);
    const results = runnable.length === 0 ? [] : await this.#options.kernel.apply(runnable.map(({ plan }) => plan));
    const faults = new Map<Prepared, Fault>();
    for (const [index, result] of results.entries()) {
      const item = runnable[index];
      if (!item) continue;
      if (result.ok) this.#remember(item.plan.operations);
      else faults.set(item, kernelFault(result.fault));
    }
    this.#outbox?.push(prepared.flatMap((item) => this.#reportsOf(item, faults.get(item))));
    // What an undo left behind is seen by reading again, never by assuming.
    if ([...faults.values()].some((fault) => fault.undoFaults.length > 0)) await this.#reconcile();
  }

  #prepare(unit: Unit): Prepared {
    const effects: Effect[] = [];
    let missing: string | null = null;
    for (const intent of unit.intents) {
      if (unit.expired) {
        effects.push(undoEffectOf(this.#state, this.#deployment, intent));
        continue;
      }
      const effect = effectOf(this.#state, this.#deployment, intent);
      if ('missing' in effect) missing ??= effect.missing;
      else effects.push(effect);
      missing ??= this.#deadDependency(intent.data);
    }
    return {
      unit,
      effects,
      missing,
      plan: { id: unit.id, operations: missing === null ? this.#operations(effects) : [] },
    };
  }

  #deadDependency(data: object): string | null {
    for (const key of ['networkId', 'endpointId'] as const) {
      const id = key in data ? String((data as Record<string, unknown>)[key]) : '';
      if (this.#dead.has(id)) return `${key === 'networkId' ? 'network' : 'endpoint'} ${id}`;
    }
    const endpoint = (data as { readonly endpoint?: { readonly networkId: string } }).endpoint;
    return endpoint && this.#dead.has(endpoint.networkId) ? `network ${endpoint.networkId}` : null;
  }

  /** What has to change so that all effects of a unit hold: later intents of a command win over earlier ones. */
  #operations(effects: readonly Effect[]): readonly Operation[] {
    const desired = new Map<string, KernelObject>();
    const touched = new Set<string>();
    for (const { ensure, remove } of effects) {
      for (const object of remove) {
        touched.add(objectKey(object));
        desired.delete(objectKey(object));
      }
      for (const object of ensure) {
        touched.add(objectKey(object));
        desired.set(objectKey(object), object);
      }
    }
    const observed = [...touched].flatMap((key) => this.#present.get(key) ?? []);
    return diff([...desired.values()], observed);
  }

  #remember(operations: readonly Operation[]): void {
    for (const { op, object } of operations) {
      if (op === 'delete') this.#present.delete(objectKey(object));
      else this.#present.set(objectKey(object), object);
    }
  }

  #reportsOf({ unit, effects, missing }: Prepared, fault: Fault | undefined): readonly Report[] {
    const problem = missing !== null ? dependencyFault(missing) : (fault ?? (unit.expired ? deadlineFault : null));
    if (problem) return this.#failures(unit, problem, missing === null && fault !== undefined && unit.expired);
    // The deadline passed while the kernel was at work: the next batch takes it back.
    if (unit.intents.some(({ meta }) => this.#state.expired.has(meta.id))) {
      for (const { meta } of unit.intents) this.#busy.delete(meta.id);
      return [];
    }
    return unit.intents.flatMap((intent, index) => {
      const fact = done(this.#state, intent, routesIn(effects[index]?.ensure ?? []));
      return fact ? [{ fact, intent }, ...this.#sandboxReports(intent)] : [];
    });
  }

  #failures(unit: Unit, problem: Fault, undoFailed: boolean): readonly Report[] {
    // An undo that failed is tried again with the next census; the intent stays open until it succeeds.
    if (undoFailed) this.#options.logger.error({ fault: problem }, 'could not take back what came too late');
    return unit.intents.flatMap((intent) => {
      if (intent.type === 'NetworkCreateRequested') this.#dead.add(intent.data.network.id);
      if (intent.type === 'EndpointCreateRequested') this.#dead.add(intent.data.endpoint.id);
      const fact = failed(intent, problem);
      return fact ? [{ fact, intent }, ...this.#sandboxEnd(intent)] : [];
    });
  }

  /** A sandbox is made with its first endpoint and ends with its last one. */
  #sandboxReports(intent: Report['intent'] & object): readonly Report[] {
    if (intent.type === 'EndpointJoinRequested' && !this.#announced.has(intent.data.sandbox.incarnation)) {
      this.#announced.add(intent.data.sandbox.incarnation);
      return [{ fact: { type: 'SandboxCreated', data: { sandbox: intent.data.sandbox } }, intent }];
    }
    if (intent.type === 'EndpointLeaveRequested' && intent.data.last) {
      this.#announced.delete(intent.data.sandbox.incarnation);
      return [{ fact: { type: 'SandboxRemoved', data: { sandbox: intent.data.sandbox } }, intent }];
    }
    return [];
  }

  /** A join that was taken back may have been the only one of a sandbox that was announced. */
  #sandboxEnd(intent: Report['intent'] & object): readonly Report[] {
    if (intent.type !== 'EndpointJoinRequested' || !this.#announced.has(intent.data.sandbox.incarnation)) return [];
    const row = this.#state.sandboxes.get(intent.data.sandbox.incarnation);
    if (row?.members.some((id) => id !== intent.data.endpointId)) return [];
    this.#announced.delete(intent.data.sandbox.incarnation);
    return [{ fact: { type: 'SandboxRemoved', data: { sandbox: intent.data.sandbox } }, intent }];
  }
}
