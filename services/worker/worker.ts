/**
 * The worker of one host: takes intents from the log in order, makes the kernel what they say, reports what became of them. It keeps
 * no state of its own: its start is a census of the kernel against what the log adds up to.
 */
import type { Logger } from 'pino';
import type { Driver } from '../../drivers/driver.ts';
import type { Kernel, KernelFacts } from '../../drivers/port.ts';
import type { Event } from '../../events/envelope.ts';
import { type EventData, type Fault, isTerminal } from '../../events/events.ts';
import type { SubnetPool } from '../../events/ipam.ts';
import { subjects } from '../../events/names.ts';
import type { PeerRow } from '../../projections/peers.ts';
import { createDns, type Dns } from '../dns/dns.ts';
import type { HostServers } from '../dns/upstreams.ts';
import type { Clock } from '../lib/clock.ts';
import type { Opening } from '../lib/opening.ts';
import { type Boundary, boundaryOf, type FollowedRealm, followRealm, type Realm } from '../lib/realm.ts';
import type { Stream } from '../lib/stream.ts';
import type { Plugins } from '../plugins/plugins.ts';
import { Consulting } from './consulting.ts';
import { Encryption, encrypting } from './encryption.ts';
import { Execution, type Prepared, type Task, taskOf } from './execution.ts';
import { Leasing } from './leasing.ts';
import { Outbox } from './outbox.ts';
import { Peers } from './peers.ts';
import { Present } from './present.ts';
import { hostOf, statedBy, statementOf } from './statement.ts';
import { nextBatch, type Unit } from './units.ts';

export interface WorkerOptions {
  readonly realm: string;
  readonly host: string;
  readonly log: Stream;
  /** Where it asks for host ports that it has found. */
  readonly commands: Stream;
  readonly kernel: Kernel;
  readonly drivers: ReadonlyMap<string, Driver>;
  /** What the host itself resolves names with. */
  readonly hostServers: HostServers;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Holds `netns/`, where sandbox keys lie. */
  readonly runDir: string;
  readonly pools: readonly SubnetPool[];
  /** /48 of automatic IPv6 subnets. */
  readonly ula: string;
  readonly netnsRoots: readonly string[];
  /** Of encrypted networks, the same on every host; null or left out: this host can be in none. */
  readonly secret?: Uint8Array | null;
  /** Drivers of networks and addresses in processes of their own. */
  readonly plugins: Plugins;
}

export interface Worker {
  /** Resolves when the host's facts are on the log, the kernel is as the log says, and intents are being taken. */
  start(): Promise<void>;
  /** Finishes what is under way and reports it; sandboxes and networks stay. */
  stop(): Promise<void>;
  /** The log was out of reach and is there again: others may have touched what nobody watched meanwhile. */
  lookAround(): void;
  /** Rejects when the worker cannot go on: fenced, kernel threads gone, log unreadable. It does nothing more then. */
  readonly failed: Promise<never>;
}

/** How often the host is looked at for what decisions depend on: its routes above all. Design value. */
const factsEveryMs = 30_000;

/** One that the kernel works on and one that waits for it. */
const batchesMax = 2;

export const createWorker = (options: WorkerOptions): Worker => new HostWorker(options);

class HostWorker implements Worker {
  readonly failed: Promise<never>;
  readonly #options: WorkerOptions;
  /** Intents that are being executed, or reported and not yet folded in. */
  readonly #busy = new Set<string>();
  /** Incarnations of sandboxes that the log knows as made. */
  readonly #announced = new Set<string>();
  readonly #failure = Promise.withResolvers<never>();
  #followed: FollowedRealm | null = null;
  /** Of our latest statement of facts; 0 before the first. */
  #epoch = 0;
  #outbox: Outbox | null = null;
  #execution: Execution | null = null;
  readonly #present = new Present();
  readonly #peers: Peers;
  readonly #encryption: Encryption;
  readonly #leasing: Leasing;
  #consulting: Consulting | null = null;
  readonly #dns: Dns;
  #wake: () => void = () => undefined;
  #stopped = false;
  #loop: Promise<void> = Promise.resolve();
  #cancelFacts: () => void = () => undefined;

  constructor(options: WorkerOptions) {
    this.#options = options;
    const { kernel, logger, hostServers, host, commands, clock } = options;
    const onUnserved = () => this.#execution?.repairLater();
    this.#dns = createDns({ kernel, logger, clock, upstreams: hostServers, onUnserved });
    this.#leasing = new Leasing({
      host,
      commands,
      kernel,
      clock,
      wake: () => this.#wake(),
      onFault: (error) => this.#fail(error),
    });
    this.#peers = new Peers({
      host,
      kernel,
      clock,
      logger,
      present: this.#present,
      dns: this.#dns,
      network: (id) => this.#followed?.realm.shared.networks.get(id)?.facts,
      repair: () => this.#execution?.repairLater(),
      onFault: (error) => this.#fail(error),
    });
    this.#encryption = new Encryption({
      realm: options.realm,
      host,
      kernel,
      clock,
      logger,
      secret: options.secret ?? null,
      present: this.#present,
      hosts: () => (this.#followed ? statedBy(this.#followed.realm) : []),
      generation: () => this.#followed?.realm.shared.tunnelKeys.get('generation') ?? 0,
      renew: () => this.#renew('keys of encrypted networks are taken anew'),
      onFault: (error) => this.#fail(error),
    });
    this.failed = this.#failure.promise;
    this.failed.catch(() => undefined);
  }

  async start(): Promise<void> {
    const { realm, host, log, clock, logger, kernel, drivers, hostServers, plugins } = this.#options;
    const followed = followRealm(log, {
      // What is decided here and for all hosts, and what all hosts report: who is in a network elsewhere stands in those reports.
      subjects: [subjects.host(host), 'cnm.event.realm.>', 'cnm.event.segment.*', 'cnm.outcome.>'],
      listener: {
        before: (boundary, event) => {
          this.#encryption.note(event);
          if (boundary.host === null) return;
          const consulting = this.#consultingOn(boundaryOf(followed.realm, host).state);
          consulting.noteHost(boundary.host, event);
          if (boundary.host === host) this.#note(event, consulting);
          else this.#peers.note(boundary.host, event);
        },
        opened: (realm, opening) => this.#opened(realm, opening),
        folded: (boundary, position) => this.#folded(boundary, position),
      },
    });
    this.#followed = followed;
    followed.reader.closed.catch((error) => this.#fail(error));
    const boundary = boundaryOf(followed.realm, host);
    const onFault = (error: unknown) => this.#fail(error);
    await followed.reader.caughtUp;
    const outbox = new Outbox({ realm, host, log, followed, boundary, clock, logger, onFault });
    this.#outbox = outbox;
    // First of all, so that two workers never act for one host: whoever reported before is fenced by this.
    const found = await kernel.facts();
    // No two workers of a host state the same epoch, since the statement before is what guards this one.
    await outbox.open(() => {
      this.#epoch = (boundary.state.facts.get('host')?.epoch ?? 0) + 1;
      const data = this.#facts(found, this.#epoch);
      return { fact: { type: 'HostFacts', data }, intent: null };
    });
    const consulting = this.#consultingOn(boundary.state);
    consulting.begin();
    const execution = new Execution({
      kernel,
      clock,
      logger,
      state: boundary.state,
      deployment: { host: hostOf(realm, boundary, host), drivers, resolvConf: () => hostServers.config() },
      dns: this.#dns,
      present: this.#present,
      peers: encrypting(this.#peers, this.#encryption),
      consulting,
      announced: this.#announced,
      report: (reports) => outbox.push(reports),
      wake: () => this.#wake(),
      onFault,
    });
    await execution.begin();
    this.#execution = execution;
    await this.#encryption.begin();
    await this.#peers.begin();
    this.#watchFacts(outbox, boundary);
    plugins.onChange(() => this.#restate());
    plugins.onActivated(() => execution.pluginActivated());
    this.#loop = this.#run(boundary, execution, consulting)
      .catch((error) => this.#fail(error))
      .finally(() => execution.close());
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelFacts();
    this.#wake();
    this.#leasing.stop();
    this.#consulting?.close();
    this.#peers.close();
    this.#encryption.close();
    await this.#loop;
    await this.#outbox?.close();
    await this.#followed?.reader.stop();
    await this.#dns.close();
  }

  lookAround(): void {
    this.#peers.look();
    this.#encryption.lookSoon();
  }

  /** Bugs and fences end it: nothing more is done to the kernel, and nothing more is reported. */
  #fail(error: unknown): void {
    this.#stopped = true;
    this.#cancelFacts();
    this.#leasing.stop();
    this.#consulting?.close();
    this.#peers.close();
    this.#encryption.close();
    this.#failure.reject(error);
    this.#wake();
    // Whoever comes next for this host answers in its place.
    void this.#dns.close();
  }

  /** Its networks are those of this state, which is there as soon as something of it is. */
  #consultingOn(state: Boundary['state']): Consulting {
    const { realm, host, plugins, drivers, commands, clock, logger } = this.#options;
    this.#consulting ??= new Consulting({
      realm,
      host,
      state,
      plugins,
      isBuiltIn: (driver) => drivers.has(driver),
      commands,
      clock,
      logger,
      epoch: () => this.#epoch,
      open: (sandbox) => this.#execution?.open(sandbox) ?? Promise.resolve(null),
      wake: () => this.#wake(),
      onFault: (error) => this.#fail(error),
    });
    return this.#consulting;
  }

  /** A segment begins with everything done that was asked for before: what is kept beside the state follows from it. */
  #opened(realm: Realm, opening: Opening): void {
    const { state } = boundaryOf(realm, this.#options.host);
    const hosts = statedBy(realm);
    this.#consultingOn(state).opened(hosts);
    for (const { facts } of state.sandboxes.values()) this.#announced.add(facts.incarnation);
    for (const { host, underlay } of hosts) this.#peers.state(host, underlay?.address ?? null);
    for (const [kind, row] of opening.lines()) if (kind === 'peer') this.#peers.carry(row as PeerRow);
  }

  #note(event: Event, consulting: Consulting): void {
    const { type, data, meta } = event;
    if (type === 'HostFacts') this.#noteFacts(data);
    const isLeft = type === 'EndpointLeaveFailed' || type === 'EndpointDeleteFailed' || type === 'NetworkDeleteFailed';
    if (isLeft && data.fault.code !== 'DEPENDENCY_FAILED') this.#execution?.repairLater();
    if (type === 'HostLapsed' && data.host === this.#options.host) this.#returned(data.epoch);
    this.#leasing.note(event);
    consulting.note(event);
    if (isTerminal(type)) {
      this.#busy.delete(meta.causationid);
      this.#leasing.forget(meta.causationid);
    }
    if (type === 'SandboxCreated') this.#announced.add(data.sandbox.incarnation);
    if (type === 'SandboxRemoved') this.#announced.delete(data.sandbox.incarnation);
  }

  /** Tunnels begin at the address of the host. */
  #noteFacts({ underlay }: EventData<'HostFacts'>): void {
    const known = this.#followed && boundaryOf(this.#followed.realm, this.#options.host).state.facts.get('host');
    if (known && known.underlay?.address !== underlay?.address) this.#execution?.repairLater();
  }

  #folded({ host, outcomeHead }: Boundary, position: number): void {
    if (host === this.#options.host && outcomeHead?.position === position) this.#outbox?.check(outcomeHead);
    this.#peers.tell();
    this.#encryption.tell();
    this.#dns.reached(position);
    this.#wake();
  }

  /** Batches do not touch each other, so the kernel is given the next one while it is at work on one: it never waits for plans. */
  async #run({ state }: Boundary, execution: Execution, consulting: Consulting): Promise<void> {
    const running = new Set<Promise<void>>();
    const reconcile = async (): Promise<void> => {
      await Promise.all(running);
      await execution.reconcile();
    };
    const start = (prepared: readonly Prepared[]): void => {
      const run = execution
        .run(prepared)
        .catch((error) => this.#fail(error))
        .finally(() => {
          running.delete(run);
          this.#wake();
        });
      running.add(run);
    };
    while (!this.#stopped) {
      if (execution.isRepairDue) await reconcile();
      const tasks = running.size < batchesMax ? this.#take(state, execution, consulting) : [];
      if (tasks.length > 0) {
        let prepared = execution.prepare(tasks);
        if (!prepared) {
          await reconcile();
          prepared = execution.plan(tasks);
        }
        start(prepared);
      } else {
        // Nothing was awaited since the look at the state, so no call was missed.
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
    await Promise.all(running);
  }

  #take(state: Boundary['state'], execution: Execution, consulting: Consulting): readonly Task[] {
    const faultOf = (unit: Unit): Fault | null => this.#leasing.faultOf(unit) ?? consulting.faultOf(unit);
    // Plugins are told of ports, so these come first.
    const isReady = (unit: Unit): boolean =>
      this.#leasing.isReady(state, unit) && (this.#leasing.faultOf(unit) !== null || consulting.isReady(unit));
    const batch = nextBatch(state, this.#busy, isReady, (intent) => consulting.isApart(intent));
    for (const { intents } of batch) for (const { meta } of intents) this.#busy.add(meta.id);
    return [...execution.takeDue(), ...batch.map((unit) => taskOf(unit, faultOf(unit)))];
  }

  /** Facts go on the log again when they have changed, so that no subnet is chosen over a route that has come since. */
  #watchFacts(outbox: Outbox, boundary: Boundary): void {
    const { clock, kernel } = this.#options;
    const look = async (): Promise<void> => {
      const found = await kernel.facts();
      if (this.#stopped) return;
      const known = boundary.state.facts.get('host');
      const data = this.#facts(found, this.#epoch);
      if (JSON.stringify(data) !== JSON.stringify(known))
        outbox.push([{ fact: { type: 'HostFacts', data }, intent: null }]);
      this.#watchFacts(outbox, boundary);
    };
    this.#cancelFacts();
    this.#cancelFacts = clock.after(factsEveryMs, () => {
      look().catch((error) => {
        if (!this.#stopped) this.#fail(error);
      });
    });
  }

  /** States the host's facts at once: whatever waits for them shall not wait for the next look. */
  #restate(): void {
    const state = async (): Promise<void> => {
      const data = this.#facts(await this.#options.kernel.facts(), this.#epoch);
      if (!this.#stopped) this.#outbox?.push([{ fact: { type: 'HostFacts', data }, intent: null }]);
    };
    if (this.#stopped) return;
    state().catch((error) => {
      if (!this.#stopped) this.#fail(error);
    });
  }

  /** We were taken for dead, and are not: a new epoch says so. Who is fenced cannot state one. */
  #returned(epoch: number): void {
    if (this.#epoch === epoch) this.#renew('this host was found to be away, and is not');
  }

  #renew(why: string): void {
    this.#epoch += 1;
    this.#options.logger.warn({ epoch: this.#epoch }, why);
    this.#restate();
  }

  #facts(facts: KernelFacts, epoch: number): EventData<'HostFacts'> {
    return statementOf(this.#options, facts, epoch);
  }
}
