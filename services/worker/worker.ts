import type { Event } from '../../events/envelope.ts';
import { type EventData, isTerminal } from '../../events/events.ts';
import { subjects } from '../../events/names.ts';
import { type BoundaryState, isStopped } from '../../events/state.ts';
import type { DriftRow } from '../../projections/drift.ts';
import type { PeerRow } from '../../projections/peers.ts';
import type { DnsCounts } from '../dns/dns.ts';
import type { Look } from '../lib/health.ts';
import type { Opening } from '../lib/opening.ts';
import { type Boundary, boundaryOf, type FollowedRealm, followRealm, type Realm } from '../lib/realm.ts';
import { noTracing } from '../lib/trace.ts';
import { Capacity, type Use } from './capacity.ts';
import { Consulting } from './consulting.ts';
import type { DriftMemory } from './drift-memory.ts';
import { encrypting } from './encryption.ts';
import { Execution } from './execution.ts';
import { HostDeclaredLost } from './lost.ts';
import { lookAt } from './meter.ts';
import { Outbox } from './outbox.ts';
import { listenToParked, whyParked } from './parked.ts';
import { Parts } from './parts.ts';
import { type LogScene, lookBack } from './regressed.ts';
import type { Report } from './reports.ts';
import { hostOf, statedBy } from './statement.ts';
import { Taking } from './taking.ts';
import type { WorkerOptions } from './worker-options.ts';

export type { WorkerOptions } from './worker-options.ts';

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
  readonly #parts: Parts;
  /** Whether the host has not been booted since it was stated last. */
  #isSameBoot = false;
  #consulting: Consulting | null = null;
  /** Null until intents are taken. */
  #taking: Taking | null = null;
  #capacity: Capacity | null = null;
  /** What is still to be done to start, while the log is an older copy. */
  #goOn: (() => Promise<void>) | null = null;
  /** Nothing is begun any more, and nobody is listened to. */
  readonly #ending = new AbortController();
  #loop: Promise<void> = Promise.resolve();

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#parts = new Parts(options, {
      followed: () => this.#followed,
      execution: () => this.#execution,
      isSameBoot: () => this.#isSameBoot,
      report: (reports) => this.#outbox?.push(reports),
      ready: (intent) => this.#taking?.ready(intent),
      fail: (error) => this.#fail(error),
    });
    this.failed = this.#failure.promise;
    this.failed.catch(() => undefined);
  }

  async start(): Promise<void> {
    const { realm, host, log, clock, logger, kernel, drivers, hostServers, plugins } = this.#options;
    const { memory, peers, encryption, stating, drift, dns, present } = this.#parts;
    const onFault = (error: unknown) => this.#fail(error);
    const followed = followRealm(log, {
      memoryMs: 0,
      // What is decided here and for all hosts, and what all hosts report: who is in a network elsewhere stands in those reports.
      subjects: [subjects.host(host), 'cnm.event.realm.>', 'cnm.event.segment.*', 'cnm.outcome.>'],
      listener: {
        before: (boundary, event) => {
          encryption.note(event);
          if (event.type === 'RealmOpened' || event.type === 'SegmentOpened') memory.opened(event.data.epoch);
          if (event.type === 'PeersForgotten') peers.note(event.data.host, event);
          if (boundary.host === null) return;
          const consulting = this.#consultingOn(boundaryOf(followed.realm, host).state);
          consulting.noteHost(boundary.host, event);
          if (boundary.host === host) this.#note(event, consulting);
          peers.note(boundary.host, event);
        },
        opened: (realm, opening) => this.#opened(realm, opening),
        folded: (boundary, position, message) => {
          memory.folded(message, message.subject === subjects.outcome(host));
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
    this.#isSameBoot = this.#parts.known?.bootId === found.bootId;
    const place = hostOf({ realm, host }, boundary, present);
    const deployment = { host: place, drivers, resolvConf: () => hostServers.config() };
    const regressed = await this.#lookBack(found.bootId, { state: boundary.state, deployment });
    await outbox.open(() => [stating.first(found), ...regressed]);
    if (this.#stopped) throw new Error('worker: stopped while it was starting');
    memory.live();
    const consulting = this.#consultingOn(boundary.state);
    const execution = new Execution({
      kernel,
      clock,
      logger,
      state: boundary.state,
      deployment,
      dns,
      present,
      peers: encrypting(peers, encryption),
      consulting,
      drift,
      announced: this.#announced,
      report: (reports) => outbox.push(reports),
      wake: () => this.#taking?.wake(),
      onFault,
      tracing,
    });
    this.#execution = execution;
    stating.watch();
    const { pools } = this.#options;
    const report = (reports: readonly Report[]) => outbox.push(reports);
    this.#capacity = new Capacity({
      ...{ host, kernel, state: boundary.state, drivers, pools, clock, logger, report, onFault },
    });
    await this.#capacity.begin();
    plugins.onChange(() => stating.restate(), this.#ending.signal);
    const begin = () => this.#begin(boundary.state, consulting, execution);
    if (!isStopped(boundary.state)) return begin();
    logger.error({ host }, 'the log is older than what was read of it: nothing is changed here (cnm host inspect)');
    await execution.reconciliation.adopt();
    if (isStopped(boundary.state)) this.#goOn = begin;
    else await begin();
  }

  /** Makes the kernel as the log says, and takes intents from there on. */
  async #begin(state: BoundaryState, consulting: Consulting, execution: Execution): Promise<void> {
    const onFault = (error: unknown) => this.#fail(error);
    const { drift, encryption, peers, leasing } = this.#parts;
    consulting.begin();
    await execution.reconciliation.begin();
    if (!this.#stopped) drift.begin();
    await encryption.begin();
    await peers.begin();
    this.#options.plugins.onActivated(() => execution.reconciliation.pluginActivated(), this.#ending.signal);
    const taking = new Taking({ state, execution, consulting, leasing, onFault });
    this.#taking = taking;
    if (this.#stopped) taking.stop();
    this.#loop = taking
      .run()
      .catch((error) => this.#fail(error))
      .finally(() => execution.close());
  }

  async #lookBack(bootId: string, scene: LogScene): Promise<readonly Report[]> {
    const { log, host, kernel, logger } = this.#options;
    return lookBack(this.#parts.memory, { log, realm: this.#followed?.realm, kernel, logger, host, bootId, scene });
  }

  async stop(): Promise<void> {
    if (this.#goOn) this.#execution?.close();
    this.#endAll();
    await this.#loop;
    await this.#outbox?.close();
    await this.#followed?.reader.stop();
    await this.#parts.dns.close();
    this.#parts.memory.close();
  }

  /** Bugs and fences end it: nothing more is done to the kernel, and nothing more is reported. */
  #fail(error: unknown): void {
    this.#endAll();
    this.#outbox?.abandon();
    this.#parts.memory.close();
    this.#failure.reject(error);
    // Whoever comes next for this host answers in its place.
    void this.#parts.dns.close();
  }

  /** Nothing is begun any more. */
  #endAll(): void {
    this.#ending.abort();
    this.#goOn = null;
    this.#capacity?.stop();
    this.#consulting?.close();
    this.#parts.close();
    this.#taking?.stop();
  }

  get #stopped(): boolean {
    return this.#ending.signal.aborted;
  }

  look(): Look {
    const { host, clock } = this.#options;
    const boundary = this.#followed && boundaryOf(this.#followed.realm, host);
    const stageOf = (intent: string): string => this.#taking?.stageOf(intent) ?? 'the start of the worker';
    return lookAt(boundary, this.#outbox?.counts ?? null, stageOf, clock.nowMs());
  }

  get dnsCounts(): DnsCounts {
    return this.#parts.dns.counts;
  }

  get capacityUses(): readonly Use[] {
    return this.#capacity?.uses ?? [];
  }

  lookAround(): void {
    if (this.#goOn) return;
    this.#parts.peers.look();
    this.#parts.encryption.lookSoon();
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
      epoch: () => this.#parts.stating.epoch,
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
    for (const facts of hosts) this.#parts.peers.state(facts.host, facts);
    for (const [kind, row, , found] of opening.lines())
      if (kind === 'peer') this.#parts.peers.carry(row as PeerRow);
      else if (kind === 'view' && row === 'drift') this.#carryDrift(found as DriftRow);
  }

  #carryDrift(row: DriftRow): void {
    if (row.host === this.#options.host) this.#parts.drift.memory.carry(row);
  }

  #note(event: Event, consulting: Consulting): void {
    const { type, data, meta } = event;
    const { stating, leasing, drift } = this.#parts;
    if (type === 'HostFacts') this.#noteFacts(data);
    const isLeft = type === 'EndpointLeaveFailed' || type === 'EndpointDeleteFailed' || type === 'NetworkDeleteFailed';
    if (isLeft && data.fault.code !== 'DEPENDENCY_FAILED') this.#execution?.reconciliation.soon();
    if (type === 'HostResumed' || type === 'SandboxReclaimed') this.#execution?.reconciliation.soon();
    // One that has stated another epoch by then was not lost.
    if (type === 'HostLost' && data.epoch === this.#parts.known?.epoch) {
      drift.memory.clear();
      if (this.#outbox) this.#fail(new HostDeclaredLost(data));
    }
    if (type === 'HostLapsed' && data.host === this.#options.host) stating.returned(data.epoch);
    if (!this.#execution && 'drift' in data) drift.memory.fold(event as Parameters<DriftMemory['fold']>[0]);
    leasing.note(event);
    consulting.note(event);
    this.#taking?.note(event);
    if (isTerminal(type)) leasing.forget(meta.causationid);
    if (type === 'SandboxCreated') this.#announced.add(data.sandbox.incarnation);
    if (type === 'SandboxRemoved') this.#announced.delete(data.sandbox.incarnation);
  }

  /** Tunnels begin at the address of the host. */
  #noteFacts({ underlay }: EventData<'HostFacts'>): void {
    const { known } = this.#parts;
    if (known && known.underlay?.address !== underlay?.address) this.#execution?.reconciliation.soon();
  }

  #folded({ host, state, outcomeHead }: Boundary, position: number): void {
    const goOn = this.#goOn;
    if (goOn && host === this.#options.host && !isStopped(state)) {
      this.#goOn = null;
      goOn().catch((error) => this.#fail(error));
    }
    if (host === this.#options.host && outcomeHead?.position === position) this.#outbox?.check(outcomeHead);
    this.#parts.peers.tell();
    this.#parts.encryption.tell();
    this.#parts.dns.reached(position);
    this.#taking?.wake();
  }
}
