/** A realm in memory under full control of a test: one command stream, one log, controllers and workers that may be late or fail. */
import assert from 'node:assert/strict';
import { pino } from 'pino';
import { bridgeDriver } from '../../drivers/bridge.ts';
import { drivers as builtInDrivers } from '../../drivers/registry.ts';
import { remoteDriver } from '../../drivers/remote.ts';
import type { DriverRules } from '../../events/driver-rules.ts';
import { batchType, commitHeaders, joinCommit } from '../../events/envelope.ts';
import { DEFAULT_REALM_POOLS } from '../../events/ipam.ts';
import { subjects } from '../../events/names.ts';
import type { BoundaryState } from '../../events/state.ts';
import { commandDue, type Due, dueId, endpointDue, sandboxDue } from '../../services/collector/due.ts';
import { type Intake, takeIn } from '../../services/controller/intake.ts';
import { decideRound } from '../../services/controller/round.ts';
import { chainHash } from '../../services/lib/hash.ts';
import { boundaryOf, emptyRealm } from '../../services/lib/realm.ts';
import type { Message } from '../../services/lib/stream.ts';
import { startMs } from '../support/world.ts';
import { Checker, dump } from './model-checks.ts';
import { Follower, type Lag, ModelWorker, messageOf, type Place, type Stored } from './model-worker.ts';

/** A bridge that takes three endpoints, so that networks are full soon. */
const smallBridge: DriverRules = { ...bridgeDriver, endpointsMax: 3 };
/** One whose networks are led out through another, as overlays are. */
const deepDriver: DriverRules = {
  ...smallBridge,
  name: 'deep',
  defaultRoute: () => 'outlet',
  canPublish: () => false,
  checkEndpoint: () => null,
};
const drivers: ReadonlyMap<string, DriverRules> = new Map([
  ...builtInDrivers,
  ['bridge', smallBridge],
  ['deep', deepDriver],
]);

const logger = pino({ level: 'silent' });
const quarantineMs = 60_000;
export const confirmMs = 5_000;

/** What becomes of a commit on its way. */
export type Fate = 'appended' | 'lost' | 'unacknowledged';

class ModelController extends Follower<Model> {
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
      plugin: remoteDriver,
      quarantineMs,
      realmPools: DEFAULT_REALM_POOLS,
      realmUla: 'fdaa:bbbb:cccc::/48',
      actorProof: 'claim',
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

export class Model implements Place {
  readonly commands: Message[] = [];
  readonly log: Message[] = [];
  readonly checker = new Checker();
  readonly controllers: readonly ModelController[];
  readonly workers: readonly ModelWorker[];
  nowMs = startMs;
  #serial = 0;
  readonly #suspectedMs = new Map<string, number>();
  readonly #mended = new Set<string>();

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
        ...[...state.sandboxes.keys()].map((id) => sandboxDue(state, id)),
      ];
      for (const due of dues) {
        if (due === null || due.dueMs > this.nowMs) continue;
        const body = JSON.stringify({ id: dueId(due, 0, this.nowMs), ...due.command });
        this.send(subjects.command('collector', worker.host), body);
      }
    }
  }

  /** What of sandboxes is to be mended, by the id of the command that asks for it. */
  astray(): ReadonlyMap<string, Due> {
    const dues = this.workers.flatMap(({ host }) => {
      const state = this.stateOf(host);
      return [...state.sandboxes.keys()].flatMap((id) => sandboxDue(state, id) ?? []);
    });
    return new Map(dues.map((due) => [dueId(due, 0, this.nowMs), due]));
  }

  /** Asks for all of it that was not asked for before. */
  #mend(): boolean {
    const fresh = [...this.astray()].filter(([id]) => !this.#mended.has(id));
    for (const [id, { command }] of fresh) {
      this.#mended.add(id);
      this.send(subjects.command('collector', null), JSON.stringify({ id, ...command }));
    }
    return fresh.length > 0;
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
      if (worked.includes(true) || !this.controllers.every(({ isIdle }) => isIdle) || this.#mend()) continue;
      for (const worker of this.workers) worker.census();
      return;
    }
    assert.fail('it does not come to rest');
  }
}
