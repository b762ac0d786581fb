/** The worker of a host in the model: what it executes, in which order, and what it says about it. */
import assert from 'node:assert/strict';
import { commitHeaders, type Event, encodeCommit, eventVersions, isRevertible } from '../../events/envelope.ts';
import { type EventData, type Fact, type Fault, isConstructive } from '../../events/events.ts';
import { type OpenLease, openLeases } from '../../events/leases.ts';
import { commandId, subjects, workerActor } from '../../events/names.ts';
import { type BoundaryState, networkOf } from '../../events/state.ts';
import { aboutOf } from '../../services/lib/about.ts';
import { applyMessage, boundaryOf, emptyRealm, type Realm } from '../../services/lib/realm.ts';
import type { Message } from '../../services/lib/stream.ts';
import { fault, hostFacts, outcomeOf } from '../support/world.ts';

export interface Stored {
  readonly subject: string;
  readonly body: Uint8Array | string;
  readonly headers: Readonly<Record<string, string>>;
}

export const messageOf = ({ subject, body, headers }: Stored, position: number, recordedMs: number): Message => ({
  position,
  recordedMs,
  subject,
  body: typeof body === 'string' ? new TextEncoder().encode(body) : body,
  pending: 0,
  header: (name) => headers[name] ?? '',
  headers: () => Object.entries(headers),
});

/** What the parts of a model share. */
export interface Place {
  readonly log: readonly Message[];
  readonly nowMs: number;
  newId(): string;
  send(subject: string, body: string): void;
  /** All or nothing. @returns the position of the last, or null when a guard does not hold */
  append(commits: readonly Guarded[]): number | null;
}

/** A commit with the guard that it is appended under. */
export interface Guarded {
  readonly stored: Stored;
  readonly expectedLast: number;
}

/** How many messages a part leaves unread before it acts. */
export type Lag = number;

export class Follower<Home extends Place> {
  realm: Realm = emptyRealm();
  protected readonly model: Home;

  constructor(model: Home) {
    this.model = model;
  }

  /** Reads the log up to `lag` messages before its end, and in any case up to `least`. */
  fold(lag: Lag, least = 0): void {
    const upTo = Math.max(least, this.model.log.length - lag);
    while (this.realm.position < upTo) {
      const message = this.model.log[this.realm.position];
      if (message) applyMessage(this.realm, message);
    }
  }
}

export class ModelWorker extends Follower<Place> {
  readonly host: string;
  #busy = new Set<string>();
  #dead = new Set<string>();
  #announced = new Set<string>();
  /** Endpoints whose leave failed: they cannot join before. */
  #unable = new Set<string>();
  /** Ids of joins that fail by the report that is being made. */
  readonly #undone = new Set<string>();
  /** Intents that no host port is found for. */
  #hopeless = new Set<string>();
  /** How often host ports were asked for. */
  readonly #attempts = new Map<string, number>();

  readonly #facts: Partial<EventData<'HostFacts'>>;

  constructor(model: Place, host: string, facts: Partial<EventData<'HostFacts'>>) {
    super(model);
    this.host = host;
    this.#facts = facts;
  }

  get #state(): BoundaryState {
    return boundaryOf(this.realm, this.host).state;
  }

  /** Reports what it says of itself. */
  introduce(): void {
    this.fold(0);
    this.#report([{ fact: { type: 'HostFacts', data: hostFacts(this.host, this.#facts) }, intent: null }]);
  }

  /** A worker comes back under the next epoch: where the host was lost, it begins with nothing. */
  comeBack(): void {
    this.fold(0);
    const epoch = (this.#state.facts.get('host')?.epoch ?? 0) + 1;
    this.#report([
      { fact: { type: 'HostFacts', data: hostFacts(this.host, { ...this.#facts, epoch }) }, intent: null },
    ]);
  }

  /** The open intents, with those of one move together: it happens as a whole. */
  #units(): readonly (readonly Event[])[] {
    const units = new Map<string, Event[]>();
    for (const intent of this.#state.intents.values()) {
      const { id, actor, commandid } = intent.meta;
      const key = isRevertible(intent) ? `${actor} ${commandid}` : id;
      const unit = units.get(key);
      if (unit) unit.push(intent);
      else units.set(key, [intent]);
    }
    return [...units.values()];
  }

  /** Executes some open intents in order; each `verdict` says whether the kernel does the next one. */
  work(count: number, lag: Lag, verdicts: readonly boolean[]): boolean {
    this.fold(lag);
    for (const id of this.#busy) if (!this.#state.intents.has(id) || this.#state.expired.has(id)) this.#busy.delete(id);
    const open = this.#units().filter((unit) => !unit.some(({ meta }) => this.#busy.has(meta.id)));
    // In order: what waits for ports holds up what comes after it.
    const units = open.slice(0, count);
    const waiting = units.findIndex((unit) => this.#unleased(unit).length > 0);
    const ready = waiting < 0 ? units : units.slice(0, waiting);
    const isAsking = ready.length === 0 && this.#lease(units[0] ?? []);
    if (ready.length === 0) return isAsking;
    this.#undone.clear();
    const reports = ready.flatMap((unit, index) => {
      for (const { meta } of unit) this.#busy.add(meta.id);
      return this.#execute(unit, verdicts[index % Math.max(1, verdicts.length)] ?? true);
    });
    this.#report(reports);
    return true;
  }

  #unleased(unit: readonly Event[]): readonly OpenLease[] {
    if (unit.some(({ meta }) => this.#state.expired.has(meta.id) || this.#hopeless.has(meta.id))) return [];
    return unit.flatMap((intent) => openLeases(this.#state, intent));
  }

  /** Asks for host ports, one after another; where none is free the intent fails. */
  #lease(unit: readonly Event[]): boolean {
    const [intent] = unit;
    const [lease] = this.#unleased(unit);
    if (!intent || !lease) return false;
    const { id } = intent.meta;
    const { from, to } = lease.port.choice ?? { from: 90, to: 93 };
    const attempt = this.#attempts.get(id) ?? 0;
    // Each attempt looks at the next port, whether or not the controller has answered the one before.
    const hostPort = from + (attempt % (to - from + 1));
    if (attempt > 12) this.#hopeless.add(id);
    this.#attempts.set(id, attempt + 1);
    const { holder, index } = lease;
    const data = { intent: id, ports: [{ holder, index, hostPort }] };
    const body = { id: commandId(this.model.nowMs, `lease/${id}/${attempt}`), type: 'LeasePorts', data };
    this.model.send(subjects.command(workerActor(this.host), this.host), JSON.stringify(body));
    return true;
  }

  /** Looks at the kernel: a sandbox that nobody wants and that no intent is about is gone by now, whatever its leave met. */
  census(): void {
    this.fold(0);
    const leaving = new Set(
      [...this.#state.intents.values()].map(({ data }) => ('sandbox' in data ? (data.sandbox?.incarnation ?? '') : '')),
    );
    const gone = [...this.#state.sandboxes.values()].filter(
      ({ facts, status }) => status === 'removing' && !leaving.has(facts.incarnation),
    );
    if (gone.length > 0)
      this.#report(
        gone.map(({ facts: sandbox }) => ({ fact: { type: 'SandboxRemoved', data: { sandbox } }, intent: null })),
      );
  }

  #execute(unit: readonly Event[], verdict: boolean): readonly { readonly fact: Fact; readonly intent: Event }[] {
    const problem = unit.map((intent) => this.#problem(intent, verdict)).find((one) => one !== null) ?? null;
    return unit.flatMap((intent) => {
      if (problem && intent.type === 'NetworkCreateRequested') this.#dead.add(intent.data.network.id);
      if (problem && intent.type === 'EndpointCreateRequested') this.#dead.add(intent.data.endpoint.id);
      return [
        { fact: this.#told(outcomeOf(intent, problem), intent), intent },
        ...this.#sandboxReports(intent, problem !== null),
      ];
    });
  }

  /** With what other hosts have to know of an endpoint in a network that they have too. */
  #told(fact: Fact, intent: Event): Fact {
    if (!('networkId' in intent.data) || networkOf(this.#state, intent.data.networkId)?.facts.scope !== 'realm')
      return fact;
    const peer = { names: [`${'name' in intent.data ? intent.data.name : ''}`.toLowerCase()], services: [] };
    if (fact.type === 'EndpointUpdated') return { ...fact, data: { ...fact.data, peer } };
    if (fact.type !== 'EndpointJoined' || intent.type !== 'EndpointJoinRequested') return fact;
    const { ipv4, ipv6, mac } = intent.data;
    return { ...fact, data: { ...fact.data, ipv4, ipv6, mac, peer } };
  }

  #problem(intent: Event, verdict: boolean): Fault | null {
    const data = intent.data as { readonly networkId?: string; readonly endpointId?: string };
    const { endpoints, expired } = this.#state;
    if (expired.has(intent.meta.id)) return fault(expired.get(intent.meta.id) === true ? 'TIMED_OUT' : 'CANCELLED');
    if (this.#hopeless.has(intent.meta.id)) return fault('PORT_IN_USE');
    const networkId = intent.type === 'EndpointCreateRequested' ? intent.data.endpoint.networkId : data.networkId;
    const isMissing =
      this.#dead.has(networkId ?? '') ||
      this.#dead.has(data.endpointId ?? '') ||
      (networkId !== undefined && !networkOf(this.#state, networkId)) ||
      (data.endpointId !== undefined && !endpoints.has(data.endpointId));
    if (isConstructive(intent.type) && isMissing) return fault('DEPENDENCY_FAILED');
    if (intent.type === 'NetworkDeleteRequested') {
      const stuck = [...endpoints.values()].some(
        ({ facts, status }) => facts.networkId === intent.data.networkId && status === 'stuck',
      );
      if (stuck) return fault('DEPENDENCY_FAILED');
    }
    const endpointId = data.endpointId ?? '';
    if (intent.type === 'EndpointJoinRequested' && this.#unable.has(endpointId)) return fault('DEPENDENCY_FAILED');
    const isDone = verdict || isMissing;
    if (intent.type === 'EndpointLeaveRequested' && !isDone && !isRevertible(intent)) this.#unable.add(endpointId);
    return isDone ? null : fault();
  }

  /** A sandbox is made with its first endpoint and ends with its last one. */
  #sandboxReports(intent: Event, isFailed: boolean): readonly { readonly fact: Fact; readonly intent: Event }[] {
    if (intent.type !== 'EndpointJoinRequested' && intent.type !== 'EndpointLeaveRequested') return [];
    // A move that failed leaves the sandbox as it was.
    if (isFailed && isRevertible(intent)) return [];
    const { sandbox } = intent.data;
    const { incarnation } = sandbox;
    const removed = { fact: { type: 'SandboxRemoved', data: { sandbox } } as const, intent };
    if (intent.type === 'EndpointLeaveRequested') {
      if (isFailed || !intent.data.last) return [];
      this.#announced.delete(incarnation);
      return [removed];
    }
    const isCreating = this.#state.sandboxes.get(incarnation)?.status === 'creating';
    if (!isFailed && (isCreating || !this.#announced.has(incarnation))) {
      this.#announced.add(incarnation);
      return [{ fact: { type: 'SandboxCreated', data: { sandbox } }, intent }];
    }
    if (!isFailed) return [];
    this.#undone.add(intent.data.joinId);
    const { sandboxes, endpoints } = this.#state;
    // Whoever has failed to join another sandbox, or this one before, may be in this one all the same.
    const isIn = (id: string) => !this.#undone.has(endpoints.get(id)?.sandbox?.joinId ?? '');
    const others = sandboxes.get(incarnation)?.members.some(isIn);
    if (others || !this.#announced.delete(incarnation)) return [];
    return [removed];
  }

  #report(reports: readonly { readonly fact: Fact; readonly intent: Event | null }[]): void {
    const id = this.model.newId();
    const events = reports.map(({ fact, intent }, index): Event => {
      const meta: Event['meta'] = {
        id: `${id}.${index}`,
        source: `/cnm/model/worker/${this.host}`,
        subject: aboutOf(fact),
        time: new Date(this.model.nowMs).toISOString(),
        actor: intent?.meta.actor ?? '',
        commandid: intent?.meta.commandid ?? '',
        correlationid: intent?.meta.correlationid ?? '',
        causationid: intent?.meta.id ?? '',
      };
      return { ...fact, version: eventVersions[fact.type], meta } as Event;
    });
    const head = boundaryOf(this.realm, this.host).outcomeHead;
    const headers = head ? { [commitHeaders.prevHash]: head.hash } : {};
    const subject = subjects.outcome(this.host);
    const stored = { subject, body: encodeCommit(events), headers };
    const position = this.model.append([{ stored, expectedLast: head?.position ?? 0 }]);
    this.fold(this.model.log.length, position ?? assert.fail('a worker is alone on its subject'));
  }
}
