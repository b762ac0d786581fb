import type { Event } from '../../events/envelope.ts';
import { type EventData, isTerminal } from '../../events/events.ts';
import { subjects } from '../../events/names.ts';
import { type BoundaryState, isStopped } from '../../events/state.ts';
import type { DriftRow } from '../../projections/drift.ts';
import type { PeerRow } from '../../projections/peers.ts';
import { createDns, type Dns, type DnsCounts } from '../dns/dns.ts';
import type { Look } from '../lib/health.ts';
import type { Opening } from '../lib/opening.ts';
import { type Boundary, boundaryOf, type FollowedRealm, followRealm, type Realm } from '../lib/realm.ts';
import { noTracing } from '../lib/trace.ts';
import { Capacity, type Use } from './capacity.ts';
import { Consulting } from './consulting.ts';
import { Drift } from './drift.ts';
import { driftTimes, type WorkerOptions } from './worker-options.ts';

export type { WorkerOptions } from './worker-options.ts';

import type { DriftMemory } from './drift-memory.ts';
import { Encryption, encrypting } from './encryption.ts';
import { Execution } from './execution.ts';
import { Leasing } from './leasing.ts';
import { HostDeclaredLost } from './lost.ts';
import { MemoryOfLog } from './memory-of-log.ts';
import { lookAt } from './meter.ts';
import { Outbox } from './outbox.ts';
import { listenToParked, whyParked } from './parked.ts';
import { Peers } from './peers.ts';
import { Present } from './present.ts';
import { type LogScene, lookBack } from './regressed.ts';
import type { Report } from './reports.ts';
import { carriedSubnets, hostOf, statedBy } from './statement.ts';
import { Stating } from './stating.ts';
import { Taking } from './taking.ts';

export interface Worker {
  /**
   * Resolves when the host's facts are on the log, the kernel is as the log says, and intents are being taken; or when the log is found to be
   * an older copy, and nothing is changed until HostResumed.
   */
  start(): Promise<void>;
  /** Finishes what is under way and reports it; sandboxes and networks stay. */
  stop(): Promise<void>;
  /** The log was out of reach and is there again: others may have touched what nobody watched meanwhile. */
  lookAround(): void;
  look(): Look;
  /** What it was asked for names, since the start. */
  readonly dnsCounts: DnsCounts;
  /** What the last look at what is left has found. */
  readonly capacityUses: readonly Use[];
  /** Rejects when the worker cannot go on: fenced, kernel threads gone, log unreadable. It does nothing more then. */
  readonly failed: Promise<never>;
}

export const createWorker = (options: WorkerOptions): Worker => new HostWorker(options);

class HostWorker implements Worker {
  readonly failed: Promise<never>;
  readonly #options: WorkerOptions;
  /** Incarnations of sandboxes that the log knows as made. */
  readonly #announced = new Set<string>();
  readonly #failure = Promise.withResolvers<never>();
  #followed: FollowedRealm | null = null;
  #outbox: Outbox | null = null;
  #execution: Execution | null = null;
  readonly #present = new Present();
  readonly #peers: Peers;
  readonly #encryption: Encryption;
  readonly #leasing: Leasing;
  readonly #stating: Stating;
  readonly #drift: Drift;
  /** Whether the host has not been booted since it was stated last. */
  #isSameBoot = false;
  #consulting: Consulting | null = null;
  /** Null until intents are taken. */
  #taking: Taking | null = null;
  #capacity: Capacity | null = null;
  readonly #dns: Dns;
  readonly #memory: MemoryOfLog;
  /** What is still to be done to start, while the log is an older copy. */
  #goOn: (() => Promise<void>) | null = null;
  #stopped = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(options: WorkerOptions) {
    this.#options = options;
    const { kernel, logger, hostServers, host, commands, clock, names = createDns } = options;
    const onUnserved = () => this.#execution?.repairLater();
    this.#dns = names({ kernel, logger, clock, upstreams: hostServers, onUnserved });
    this.#memory = new MemoryOfLog({ journal: options.journal ?? null, clock });
    this.#stating = new Stating({
      kernel,
      clock,
      logger,
      place: options,
      known: () => this.#known,
      carried: () => this.#carried,
      report: (reports) => this.#outbox?.push(reports),
      onFault: (error) => this.#fail(error),
    });
    this.#leasing = new Leasing({
      host,
      commands,
      kernel,
      clock,
      wake: (intent) => this.#taking?.ready(intent),
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
      checked: (networkId, tunnel, wrong) => this.#drift.peersChecked(networkId, tunnel, wrong),
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
      renew: () => this.#stating.renew('keys of encrypted networks are taken anew'),
      onFault: (error) => this.#fail(error),
    });
    this.#drift = new Drift({
      host,
      kernel,
      clock,
      logger,
      scene: () => this.#inExecution.scene,
      isSameBoot: () => this.#isSameBoot,
      ...driftTimes,
      ...options.drift,
      report: (reports) => this.#outbox?.push(reports),
      mend: (plans) => this.#inExecution.mend(plans),
      release: (operations) => this.#inExecution.release(operations),
      onFault: (error) => this.#fail(error),
    });
    this.failed = this.#failure.promise;
    this.failed.catch(() => undefined);
  }

  async start(): Promise<void> {
    const { realm, host, log, clock, logger, kernel, drivers, hostServers, plugins } = this.#options;
    const onFault = (error: unknown) => this.#fail(error);
    const followed = followRealm(log, {
      // What is decided here and for all hosts, and what all hosts report: who is in a network elsewhere stands in those reports.
      subjects: [subjects.host(host), 'cnm.event.realm.>', 'cnm.event.segment.*', 'cnm.outcome.>'],
      listener: {
        before: (boundary, event) => {
          this.#encryption.note(event);
          if (event.type === 'RealmOpened' || event.type === 'SegmentOpened') this.#memory.opened(event.data.epoch);
          if (event.type === 'PeersForgotten') this.#peers.note(event.data.host, event);
          if (boundary.host === null) return;
          const consulting = this.#consultingOn(boundaryOf(followed.realm, host).state);
          consulting.noteHost(boundary.host, event);
          if (boundary.host === host) this.#note(event, consulting);
          else this.#peers.note(boundary.host, event);
        },
        opened: (realm, opening) => this.#opened(realm, opening),
        folded: (boundary, position, message) => {
          this.#memory.folded(message, message.subject === subjects.outcome(host));
          this.#folded(boundary, position);
        },
        ...listenToParked(host, logger, () => this.#outbox && followed.realm, onFault),
      },
    });
    this.#followed = followed;
    followed.reader.closed.catch((error) => this.#fail(error));
    const boundary = boundaryOf(followed.realm, host);
    await followed.reader.caughtUp;
    const parked = whyParked(boundary, followed.realm);
    if (parked) throw parked;
    const { tracing = noTracing, meter } = this.#options;
    const sending = { realm, host, log, followed, boundary, clock, logger, onFault, tracing };
    const outbox = new Outbox({ ...sending, ...(meter ? { stored: meter.stored } : {}) });
    this.#outbox = outbox;
    // First of all, so that two workers never act for one host: whoever reported before is fenced by this.
    const found = await kernel.facts();
    this.#isSameBoot = this.#known?.bootId === found.bootId;
    const deployment = { host: hostOf(realm, boundary, host), drivers, resolvConf: () => hostServers.config() };
    const regressed = await this.#lookBack(found.bootId, { state: boundary.state, deployment });
    await outbox.open(() => [this.#stating.first(found), ...regressed]);
    this.#memory.live();
    const consulting = this.#consultingOn(boundary.state);
    const execution = new Execution({
      kernel,
      clock,
      logger,
      state: boundary.state,
      deployment,
      dns: this.#dns,
      present: this.#present,
      peers: encrypting(this.#peers, this.#encryption),
      consulting,
      drift: this.#drift,
      announced: this.#announced,
      report: (reports) => outbox.push(reports),
      wake: () => this.#taking?.wake(),
      onFault,
      tracing,
    });
    this.#execution = execution;
    this.#stating.watch();
    const { pools } = this.#options;
    const report = (reports: readonly Report[]) => outbox.push(reports);
    this.#capacity = new Capacity({
      ...{ host, kernel, state: boundary.state, drivers, pools, clock, logger, report, onFault },
    });
    await this.#capacity.begin();
    plugins.onChange(() => this.#stating.restate());
    const begin = () => this.#begin(boundary.state, consulting, execution);
    if (!isStopped(boundary.state)) return begin();
    logger.error({ host }, 'the log is older than what was read of it: nothing is changed here (cnm host inspect)');
    await execution.adopt();
    if (isStopped(boundary.state)) this.#goOn = begin;
    else await begin();
  }

  /** Makes the kernel as the log says, and takes intents from there on. */
  async #begin(state: BoundaryState, consulting: Consulting, execution: Execution): Promise<void> {
    const onFault = (error: unknown) => this.#fail(error);
    consulting.begin();
    await execution.begin();
    if (!this.#stopped) this.#drift.begin();
    await this.#encryption.begin();
    await this.#peers.begin();
    this.#options.plugins.onActivated(() => execution.pluginActivated());
    const taking = new Taking({ state, execution, consulting, leasing: this.#leasing, onFault });
    this.#taking = taking;
    if (this.#stopped) taking.stop();
    this.#loop = taking
      .run()
      .catch((error) => this.#fail(error))
      .finally(() => execution.close());
  }

  async #lookBack(bootId: string, scene: LogScene): Promise<readonly Report[]> {
    const { log, host, kernel, logger } = this.#options;
    return lookBack(this.#memory, { log, realm: this.#followed?.realm, kernel, logger, host, bootId, scene });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#goOn) this.#execution?.close();
    this.#goOn = null;
    this.#capacity?.stop();
    this.#stating.stop();
    this.#taking?.stop();
    this.#leasing.stop();
    this.#consulting?.close();
    this.#peers.close();
    this.#drift.close();
    this.#encryption.close();
    await this.#loop;
    await this.#outbox?.close();
    await this.#followed?.reader.stop();
    await this.#dns.close();
    this.#memory.close();
  }

  look(): Look {
    const { host, clock } = this.#options;
    const boundary = this.#followed && boundaryOf(this.#followed.realm, host);
    const stageOf = (intent: string): string => this.#taking?.stageOf(intent) ?? 'the start of the worker';
    return lookAt(boundary, this.#outbox?.counts ?? null, stageOf, clock.nowMs());
  }

  get dnsCounts(): DnsCounts {
    return this.#dns.counts;
  }

  get capacityUses(): readonly Use[] {
    return this.#capacity?.uses ?? [];
  }

  lookAround(): void {
    if (this.#goOn) return;
    this.#peers.look();
    this.#encryption.lookSoon();
  }

  /** Bugs and fences end it: nothing more is done to the kernel, and nothing more is reported. */
  #fail(error: unknown): void {
    this.#stopped = true;
    this.#goOn = null;
    this.#memory.close();
    this.#capacity?.stop();
    this.#stating.stop();
    this.#leasing.stop();
    this.#consulting?.close();
    this.#peers.close();
    this.#drift.close();
    this.#encryption.close();
    this.#failure.reject(error);
    this.#taking?.stop();
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
      epoch: () => this.#stating.epoch,
      open: (sandbox) => this.#execution?.open(sandbox) ?? Promise.resolve(null),
      wake: (intent) => this.#taking?.ready(intent),
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
    for (const facts of hosts) this.#peers.state(facts.host, facts);
    for (const [kind, row, , found] of opening.lines())
      if (kind === 'peer') this.#peers.carry(row as PeerRow);
      else if (kind === 'view' && row === 'drift') this.#carryDrift(found as DriftRow);
  }

  #carryDrift(row: DriftRow): void {
    if (row.host === this.#options.host) this.#drift.memory.carry(row);
  }

  #note(event: Event, consulting: Consulting): void {
    const { type, data, meta } = event;
    if (type === 'HostFacts') this.#noteFacts(data);
    const isLeft = type === 'EndpointLeaveFailed' || type === 'EndpointDeleteFailed' || type === 'NetworkDeleteFailed';
    if (isLeft && data.fault.code !== 'DEPENDENCY_FAILED') this.#execution?.repairLater();
    if (type === 'HostResumed' || type === 'SandboxReclaimed') this.#execution?.repairLater();
    // One that has stated another epoch by then was not lost.
    if (type === 'HostLost' && this.#outbox && data.epoch === this.#known?.epoch)
      this.#fail(new HostDeclaredLost(data));
    if (type === 'HostLapsed' && data.host === this.#options.host) this.#stating.returned(data.epoch);
    if (!this.#execution && 'drift' in data) this.#drift.memory.fold(event as Parameters<DriftMemory['fold']>[0]);
    this.#leasing.note(event);
    consulting.note(event);
    this.#taking?.note(event);
    if (isTerminal(type)) this.#leasing.forget(meta.causationid);
    if (type === 'SandboxCreated') this.#announced.add(data.sandbox.incarnation);
    if (type === 'SandboxRemoved') this.#announced.delete(data.sandbox.incarnation);
  }

  get #inExecution(): Execution {
    if (!this.#execution) throw new Error('worker: looked at before anything was executed');
    return this.#execution;
  }

  /** What was stated of this host last. */
  get #known(): EventData<'HostFacts'> | undefined {
    return this.#followed?.realm && boundaryOf(this.#followed.realm, this.#options.host).state.facts.get('host');
  }

  get #carried(): ReadonlySet<string> {
    const { drivers, host } = this.#options;
    const realm = this.#followed?.realm;
    return realm ? carriedSubnets(boundaryOf(realm, host).state, (driver) => drivers.has(driver)) : new Set();
  }

  /** Tunnels begin at the address of the host. */
  #noteFacts({ underlay }: EventData<'HostFacts'>): void {
    const known = this.#known;
    if (known && known.underlay?.address !== underlay?.address) this.#execution?.repairLater();
  }

  #folded({ host, state, outcomeHead }: Boundary, position: number): void {
    const goOn = this.#goOn;
    if (goOn && host === this.#options.host && !isStopped(state)) {
      this.#goOn = null;
      goOn().catch((error) => this.#fail(error));
    }
    if (host === this.#options.host && outcomeHead?.position === position) this.#outbox?.check(outcomeHead);
    this.#peers.tell();
    this.#encryption.tell();
    this.#dns.reached(position);
    this.#taking?.wake();
  }
}
