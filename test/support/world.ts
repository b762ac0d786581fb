/** A host's boundary in memory for tests of the rules: commands are decided and folded one by one, outcomes reported by hand. */
import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { pino } from 'pino';
import { drivers as builtInDrivers } from '../../drivers/registry.ts';
import { remoteDriver } from '../../drivers/remote.ts';
import { Command, type CommandInput, type CommandType } from '../../events/commands.ts';
import { type Decision, decide } from '../../events/decide.ts';
import type { DriverRules } from '../../events/driver-rules.ts';
import {
  batchType,
  commitHeaders,
  decodeCommit,
  type Event,
  encodeCommit,
  encodeEvent,
  eventVersions,
  isMixed,
  isRevertible,
} from '../../events/envelope.ts';
import { type EventData, type EventType, type Fact, type Fault, isIntent, outcomesOf } from '../../events/events.ts';
import { evolve } from '../../events/evolve.ts';
import { DEFAULT_REALM_POOLS } from '../../events/ipam.ts';
import { commandId, subjects } from '../../events/names.ts';
import { type BoundaryState, type EndpointRow, executorOf, initialState, type NetworkRow } from '../../events/state.ts';
import { type Controller, type ControllerOptions, createController } from '../../services/controller/controller.ts';
import { aboutOf } from '../../services/lib/about.ts';
import type { Clock } from '../../services/lib/clock.ts';
import { chainHash } from '../../services/lib/hash.ts';
import { boundaryOf, type FollowedRealm, followRealm } from '../../services/lib/realm.ts';
import type { Message, Stream } from '../../services/lib/stream.ts';
import { FakeClock, startMs } from './fake-clock.ts';

export { FakeClock, startMs };

/** What the worker of a host says about it. */
export const hostFacts = (host: string, changes: Partial<EventData<'HostFacts'>> = {}): EventData<'HostFacts'> => ({
  host,
  bootId: 'boot',
  kernel: '6.12.0',
  runDir: `/run/cnm/${host}`,
  routes: [],
  capabilities: { netAdmin: true, sysAdmin: true, bridge: true, veth: true, nftables: true, netns: true, ipv6: true },
  mtu: 1500,
  ula: 'fd12:3456:789a::/48',
  pools: [{ base: '10.200.0.0/14', size: 24 }],
  netnsRoots: ['/run', '/var/run', '/proc'],
  reads: {},
  epoch: 1,
  underlay: null,
  vlans: [],
  linkRoutes: {},
  underlayAsked: null,
  drivers: [],
  ...changes,
});

export const fault = (code = 'KERNEL_ERROR'): Fault => ({
  code,
  step: 'create veth',
  errno: 'EPERM',
  text: 'no',
  retryable: false,
  undoFaults: [],
});

/** What is said of the removals of a move that failed. */
const revertedOf = (intent: Event, problem: Fault): Fact | null => {
  if (!isRevertible(intent)) return null;
  if (intent.type === 'EndpointLeaveRequested') {
    const { last: _, gateways: __, ...data } = intent.data;
    return { type: 'EndpointLeaveReverted', data: { ...data, fault: problem } };
  }
  if (intent.type !== 'EndpointDeleteRequested') return null;
  const { endpointId, networkId, name } = intent.data;
  return { type: 'EndpointDeleteReverted', data: { endpointId, networkId, name, fault: problem } };
};

/** The outcome of an intent: done, or failed with a fault. */
export const outcomeOf = (intent: Event, problem: Fault | null): Fact => {
  const reverted = problem && revertedOf(intent, problem);
  if (reverted) return reverted;
  assert.ok(isIntent(intent.type), `${intent.type} is no intent`);
  const type = outcomesOf[intent.type][problem ? 'failed' : 'done'];
  const failed = problem ? { fault: problem } : {};
  const data = intent.data as Record<string, unknown>;
  const about = (data.network ?? data.endpoint ?? data) as Record<string, unknown>;
  const ids = {
    ...(intent.type === 'DriverConfigureRequested' ? { driver: data.driver } : { name: about.name }),
    ...(intent.type.startsWith('Network') ? { networkId: about.networkId ?? about.id } : {}),
    ...(intent.type.startsWith('Endpoint')
      ? { endpointId: about.endpointId ?? about.id, networkId: about.networkId }
      : {}),
  };
  const { id, incarnation, key } = (data.sandbox ?? {}) as Record<string, unknown>;
  const isIn = data.sandbox && intent.type !== 'EndpointUpdateRequested';
  const inSandbox = isIn ? { sandbox: { id, incarnation } } : {};
  const published = type === 'EndpointUpdated' ? { ports: [], peer: null } : {};
  const joined =
    type === 'EndpointJoined'
      ? { key, interface: data.interface, ipv4: null, ipv6: null, mac: null, routes: [], ports: [], peer: null }
      : {};
  return { type, data: { ...ids, ...inSandbox, ...joined, ...published, ...failed } } as unknown as Fact;
};

export interface WorldOptions {
  readonly facts?: Partial<EventData<'HostFacts'>>;
  readonly drivers?: ReadonlyMap<string, DriverRules>;
  readonly quarantineMs?: number;
  /** Where its ids begin, for worlds that are looked at together. */
  readonly serial?: number;
}

export interface Sender {
  readonly actor?: string;
  readonly id?: string;
  readonly deadlineMs?: number;
}

export class World {
  readonly host = 'h1';
  readonly state: BoundaryState = initialState();
  /** Every event so far, each a commit of its own. */
  readonly log: Event[] = [];
  nowMs = startMs;
  readonly #drivers: ReadonlyMap<string, DriverRules>;
  readonly #quarantineMs: number;
  #serial = 0;

  constructor({ facts = {}, drivers = builtInDrivers, quarantineMs = 60_000, serial = 0 }: WorldOptions = {}) {
    this.#serial = serial;
    this.#drivers = drivers;
    this.#quarantineMs = quarantineMs;
    this.report({ type: 'HostFacts', data: hostFacts(this.host, facts) }, null);
  }

  newId(): string {
    this.#serial += 1;
    return this.#serial.toString(36).padStart(12, '0');
  }

  decide<T extends CommandType>(type: T, data: CommandInput<T>, { actor = 'alice' }: Sender = {}): Decision {
    const command = Command.parse({ id: commandId(this.nowMs, 'x'), type, data });
    return decide(this.state, command, {
      host: this.host,
      hosts: new Map([[this.host, this.state]]),
      realmPools: DEFAULT_REALM_POOLS,
      realmUla: 'fdaa:bbbb:cccc::/48',
      actor,
      nowMs: this.nowMs,
      drivers: this.#drivers,
      plugin: remoteDriver,
      newId: () => this.newId(),
      quarantineMs: this.#quarantineMs,
    });
  }

  /** Decides a command that must be accepted, and folds its events. */
  run<T extends CommandType>(type: T, data: CommandInput<T>, sender: Sender = {}): readonly Event[] {
    const decision = this.decide(type, data, sender);
    if (!decision.ok) return assert.fail(`${type} was refused: ${decision.code} ${decision.detail}`);
    const id = sender.id ?? commandId(this.nowMs, `c${this.newId()}`);
    return this.recordAll(decision.facts, { type, ...sender, id });
  }

  /** Folds a decision. */
  recordAll(
    facts: readonly Fact[],
    command: Sender & { readonly type: string; readonly id: string },
  ): readonly Event[] {
    const revertible = isMixed(facts) ? { revertible: true } : {};
    return facts.map((fact) => this.record(fact, command, revertible));
  }

  /** Folds a decision's fact. */
  record(
    fact: Fact,
    command: Sender & { readonly type: string; readonly id: string },
    more: Partial<Event['meta']> = {},
  ): Event {
    const deadline = new Date(this.nowMs + (command.deadlineMs ?? 30_000)).toISOString();
    return this.#fold(fact, {
      actor: command.actor ?? 'alice',
      commandid: command.id,
      correlationid: command.id,
      causationid: command.id,
      commandtype: command.type,
      commandseq: this.log.length,
      commanddigest: 'digest',
      ...(isIntent(fact.type) ? { executors: executorOf(this.state, fact, this.host), deadline, ...more } : {}),
    });
  }

  /** Folds what a worker says: about an intent, or by itself. */
  report(fact: Fact, intent: Event | null): Event {
    return this.#fold(fact, {
      actor: intent?.meta.actor ?? '',
      commandid: intent?.meta.commandid ?? '',
      correlationid: intent?.meta.correlationid ?? '',
      causationid: intent?.meta.id ?? '',
    });
  }

  /** Reports every open intent as done, and sandboxes as made and removed. */
  succeed(): void {
    for (const intent of [...this.state.intents.values()]) this.succeedOne(intent);
  }

  succeedOne(intent: Event): void {
    if (intent.type === 'EndpointJoinRequested') {
      const row = this.state.sandboxes.get(intent.data.sandbox.incarnation);
      if (row?.status === 'creating')
        this.report({ type: 'SandboxCreated', data: { sandbox: intent.data.sandbox } }, intent);
    }
    this.report(outcomeOf(intent, null), intent);
    if (intent.type === 'EndpointLeaveRequested' && intent.data.last)
      this.report({ type: 'SandboxRemoved', data: { sandbox: intent.data.sandbox } }, intent);
  }

  /** Reports the first open intent of a type as failed. */
  fail(type: EventType, problem = fault()): void {
    const intent = [...this.state.intents.values()].find((open) => open.type === type);
    assert.ok(intent, `there is no open ${type}`);
    this.report(outcomeOf(intent, problem), intent);
  }

  network(name: string): NetworkRow {
    const rows = [...this.state.networks.values()].filter(({ facts }) => facts.name === name);
    return rows.at(-1) ?? assert.fail(`no network ${name}`);
  }

  endpoint(name: string): EndpointRow {
    const rows = [...this.state.endpoints.values()].filter(({ facts }) => facts.name === name);
    return rows.at(-1) ?? assert.fail(`no endpoint ${name}`);
  }

  #fold(fact: Fact, more: Omit<Event['meta'], 'id' | 'source' | 'subject' | 'time'>): Event {
    const position = this.log.length + 1;
    const meta: Event['meta'] = {
      id: `commit${position}.0`,
      source: '/cnm/test/world',
      subject: aboutOf(fact),
      time: new Date(this.nowMs).toISOString(),
      ...more,
    };
    const event = { ...fact, version: eventVersions[fact.type], meta } as Event;
    encodeEvent(event);
    this.log.push(event);
    evolve(this.state, event, position);
    return event;
  }
}

export const silent = pino({ level: 'silent' });

/** Lets everything that is under way go on, as far as it does not wait for a clock. */
export const turn = async (rounds = 60): Promise<void> => {
  for (let round = 0; round < rounds; round++) await setImmediate();
};

/** Waits as long as something goes on. @throws naming `what` when it does not come true */
export const until = async (predicate: () => boolean, what: string): Promise<void> => {
  const deadlineMs = performance.now() + 20_000;
  while (!predicate()) {
    assert.ok(performance.now() < deadlineMs, `not yet: ${what}`);
    await turn(20);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
};

/** An answer as it was sent to the sender of a command. */
export interface Answered {
  readonly subject: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** What a controller may be told otherwise than as by default. */
export type Settings = Pick<ControllerOptions, 'realmPools' | 'operators' | 'fairRate' | 'memoryMs'>;

/** A controller on given streams that keeps its answers. */
export const startController = (
  streams: { readonly log: Stream; readonly commands: Stream },
  clock: Clock,
  answers: Answered[],
  settings: Settings = {},
): Controller =>
  createController({
    ...streams,
    realm: 'test',
    drivers: builtInDrivers,
    publish: (subject, body) => answers.push({ subject, body: JSON.parse(body) as Answered['body'] }),
    clock,
    logger: silent,
    quarantineMs: 60_000,
    ...settings,
  });

/** A worker that touches nothing: it reports what it is told to say about each intent, as soon as it sees it. */
export class Reporter {
  readonly host: string;
  /** Why an intent fails; null when it is done. */
  verdict: (intent: Event) => Fault | null = () => null;
  isPaused = false;
  /** What it says of its host beside what is common. */
  facts: Partial<EventData<'HostFacts'>> = {};
  readonly #log: Stream;
  readonly #clock: Clock;
  #followed: FollowedRealm | null = null;
  readonly #reported = new Set<string>();
  #sending: Promise<void> = Promise.resolve();

  constructor(log: Stream, clock: Clock, host: string) {
    this.#log = log;
    this.#clock = clock;
    this.host = host;
  }

  async start(): Promise<void> {
    this.#followed = followRealm(this.#log, { listener: { folded: () => this.work() } });
    await this.#followed.reader.caughtUp;
    await this.state();
  }

  /** States facts of its host. */
  async state(changes: Partial<EventData<'HostFacts'>> = {}): Promise<void> {
    this.#send([[{ type: 'HostFacts', data: hostFacts(this.host, { ...this.facts, ...changes }) }, null]]);
    await this.#sending;
  }

  async stop(): Promise<void> {
    await this.#followed?.reader.stop();
    await this.#sending;
  }

  work(): void {
    if (!this.#followed || this.isPaused) return;
    const { state } = boundaryOf(this.#followed.realm, this.host);
    for (const intent of [...state.intents.values()]) {
      if (this.#reported.has(intent.meta.id)) continue;
      this.#reported.add(intent.meta.id);
      const problem = state.expired.has(intent.meta.id) ? fault('TIMED_OUT') : this.verdict(intent);
      const reports: [Fact, Event][] = [[outcomeOf(intent, problem), intent]];
      if (intent.type === 'EndpointLeaveRequested' && intent.data.last)
        reports.push([{ type: 'SandboxRemoved', data: { sandbox: intent.data.sandbox } }, intent]);
      if (intent.type === 'EndpointJoinRequested' && !problem)
        reports.push([{ type: 'SandboxCreated', data: { sandbox: intent.data.sandbox } }, intent]);
      this.#send(reports);
    }
  }

  #send(reports: readonly (readonly [fact: Fact, intent: Event | null])[]): void {
    this.#sending = this.#sending.then(async () => {
      const id = this.#clock.randomId(12);
      const events = reports.map(([fact, intent], index): Event => {
        const meta: Event['meta'] = {
          id: `${id}.${index}`,
          source: `/cnm/test/worker/${this.host}`,
          subject: aboutOf(fact),
          time: new Date(this.#clock.nowMs()).toISOString(),
          actor: intent?.meta.actor ?? '',
          commandid: intent?.meta.commandid ?? '',
          correlationid: intent?.meta.correlationid ?? '',
          causationid: intent?.meta.id ?? '',
        };
        return { ...fact, version: eventVersions[fact.type], meta } as Event;
      });
      const subject = subjects.outcome(this.host);
      const head = await this.#log.lastOn(subject);
      const headers = {
        [commitHeaders.contentType]: batchType,
        ...(head ? { [commitHeaders.prevHash]: chainHash(head) } : {}),
      };
      const expectedLast = head?.position ?? 0;
      const appended = await this.#log.append({ subject, body: encodeCommit(events), id, expectedLast, headers });
      assert.equal(appended.kind, 'appended');
    });
  }
}

/** Every event on a log, with the position of its commit. */
export const eventsOn = (messages: Iterable<Pick<Message, 'body' | 'subject' | 'position'>>) =>
  [...messages].flatMap(({ body, subject, position }) =>
    decodeCommit(body, subject).map((event) => ({ ...event, position })),
  );
