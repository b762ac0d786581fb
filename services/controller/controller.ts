/**
 * The controller: turns commands into decisions on the log, in the order in which they were published per boundary. Any number may
 * run; one is active by lease, and guards and terms make an overlap harmless (term.ts).
 */

import { hash } from 'node:crypto';
import type { Logger } from 'pino';
import { remoteDriver } from '../../drivers/remote.ts';
import type { CommandRecord } from '../../events/command-record.ts';
import type { DriverRules } from '../../events/driver-rules.ts';
import { DEFAULT_REALM_POOLS, type SubnetPool } from '../../events/ipam.ts';
import { subjects } from '../../events/names.ts';
import type { Answer } from '../../events/queries.ts';
import { commandKey } from '../../events/state.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import type { Look } from '../lib/health.ts';
import { applyMessage, boundaryOf, emptyRealm, type FollowedRealm, followRealm } from '../lib/realm.ts';
import type { Appended, Message, Reader, Stream } from '../lib/stream.ts';
import { tellParked } from '../lib/tell-parked.ts';
import { noTracing, type Tracing } from '../lib/trace.ts';
import { decidedAnswers, endedAnswer } from './answers.ts';
import { admissionOf, commitOf, fenceOf, openingOf } from './commits.ts';
import { type Intake, takeIn } from './intake.ts';
import { type ControllerMeter, lookAt } from './meter.ts';
import { answersAgain } from './repeating.ts';
import { type Batch, decideRound, inLogOrder, type Round, type RoundContext } from './round.ts';
import { Term } from './term.ts';
import { decidingSpan } from './tracing.ts';

export interface ControllerOptions {
  readonly realm: string;
  readonly log: Stream;
  readonly commands: Stream;
  readonly drivers: ReadonlyMap<string, DriverRules>;
  /** Sends an answer; at most once, since the `commands` view answers the same. */
  readonly publish: (subject: string, body: string) => void;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly quarantineMs: number;
  /** Pools of automatic IPv4 subnets of realm networks. */
  readonly realmPools?: readonly SubnetPool[];
  /** `nats`: the server lets each user publish under its own actor only; `claim` when left out. */
  readonly actorProof?: RoundContext['actorProof'];
  /** Told what is decided and what ends, once it is stored. */
  readonly meter?: ControllerMeter;
  readonly tracing?: Tracing;
}

export interface Controller {
  /** Folds the log; resolves when it is caught up. */
  start(): Promise<void>;
  /** Starts deciding: called when the lease is acquired. */
  activate(): void;
  /** Stops deciding after the round under way: called when the lease is lost. */
  deactivate(): Promise<void>;
  stop(): Promise<void>;
  look(): Look;
  /** Rejects when the controller cannot go on, such as at a log that it cannot read. */
  readonly failed: Promise<never>;
}

/** Most commands that are decided together: a round must not keep queries waiting, and 16 fill a commit's sync to disk well. */
const roundCommandsMax = 16;
/** Commands that wait in memory at most; beyond it the reader stops, and starts again where it was once they are decided. */
const queueCommandsMax = 2_048;
const retryMsMax = 1_000;
/** How long a controller that was replaced leaves the field to the other one: by then its lease has said which of them is to stop. */
const holdBackMs = 250;

export const createController = (options: ControllerOptions): Controller => new ActiveController(options);

class ActiveController implements Controller {
  readonly #options: ControllerOptions;
  readonly failed: Promise<never>;
  #fail: (error: unknown) => void = () => undefined;
  #followed: FollowedRealm | null = null;
  #term: Term | null = null;
  /** Commands as they came: they are parsed round by round, since a socket may deliver hundreds in one go. */
  #queue: Message[] = [];
  #wake: () => void = () => undefined;
  #active = false;
  #live = false;
  /** Commands decided so far. */
  #decided = 0;
  #commandReader: Reader | null = null;
  #loop: Promise<void> = Promise.resolve();

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => undefined);
  }

  async start(): Promise<void> {
    const { log, clock, logger } = this.#options;
    const { parked, released } = tellParked(logger);
    this.#followed = followRealm(log, {
      listener: {
        ended: (record) => this.#ended(record),
        parked,
        released: (boundary) => {
          released(boundary);
          this.#term?.doubt();
        },
      },
    });
    this.#followed.reader.closed.catch((error) => this.#fail(error));
    await this.#followed.reader.caughtUp;
    const { realm } = this.#followed;
    this.#term = new Term({ realm, log, clock, reached: (position) => this.#reached(position) });
    this.#live = true;
  }

  activate(): void {
    if (this.#active) return;
    this.#active = true;
    this.#loop = this.#run().catch((error) => this.#fail(error));
  }

  async deactivate(): Promise<void> {
    this.#active = false;
    this.#followed?.release();
    this.#wake();
    await this.#loop;
    await this.#commandReader?.stop();
    this.#commandReader = null;
    this.#queue = [];
  }

  async stop(): Promise<void> {
    await this.deactivate();
    await this.#followed?.reader.stop();
  }

  look(): Look {
    const counts = { waiting: this.#queue.length, decided: this.#decided };
    return lookAt(this.#followed?.realm ?? null, this.#active, counts);
  }

  get #realm() {
    if (!this.#followed) throw new Error('controller: used before start');
    return this.#followed;
  }

  #answer(actor: string, id: string, answer: Answer): void {
    this.#options.publish(subjects.reply(actor, id), JSON.stringify(answer));
  }

  #ended(record: CommandRecord): void {
    if (!this.#active || !this.#live) return;
    this.#options.meter?.ended(record);
    const answer = endedAnswer(record);
    if (answer) this.#answer(record.actor, record.commandid, answer);
  }

  async #run(): Promise<void> {
    // Whoever decided before may have gone further than we have read.
    for (let attempt = 0; this.#active && !(await this.#readAll()); attempt++) await this.#pause(attempt);
    await this.#open();
    const { tracing = noTracing } = this.#options;
    let next = this.#realm.realm.roundFrom;
    while (this.#active) {
      if (this.#queue.length > 0) {
        const intakes = this.#queue.splice(0, roundCommandsMax).map(takeIn);
        next = (intakes.at(-1)?.sequence ?? 0) + 1;
        await tracing.span(decidingSpan(intakes), () => this.#round(intakes));
      } else {
        this.#commandReader ??= this.#read(next);
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  #read(from: number): Reader {
    const reader = this.#options.commands.read({ from }, (message) => {
      this.#queue.push(message);
      this.#wake();
      if (this.#queue.length < queueCommandsMax || this.#commandReader !== reader) return;
      this.#commandReader = null;
      void reader.stop();
    });
    reader.closed.catch((error) => this.#fail(error));
    return reader;
  }

  /** The first commit of a log says whose it is. */
  async #open(): Promise<void> {
    const { realm, clock, log } = this.#options;
    const boundary = boundaryOf(this.#realm.realm, null);
    const opening = openingOf(realm, clock.randomId(12), clock.nowMs());
    for (let attempt = 0; this.#active && boundary.head === null; attempt++) {
      if (attempt > 0) await this.#pause(attempt);
      const appended = await log.append(opening);
      if (appended.kind === 'appended') this.#term?.opened();
      await this.#readAll();
    }
  }

  /** Decides all of these, whatever it takes: only a stop leaves some undone, and they stay on the command stream. */
  async #round(intakes: readonly Intake[]): Promise<void> {
    const from = intakes[0]?.sequence ?? 0;
    let waiting = intakes;
    for (let attempt = 0; waiting.length > 0 && this.#active; attempt++) {
      if (attempt > 0) {
        await this.#pause(attempt);
        await this.#readAll();
      }
      if (!(await this.#whole())) continue;
      const { clock, drivers, quarantineMs, realm, logger, realmPools = DEFAULT_REALM_POOLS } = this.#options;
      const round = decideRound(this.#realm.realm, waiting, {
        realmName: realm,
        nowMs: clock.nowMs(),
        drivers,
        plugin: remoteDriver,
        quarantineMs,
        realmPools,
        realmUla: realmUlaOf(realm),
        actorProof: this.#options.actorProof ?? 'claim',
        newId: () => clock.randomId(12),
        log: logger,
      });
      // What is only answered again is decided already, by whomever.
      if (round.batches.some(({ decided }) => decided.length > 0) && this.#term?.holds !== true) {
        if (await this.#begin()) attempt = -1;
        continue;
      }
      const undone = await this.#commit(round, from);
      if (round.rest.length > 0 && undone.length === 0) attempt = -1;
      waiting = [...undone, ...round.rest].sort((a, b) => a.sequence - b.sequence);
    }
  }

  /** @returns the commands that must be decided again, since a guard did not hold or nobody answered */
  async #commit(round: Round, from: number): Promise<readonly Intake[]> {
    const { batches } = round;
    if (round.bond === 'apart' || batches.length === 1)
      return this.#each(batches, (batch) => this.#append(batch, from));
    if (round.bond === 'admitted') return this.#admit(batches, from);
    const appended = await this.#appendAll(batches, from);
    return this.#each(batches, async (batch) => appended.get(batch) ?? null);
  }

  /** Appends and settles each by itself. @returns the commands that must be decided again */
  async #each(
    batches: readonly Batch[],
    append: (batch: Batch) => Promise<Appended | null>,
  ): Promise<readonly Intake[]> {
    const undone = await Promise.all(batches.map(async (batch) => this.#settle(batch, await append(batch))));
    return undone.flat();
  }

  /**
   * Admissions first, and what they admit behind them: on one server that takes a third of what an atomic batch takes. An admission
   * whose creation does not come says nothing, and nobody decides on its network before that is settled (`#whole`).
   */
  async #admit(batches: readonly Batch[], from: number): Promise<readonly Intake[]> {
    const { log } = this.#options;
    const hosts = batches.filter(({ boundary }) => boundary.host !== null);
    const realm = batches.filter(({ boundary }) => boundary.host === null);
    const written = hosts.filter(({ events }) => events.length > 0);
    const admitted = await Promise.all(
      realm.map(async (batch) => ({
        batch,
        appended: batch.events.length > 0 ? await log.append(admissionOf(batch, from, written)) : null,
      })),
    );
    const undone = admitted.map(({ batch, appended }) => this.#settle(batch, appended));
    if (admitted.some(({ appended }) => appended && appended.kind !== 'appended')) {
      const waiting = hosts.flatMap(({ decided, repeated }) => [...decided.map(({ intake }) => intake), ...repeated]);
      return [...(await Promise.all(undone)).flat(), ...waiting];
    }
    const created = this.#each(hosts, (batch) => this.#append(batch, from));
    return (await Promise.all([...undone, created])).flat();
  }

  /**
   * Reads the rest of what another controller has appended as one, and ends the wait for what was admitted and has not been created: by
   * another controller, or by a commit of ours that nobody acknowledged. @returns whether the state holds no part of anything
   */
  async #whole(): Promise<boolean> {
    const { realm } = this.#realm;
    const { log, clock } = this.#options;
    while (this.#active && realm.isTorn) await this.#reached(realm.position + 1);
    // The commits that begin a term end such waits as well.
    if (realm.awaited.size > 0 && this.#term?.holds !== true && !(await this.#begin())) return false;
    for (const subject of [...realm.awaited]) {
      const boundary = realm.boundaries.get(subject);
      const appended = boundary && (await log.append(fenceOf(boundary, clock.randomId(12))));
      if (appended?.kind === 'appended') await this.#reached(appended.position);
    }
    return !realm.isTorn && realm.awaited.size === 0;
  }

  /** @returns whether what is decided from here on counts */
  async #begin(): Promise<boolean> {
    const { clock } = this.#options;
    if (this.#term?.isReplaced) {
      await sleep(clock, holdBackMs);
      if (!this.#active || !(await this.#readAll())) return false;
    }
    return (await this.#term?.begin()) === true;
  }

  /** Answers what is stored. @param appended null where there was nothing to append */
  async #settle(batch: Batch, appended: Appended | null): Promise<readonly Intake[]> {
    const { boundary, decided, events } = batch;
    if (appended) {
      if (appended.kind !== 'appended') {
        // What may come yet must not, since it may be decided elsewhere now.
        if (appended.kind === 'unknown') this.#term?.end();
        this.#options.logger.warn(
          { boundary: boundary.subject, events: events.length, appended },
          'commit not appended, deciding again',
        );
        return [...decided.map(({ intake }) => intake), ...batch.repeated];
      }
      for (const { intake, refusal, events: own } of decided) {
        for (const answer of decidedAnswers(intake, refusal, own, appended.position))
          this.#answer(intake.actor, intake.id, answer);
        this.#decided += 1;
        this.#options.meter?.decided(intake.type, refusal?.code ?? null);
      }
      await this.#reached(appended.position);
    }
    for (const intake of batch.repeated) {
      await this.#repeat(batch, intake);
      this.#decided += 1;
    }
    return [];
  }

  async #append(batch: Batch, from: number): Promise<Appended | null> {
    const last = batch.decided.at(-1);
    return last ? this.#options.log.append(commitOf(batch, from, last.intake.sequence)) : null;
  }

  /** All or nothing. */
  async #appendAll(batches: readonly Batch[], from: number): Promise<ReadonlyMap<Batch, Appended>> {
    const written = inLogOrder(batches);
    const through = Math.max(...written.map(({ decided }) => decided.at(-1)?.intake.sequence ?? 0));
    const appended = await this.#options.log.appendAll(written.map((batch) => commitOf(batch, from, through)));
    const answerAt = (index: number): Appended =>
      appended.kind === 'appended' ? { kind: 'appended', position: appended.positions[index] ?? 0 } : appended;
    return new Map(written.map((batch, index) => [batch, answerAt(index)]));
  }

  /** Folds what others, or a commit of ours that nobody acknowledged, have put on the log. @returns false when nobody answers */
  async #readAll(): Promise<boolean> {
    try {
      await this.#reached(await this.#options.log.last());
      return true;
    } catch (error) {
      this.#options.logger.warn({ err: error }, 'waiting for the log');
      return false;
    }
  }

  /** Whoever stops does not wait: the server may be away for long. */
  async #reached(position: number): Promise<void> {
    if (this.#active) await this.#realm.reached(position);
  }

  #pause(attempt: number): Promise<void> {
    return sleep(this.#options.clock, Math.min(2 ** attempt, retryMsMax));
  }

  /** The same id gets the same answer. */
  async #repeat({ boundary }: Batch, intake: Intake): Promise<void> {
    const row = boundary.state.commands.get(commandKey(intake.actor, intake.id));
    if (!row) return;
    const { log, logger } = this.#options;
    try {
      const key = commandKey(intake.actor, intake.id);
      const stretch = { subject: boundary.subject, decidedAt: row.decidedAt, endedAt: row.endedAt };
      for (const answer of await answersAgain(log, this.#realm.realm.segment, key, stretch))
        this.#answer(intake.actor, intake.id, answer);
    } catch (error) {
      // An answer is sent at most once; the `commands` view has it too.
      logger.warn({ err: error, commandId: intake.id }, 'could not repeat an answer');
    }
  }
}

/** The /48 of automatic IPv6 subnets of realm networks (RFC 4193): the same for every controller of the realm. */
const realmUlaOf = (realm: string): string => {
  const hex = hash('sha256', `cnm-ula ${realm}`, 'hex');
  const group = (at: number): string => Number.parseInt(hex.slice(at, at + 4), 16).toString(16);
  return `fd${hex.slice(0, 2)}:${group(2)}:${group(6)}::/48`;
};

/** The state that a log adds up to, without following it: for tests and offline tools. */
export const foldLog = (messages: Iterable<Message>) => {
  const realm = emptyRealm();
  for (const message of messages) applyMessage(realm, message);
  return realm;
};
