/**
 * The worker of one host: takes intents from the log in order, makes the kernel what they say, reports what became of them. It keeps
 * no state of its own: its start is a census of the kernel against what the log adds up to.
 */
import type { Logger } from 'pino';
import type { Driver, HostContext } from '../../drivers/driver.ts';
import type { Kernel, KernelFacts } from '../../drivers/port.ts';
import { type Event, eventVersions } from '../../events/envelope.ts';
import { type EventData, isTerminal } from '../../events/events.ts';
import type { SubnetPool } from '../../events/ipam.ts';
import { subjects } from '../../events/names.ts';
import { createDns, type Dns } from '../dns/dns.ts';
import type { HostServers } from '../dns/upstreams.ts';
import type { Clock } from '../lib/clock.ts';
import { type Boundary, boundaryOf, type FollowedRealm, followRealm, knownHosts } from '../lib/realm.ts';
import type { Stream } from '../lib/stream.ts';
import { Encryption, encrypting } from './encryption.ts';
import { Execution, type Prepared, type Task, taskOf } from './execution.ts';
import { Leasing } from './leasing.ts';
import { Outbox } from './outbox.ts';
import { Peers } from './peers.ts';
import { Present } from './present.ts';
import { nextBatch } from './units.ts';

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

/** Its address for other hosts is the one that was stated last. */
const hostOf = (realm: string, { state }: Boundary, host: string): HostContext => ({
  realm,
  host,
  get underlay() {
    return state.facts.get('host')?.underlay ?? null;
  },
});

/** What every host has stated last. */
const statedBy = ({ realm }: FollowedRealm): readonly EventData<'HostFacts'>[] =>
  [...knownHosts(realm).values()].flatMap(({ facts }) => facts.get('host') ?? []);

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
      hosts: () => (this.#followed ? statedBy(this.#followed) : []),
      generation: () => this.#followed?.realm.shared.tunnelKeys.get('generation') ?? 0,
      renew: () => this.#renew('keys of encrypted networks are taken anew'),
      onFault: (error) => this.#fail(error),
    });
    this.failed = this.#failure.promise;
    this.failed.catch(() => undefined);
  }

  async start(): Promise<void> {
    const { realm, host, log, clock, logger, kernel, drivers, hostServers } = this.#options;
    const followed = followRealm(log, {
      // What is decided here and for all hosts, and what all hosts report: who is in a network elsewhere stands in those reports.
      subjects: [subjects.host(host), 'cnm.event.realm.>', 'cnm.outcome.>'],
      listener: {
        before: (boundary, event) => {
          this.#encryption.note(event);
          if (boundary.host === host) this.#note(event);
          else if (boundary.host !== null) this.#peers.note(boundary.host, event);
        },
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
    const execution = new Execution({
      kernel,
      clock,
      logger,
      state: boundary.state,
      deployment: { host: hostOf(realm, boundary, host), drivers, resolvConf: () => hostServers.config() },
      dns: this.#dns,
      present: this.#present,
      peers: encrypting(this.#peers, this.#encryption),
      announced: this.#announced,
      report: (reports) => outbox.push(reports),
      wake: () => this.#wake(),
    });
    await execution.begin();
    this.#execution = execution;
    await this.#encryption.begin();
    await this.#peers.begin();
    this.#watchFacts(outbox, boundary);
    this.#loop = this.#run(boundary, execution)
      .catch((error) => this.#fail(error))
      .finally(() => execution.close());
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelFacts();
    this.#wake();
    this.#leasing.stop();
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
    this.#peers.close();
    this.#encryption.close();
    this.#failure.reject(error);
    this.#wake();
    // Whoever comes next for this host answers in its place.
    void this.#dns.close();
  }

  #note(event: Event): void {
    const { type, data, meta } = event;
    if (type === 'HostFacts') this.#noteFacts(data);
    const isLeft = type === 'EndpointLeaveFailed' || type === 'EndpointDeleteFailed' || type === 'NetworkDeleteFailed';
    if (isLeft && data.fault.code !== 'DEPENDENCY_FAILED') this.#execution?.repairLater();
    if (type === 'HostLapsed' && data.host === this.#options.host) this.#returned(data.epoch);
    this.#leasing.note(event);
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
  async #run({ state }: Boundary, execution: Execution): Promise<void> {
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
      const tasks = running.size < batchesMax ? this.#take(state, execution) : [];
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

  #take(state: Boundary['state'], execution: Execution): readonly Task[] {
    const batch = nextBatch(state, this.#busy, (unit) => this.#leasing.isReady(state, unit));
    for (const { intents } of batch) for (const { meta } of intents) this.#busy.add(meta.id);
    return [...execution.takeDue(), ...batch.map((unit) => taskOf(unit, this.#leasing.faultOf(unit)))];
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
    this.#cancelFacts = clock.after(factsEveryMs, () => {
      look().catch((error) => {
        if (!this.#stopped) this.#fail(error);
      });
    });
  }

  /** We were taken for dead, and are not: a new epoch says so. Who is fenced cannot state one. */
  #returned(epoch: number): void {
    if (this.#epoch === epoch) this.#renew('this host was found to be away, and is not');
  }

  #renew(why: string): void {
    const { logger, kernel } = this.#options;
    this.#epoch += 1;
    logger.warn({ epoch: this.#epoch }, why);
    const state = async (): Promise<void> => {
      const data = this.#facts(await kernel.facts(), this.#epoch);
      if (!this.#stopped) this.#outbox?.push([{ fact: { type: 'HostFacts', data }, intent: null }]);
    };
    state().catch((error) => {
      if (!this.#stopped) this.#fail(error);
    });
  }

  #facts(facts: KernelFacts, epoch: number): EventData<'HostFacts'> {
    const { host, runDir, ula, pools, netnsRoots } = this.#options;
    return {
      ...facts,
      host,
      runDir,
      ula,
      routes: [...facts.routes],
      // A kernel that can encrypt is of no use without keys.
      capabilities: {
        ...facts.capabilities,
        esp: facts.capabilities.esp && this.#options.secret instanceof Uint8Array,
      },
      pools: pools.map((pool) => ({ ...pool })),
      netnsRoots: [...netnsRoots],
      reads: { ...eventVersions },
      epoch,
      underlay: facts.underlay && { ...facts.underlay },
      vlans: [...facts.vlans],
      linkRoutes: Object.fromEntries(Object.entries(facts.linkRoutes).map(([link, routes]) => [link, [...routes]])),
      drivers: [],
    };
  }
}
