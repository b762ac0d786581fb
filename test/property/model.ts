/** A realm in memory under full control of a test: one command stream, one log, controllers and workers that may be late or fail. */
import assert from 'node:assert/strict';
import { pino } from 'pino';
import { bridgeDriver } from '../../drivers/bridge.ts';
import { drivers as builtInDrivers } from '../../drivers/registry.ts';
import type { DriverRules } from '../../events/driver-rules.ts';
import {
  batchType,
  commitHeaders,
  type Event,
  encodeCommit,
  eventVersions,
  joinCommit,
} from '../../events/envelope.ts';
import { type Fact, type Fault, isConstructive } from '../../events/events.ts';
import { subjects } from '../../events/names.ts';
import type { BoundaryState } from '../../events/state.ts';
import { commandDue, type Due, dueId, endpointDue } from '../../services/collector/due.ts';
import { type Intake, takeIn } from '../../services/controller/intake.ts';
import { decideRound } from '../../services/controller/round.ts';
import { aboutOf } from '../../services/lib/about.ts';
import { chainHash } from '../../services/lib/hash.ts';
import { applyMessage, boundaryOf, emptyRealm, type Realm } from '../../services/lib/realm.ts';
import type { Message } from '../../services/lib/stream.ts';
import { fault, hostFacts, outcomeOf, startMs } from '../support/world.ts';
import { Checker, dump } from './model-checks.ts';

/** A bridge that takes three endpoints, so that networks are full soon, and publishes ports, so that their rules are tried too. */
const smallBridge: DriverRules = { ...bridgeDriver, endpointsMax: 3, checkEndpoint: () => null };
const drivers: ReadonlyMap<string, DriverRules> = new Map([...builtInDrivers, ['bridge', smallBridge]]);

const logger = pino({ level: 'silent' });
const quarantineMs = 60_000;
export const confirmMs = 5_000;

interface Stored {
  readonly subject: string;
  readonly body: Uint8Array | string;
  readonly headers: Readonly<Record<string, string>>;
}

const messageOf = ({ subject, body, headers }: Stored, position: number, recordedMs: number): Message => ({
  position,
  recordedMs,
  subject,
  body: typeof body === 'string' ? new TextEncoder().encode(body) : body,
  pending: 0,
  header: (name) => headers[name] ?? '',
  headers: () => Object.entries(headers),
});

/** What becomes of a commit on its way. */
export type Fate = 'appended' | 'lost' | 'unacknowledged';

/** How many messages a part leaves unread before it acts. */
export type Lag = number;

class Follower {
  realm: Realm = emptyRealm();
  protected readonly model: Model;

  constructor(model: Model) {
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

class ModelController extends Follower {
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
    if (this.#waiting.length === 0) return;
    const before = dump(this.realm);
    const round = decideRound(this.realm, this.#waiting, {
      realmName: 'model',
      nowMs: this.model.nowMs,
      drivers,
      quarantineMs,
      newId: () => this.model.newId(),
      log: logger,
    });
    assert.deepEqual(dump(this.realm), before, 'a round leaves the state as it was');
    const undone: Intake[] = [...round.rest];
    for (const [index, batch] of round.batches.entries()) {
      const last = batch.decided.at(-1);
      if (!last) continue;
      const { head } = batch;
      const { subject } = batch.boundary;
      const fate = fates[index % Math.max(1, fates.length)] ?? 'appended';
      const position =
        fate === 'lost'
          ? null
          : this.model.append(
              {
                subject,
                body: joinCommit(batch.events),
                headers: {
                  [commitHeaders.contentType]: batchType,
                  ...(head ? { [commitHeaders.prevHash]: chainHash(head) } : {}),
                  [commitHeaders.commands]: `${this.#from}-${last.intake.sequence}`,
                },
              },
              head?.position ?? 0,
            );
      if (position === null || fate === 'unacknowledged') {
        undone.push(...batch.decided.map(({ intake }) => intake), ...batch.repeated);
        this.fold(0);
      } else this.fold(this.model.log.length, position);
    }
    this.#waiting = undone.sort((a, b) => a.sequence - b.sequence);
  }
}

class ModelWorker extends Follower {
  readonly host: string;
  #busy = new Set<string>();
  #dead = new Set<string>();
  #announced = new Set<string>();
  /** Endpoints whose leave failed: they cannot join before. */
  #unable = new Set<string>();

  constructor(model: Model, host: string) {
    super(model);
    this.host = host;
  }

  get #state(): BoundaryState {
    return boundaryOf(this.realm, this.host).state;
  }

  /** Reports what it says of itself. */
  introduce(): void {
    this.fold(0);
    this.#report([{ fact: { type: 'HostFacts', data: hostFacts(this.host) }, intent: null }]);
  }

  /** Executes some open intents in order; each `verdict` says whether the kernel does the next one. */
  work(count: number, lag: Lag, verdicts: readonly boolean[]): boolean {
    this.fold(lag);
    for (const id of this.#busy) if (!this.#state.intents.has(id) || this.#state.expired.has(id)) this.#busy.delete(id);
    const open = [...this.#state.intents.values()].filter(({ meta }) => !this.#busy.has(meta.id)).slice(0, count);
    if (open.length === 0) return false;
    const reports = open.flatMap((intent, index) => {
      this.#busy.add(intent.meta.id);
      return this.#execute(intent, verdicts[index % Math.max(1, verdicts.length)] ?? true);
    });
    this.#report(reports);
    return true;
  }

  /** Looks at the kernel: a sandbox that nobody wants and that no intent is about is gone by now, whatever its leave met. */
  census(): void {
    this.fold(0);
    const leaving = new Set(
      [...this.#state.intents.values()].map(({ data }) => ('sandbox' in data ? data.sandbox.incarnation : '')),
    );
    const gone = [...this.#state.sandboxes.values()].filter(
      ({ facts, status }) => status === 'removing' && !leaving.has(facts.incarnation),
    );
    if (gone.length > 0)
      this.#report(
        gone.map(({ facts: sandbox }) => ({ fact: { type: 'SandboxRemoved', data: { sandbox } }, intent: null })),
      );
  }

  #execute(intent: Event, verdict: boolean): readonly { readonly fact: Fact; readonly intent: Event }[] {
    const problem = this.#problem(intent, verdict);
    if (problem && intent.type === 'NetworkCreateRequested') this.#dead.add(intent.data.network.id);
    if (problem && intent.type === 'EndpointCreateRequested') this.#dead.add(intent.data.endpoint.id);
    return [{ fact: outcomeOf(intent, problem), intent }, ...this.#sandboxReports(intent, problem !== null)];
  }

  #problem(intent: Event, verdict: boolean): Fault | null {
    const data = intent.data as { readonly networkId?: string; readonly endpointId?: string };
    const { endpoints, networks, expired } = this.#state;
    if (expired.has(intent.meta.id)) return fault('TIMED_OUT');
    const networkId = intent.type === 'EndpointCreateRequested' ? intent.data.endpoint.networkId : data.networkId;
    const isMissing =
      this.#dead.has(networkId ?? '') ||
      this.#dead.has(data.endpointId ?? '') ||
      (networkId !== undefined && !networks.has(networkId)) ||
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
    if (intent.type === 'EndpointLeaveRequested' && !isDone) this.#unable.add(endpointId);
    return isDone ? null : fault();
  }

  /** A sandbox is made with its first endpoint and ends with its last one. */
  #sandboxReports(intent: Event, isFailed: boolean): readonly { readonly fact: Fact; readonly intent: Event }[] {
    if (intent.type !== 'EndpointJoinRequested' && intent.type !== 'EndpointLeaveRequested') return [];
    const { sandbox } = intent.data;
    const { incarnation } = sandbox;
    const removed = { fact: { type: 'SandboxRemoved', data: { sandbox } } as const, intent };
    if (intent.type === 'EndpointLeaveRequested') {
      if (isFailed || !intent.data.last) return [];
      this.#announced.delete(incarnation);
      return [removed];
    }
    if (!isFailed && !this.#announced.has(incarnation)) {
      this.#announced.add(incarnation);
      return [{ fact: { type: 'SandboxCreated', data: { sandbox } }, intent }];
    }
    const others = this.#state.sandboxes.get(incarnation)?.members.some((id) => id !== intent.data.endpointId);
    if (!isFailed || others || !this.#announced.delete(incarnation)) return [];
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
    const headers = head ? { [commitHeaders.prevHash]: chainHash(head) } : {};
    const subject = subjects.outcome(this.host);
    const position = this.model.append({ subject, body: encodeCommit(events), headers }, head?.position ?? 0);
    this.fold(this.model.log.length, position ?? assert.fail('a worker is alone on its subject'));
  }
}

export class Model {
  readonly commands: Message[] = [];
  readonly log: Message[] = [];
  readonly checker = new Checker();
  readonly controllers: readonly ModelController[];
  readonly workers: readonly ModelWorker[];
  nowMs = startMs;
  #serial = 0;
  readonly #suspectedMs = new Map<string, number>();

  constructor(controllers: number, hosts: readonly string[]) {
    this.controllers = Array.from({ length: controllers }, () => new ModelController(this));
    this.workers = hosts.map((host) => new ModelWorker(this, host));
    for (const worker of this.workers) worker.introduce();
  }

  newId(): string {
    this.#serial += 1;
    return this.#serial.toString(36).padStart(12, '0');
  }

  send(subject: string, body: string | Uint8Array): void {
    this.commands.push(messageOf({ subject, body, headers: {} }, this.commands.length + 1, this.nowMs));
  }

  /** @returns the position, or null when the guard does not hold */
  append(stored: Stored, expectedLast: number): number | null {
    const last = this.log.findLast(({ subject }) => subject === stored.subject)?.position ?? 0;
    if (last !== expectedLast) return null;
    const message = messageOf(stored, this.log.length + 1, this.nowMs);
    this.log.push(message);
    this.checker.take(message);
    for (const { state } of this.checker.realm.boundaries.values()) {
      for (const [id, row] of state.endpoints) {
        if (!row.suspected) this.#suspectedMs.delete(id);
        else if (!this.#suspectedMs.has(id)) this.#suspectedMs.set(id, this.nowMs);
      }
    }
    return message.position;
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
      ];
      for (const due of dues) {
        if (due === null || due.dueMs > this.nowMs) continue;
        const body = JSON.stringify({ id: dueId(due, 0, this.nowMs), ...due.command });
        this.send(subjects.command('collector', worker.host), body);
      }
    }
  }

  /** Lets the controllers decide all that was sent. */
  decide(): void {
    while (!this.controllers.every(({ isIdle }) => isIdle))
      for (const controller of this.controllers) controller.round(50, 0, []);
  }

  /** Lets everything come to rest: all commands decided, all intents reported, overdue commands ended. */
  settle(): void {
    for (let turn = 0; turn < 200; turn++) {
      this.decide();
      const worked = this.workers.map((worker) => worker.work(50, 0, []));
      if (worked.includes(true) || !this.controllers.every(({ isIdle }) => isIdle)) continue;
      for (const worker of this.workers) worker.census();
      return;
    }
    assert.fail('it does not come to rest');
  }
}
