/** A host's boundary in memory for tests of the rules: commands are decided and folded one by one, outcomes reported by hand. */
import assert from 'node:assert/strict';
import { drivers as builtInDrivers } from '../../drivers/registry.ts';
import { Command, type CommandInput, type CommandType } from '../../events/commands.ts';
import { type Decision, decide } from '../../events/decide.ts';
import type { DriverRules } from '../../events/driver-rules.ts';
import { type Event, encodeEvent, eventVersions } from '../../events/envelope.ts';
import { type EventData, type EventType, type Fact, type Fault, isIntent, outcomesOf } from '../../events/events.ts';
import { evolve } from '../../events/evolve.ts';
import { commandId } from '../../events/names.ts';
import { type BoundaryState, type EndpointRow, initialState, type NetworkRow } from '../../events/state.ts';
import { aboutOf } from '../../services/lib/about.ts';
import type { Clock } from '../../services/lib/clock.ts';

export const startMs = Date.UTC(2026, 0, 5, 12);

/** A clock that stands still until it is moved; timers run as it passes them, in order. */
export class FakeClock implements Clock {
  #nowMs = startMs;
  #serial = 0;
  #timers: { readonly atMs: number; readonly run: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs - startMs;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  randomId(length = 16): string {
    this.#serial += 1;
    return this.#serial.toString(36).padStart(length, '0');
  }

  get timers(): number {
    return this.#timers.length;
  }

  /** Moves on, timer by timer; `turn` lets what they started go on before the next. */
  async advance(ms: number, turn: () => Promise<void> = async () => undefined): Promise<void> {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const next = this.#timers.filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (!next) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run();
      await turn();
    }
    this.#nowMs = endMs;
    await turn();
  }
}

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

/** The outcome of an intent: done, or failed with a fault. */
export const outcomeOf = (intent: Event, problem: Fault | null): Fact => {
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
  const inSandbox = data.sandbox ? { sandbox: { id, incarnation } } : {};
  const joined =
    type === 'EndpointJoined' ? { key, interface: data.interface, ipv4: null, ipv6: null, mac: null, routes: [] } : {};
  return { type, data: { ...ids, ...inSandbox, ...joined, ...failed } } as unknown as Fact;
};

export interface WorldOptions {
  readonly facts?: Partial<EventData<'HostFacts'>>;
  readonly drivers?: ReadonlyMap<string, DriverRules>;
  readonly quarantineMs?: number;
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

  constructor({ facts = {}, drivers = builtInDrivers, quarantineMs = 60_000 }: WorldOptions = {}) {
    this.#drivers = drivers;
    this.#quarantineMs = quarantineMs;
    this.report({ type: 'HostFacts', data: hostFacts(this.host, facts) }, null);
  }

  newId(): string {
    this.#serial += 1;
    return this.#serial.toString(36).padStart(12, '0');
  }

  decide<T extends CommandType>(type: T, data: CommandInput<T>): Decision {
    const command = Command.parse({ id: commandId(this.nowMs, 'x'), type, data });
    return decide(this.state, command, {
      host: this.host,
      nowMs: this.nowMs,
      drivers: this.#drivers,
      newId: () => this.newId(),
      quarantineMs: this.#quarantineMs,
    });
  }

  /** Decides a command that must be accepted, and folds its events. */
  run<T extends CommandType>(type: T, data: CommandInput<T>, sender: Sender = {}): readonly Event[] {
    const decision = this.decide(type, data);
    if (!decision.ok) return assert.fail(`${type} was refused: ${decision.code} ${decision.detail}`);
    const id = sender.id ?? commandId(this.nowMs, `c${this.newId()}`);
    return decision.facts.map((fact) => this.record(fact, { type, ...sender, id }));
  }

  /** Folds a decision's fact. */
  record(fact: Fact, command: Sender & { readonly type: string; readonly id: string }): Event {
    const deadline = new Date(this.nowMs + (command.deadlineMs ?? 30_000)).toISOString();
    return this.#fold(fact, {
      actor: command.actor ?? 'alice',
      commandid: command.id,
      correlationid: command.id,
      causationid: command.id,
      commandtype: command.type,
      commandseq: this.log.length,
      commanddigest: 'digest',
      ...(isIntent(fact.type) ? { executors: this.host, deadline } : {}),
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
