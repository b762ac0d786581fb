/**
 * The controller: turns commands into decisions on the log, those of one actor in the order in which they were published. Any number may
 * run; one is active by lease, and guards and terms make an overlap harmless (term.ts).
 */

import type { CommandRecord } from '../../events/command-record.ts';
import { subjects } from '../../events/names.ts';
import type { Answer } from '../../events/queries.ts';
import { commandKey } from '../../events/state.ts';
import { sleep } from '../lib/clock.ts';
import { FAIR_RATE } from '../lib/defaults.ts';
import type { Look } from '../lib/health.ts';
import { aboutCommand } from '../lib/log-fields.ts';
import { boundaryOf, type FollowedRealm, followRealm } from '../lib/realm.ts';
import { tellParked } from '../lib/tell-parked.ts';
import { noTracing } from '../lib/trace.ts';
import { decidedAnswers, endedAnswer } from './answers.ts';
import { CommandQueue } from './command-queue.ts';
import { fenceOf, openingOf } from './commits.ts';
import { type Intake, takeIn } from './intake.ts';
import { lookAt, tellDecided } from './meter.ts';
import { type Controller, type ControllerOptions, contextOf, fairRateOf } from './options.ts';
import { answersAgain, Repeats } from './repeating.ts';
import { type Batch, decideRound } from './round.ts';
import { type Settle, storeRound } from './store-round.ts';
import { Summing } from './summing.ts';
import { Term } from './term.ts';
import { decidingSpan } from './tracing.ts';

export type { Controller, ControllerOptions } from './options.ts';

/** Most commands that are decided together: a round must not keep queries waiting, and 16 fill a commit's sync to disk well. */
const roundCommandsMax = 16;
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
  #queue: CommandQueue | null = null;
  #summing: Summing | null = null;
  readonly #repeats = new Repeats();
  /** Something came, or is to end, since the loop looked last. */
  #isCalled = false;
  #goOn: () => void = () => undefined;
  #active = false;
  #live = false;
  /** Commands decided so far. */
  #decided = 0;
  #loop: Promise<void> = Promise.resolve();

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => undefined);
  }

  async start(): Promise<void> {
    const { log, clock, logger, memoryMs } = this.#options;
    const { parked, released } = tellParked(logger);
    this.#followed = followRealm(log, {
      ...(memoryMs !== undefined && { memoryMs }),
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
    this.#call();
    await this.#loop;
    this.#summing?.finish();
    this.#repeats.clear();
    await this.#queue?.close();
    this.#queue = null;
  }

  async stop(): Promise<void> {
    await this.deactivate();
    await this.#followed?.reader.stop();
  }

  look(): Look {
    const counts = { waiting: this.#queue?.length ?? 0, decided: this.#decided };
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
    if (!this.#active) return;
    const { clock, tracing = noTracing } = this.#options;
    const summing = this.#sums();
    const queue = this.#commands(summing, this.#realm.realm.roundFrom);
    while (this.#active) {
      this.#isCalled = false;
      const from = Math.min(queue.oldest, summing.oldest);
      const messages = queue.take(roundCommandsMax, clock.monotonicMs());
      if (messages.length > 0) {
        const intakes = messages.map(takeIn);
        await tracing.span(decidingSpan(intakes), () => this.#round(intakes, from, summing));
      }
      await summing.write(queue.oldest, messages.length === 0);
      if (messages.length === 0) await this.#wait([queue.pauseMs(clock.monotonicMs()), summing.pauseMs()]);
    }
  }

  /** Until something comes, or one of these times is over. */
  async #wait(pauses: readonly (number | null)[]): Promise<void> {
    if (this.#isCalled) return;
    const called = new Promise<void>((resolve) => {
      this.#goOn = resolve;
    });
    const pauseMs = Math.min(...pauses.map((pause) => pause ?? Number.POSITIVE_INFINITY));
    const cancel = Number.isFinite(pauseMs) ? this.#options.clock.after(pauseMs, () => this.#goOn()) : () => undefined;
    await called;
    cancel();
  }

  #call(): void {
    this.#isCalled = true;
    this.#goOn();
  }

  #commands(summing: Summing, from: number): CommandQueue {
    const { commands, fairRate = fairRateOf(FAIR_RATE) } = this.#options;
    const queue = new CommandQueue(
      {
        commands,
        fair: fairRate,
        quota: (actor, position) => summing.rateOf(actor, position),
        refused: (message, actor, rate) => {
          if (summing.overRate(message, actor, rate)) this.#call();
        },
        isFull: () => summing.isFull,
        wake: () => this.#call(),
        onFault: (error) => this.#fail(error),
      },
      from,
    );
    this.#queue = queue;
    return queue;
  }

  #sums(): Summing {
    const { log, clock } = this.#options;
    this.#summing = new Summing({
      realm: this.#realm.realm,
      log,
      clock,
      context: () => contextOf(this.#options),
      answer: (actor, id, answer) => {
        this.#decided += 1;
        this.#options.meter?.decided(answer.command, 'code' in answer ? answer.code : null);
        this.#answer(actor, id, answer);
      },
      isActive: () => this.#active,
      wake: () => this.#call(),
      onFault: (error) => this.#fail(error),
      ready: async (attempt) => {
        if (attempt > 0) {
          await this.#pause(attempt);
          await this.#readAll();
        }
        return (await this.#whole()) && (this.#term?.holds === true || (await this.#begin()));
      },
      settled: async (appended) => {
        if (appended.kind === 'unknown') this.#term?.end();
        if (appended.kind === 'appended') await this.#reached(appended.position);
      },
    });
    return this.#summing;
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

  /**
   * Decides all of these, whatever it takes: only a stop leaves some undone, and they stay on the command stream.
   * @param from every command before it is decided
   */
  async #round(intakes: readonly Intake[], from: number, summing: Summing): Promise<void> {
    let waiting = intakes;
    for (let attempt = 0; waiting.length > 0 && this.#active; attempt++) {
      if (attempt > 0) {
        await this.#pause(attempt);
        await this.#readAll();
      }
      if (!(await this.#whole())) continue;
      const round = decideRound(this.#realm.realm, waiting, {
        ...contextOf(this.#options),
        mayRecord: (actor) => summing.mayRecord(actor),
        refusedBefore: (intake) => summing.refusedBefore(intake),
      });
      // What is only answered again is decided already, by whomever.
      if (round.batches.some(({ decided }) => decided.length > 0) && this.#term?.holds !== true) {
        if (await this.#begin()) attempt = -1;
        continue;
      }
      summing.take(round);
      const undone = await storeRound(round, { log: this.#options.log, from, settle: this.#settle });
      if (round.rest.length > 0 && undone.length === 0) attempt = -1;
      waiting = [...undone, ...round.rest].sort((a, b) => a.sequence - b.sequence);
    }
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
    if ((await this.#term?.begin()) !== true) return false;
    this.#summing?.began();
    return true;
  }

  /** Answers what is stored. */
  readonly #settle: Settle = async (batch, appended) => {
    const { boundary, decided, events } = batch;
    if (appended) {
      if (appended.kind !== 'appended') {
        // What may come yet must not, since it may be decided elsewhere now.
        if (appended.kind === 'unknown') this.#term?.end();
        this.#options.logger.warn(
          {
            boundary: boundary.subject,
            events: events.length,
            appended,
            commandids: decided.map(({ intake }) => intake.id),
          },
          'commit not appended, deciding again',
        );
        return [...decided.map(({ intake }) => intake), ...batch.repeated];
      }
      for (const { intake, refusal, events: own } of decided) {
        for (const answer of decidedAnswers(intake, refusal, own, appended.position))
          this.#answer(intake.actor, intake.id, answer);
        this.#decided += 1;
        this.#options.meter?.decided(intake.type, refusal?.code ?? null);
        tellDecided(this.#options.logger, intake, refusal, own);
      }
      await this.#reached(appended.position);
    }
    for (const intake of batch.repeated) {
      if (this.#summing?.isAnsweredAnew(intake)) this.#repeats.add(() => this.#repeat(batch, intake));
      this.#decided += 1;
    }
    return [];
  };

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
      const answers = await answersAgain(log, this.#realm.realm.segment, key, stretch);
      for (const answer of this.#active ? answers : []) this.#answer(intake.actor, intake.id, answer);
    } catch (error) {
      // An answer is sent at most once; the `commands` view has it too.
      logger.warn({ ...aboutCommand(intake), err: error }, 'could not repeat an answer');
    }
  }
}
