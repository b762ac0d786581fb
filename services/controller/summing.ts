/** Records summed refusals when they are due, and answers them. */
import { quotaOf } from '../../events/deciders/quotas.ts';
import type { Answer } from '../../events/queries.ts';
import { type Refusal, refuse } from '../../events/refusals.ts';
import { type RefusedRange, rangeWith } from '../../events/refused-ranges.ts';
import { commandKey } from '../../events/state.ts';
import type { Clock } from '../lib/clock.ts';
import { boundaryOf, type Realm } from '../lib/realm.ts';
import type { Appended, Message, Stream } from '../lib/stream.ts';
import { refusedAnswer } from './answers.ts';
import type { Rate } from './bucket.ts';
import type { Intake } from './intake.ts';
import { Refusals, type Sender, type Sum, unansweredMax } from './refusals.ts';
import type { Round, RoundContext } from './round.ts';
import { type Recorded, sumsOf } from './sums.ts';
import { Telling } from './telling.ts';

/** Sums wait while commands do, but no longer than this behind the time when they are due. */
const patienceMs = 500;
/** How far back a command that was decided before this controller began is answered anew: its answer may have been lost with the one before. */
const answeredAnewMax = 1_024;

export interface SummingOptions {
  readonly realm: Realm;
  readonly log: Stream;
  readonly clock: Clock;
  readonly context: () => Pick<RoundContext, 'realmName' | 'nowMs' | 'actorProof' | 'newId'>;
  readonly answer: (actor: string, id: string, answer: Answer) => void;
  /** Whether what is decided now counts, and all that was decided before is folded in; after a pause where it was not so before. */
  readonly ready: (attempt: number) => Promise<boolean>;
  readonly isActive: () => boolean;
  /** There is room again for more that is to be refused. */
  readonly wake: () => void;
  readonly onFault: (error: unknown) => void;
  /** Resolves when the commit is folded in, and does what its fate calls for. */
  readonly settled: (appended: Appended) => Promise<void>;
}

const rateLimited = (actor: string, { perSecond, burst }: Rate): Refusal =>
  refuse('RATE_LIMITED', `actor ${actor} may send ${perSecond} commands a second, ${burst} at once`, [
    { kind: 'quota', id: 'rate', detail: `${perSecond} a second` },
    { kind: 'actor', id: actor },
  ]);

export class Summing {
  readonly #options: SummingOptions;
  readonly #refusals = new Refusals();
  readonly #telling: Telling;
  /** What was refused before this controller began. */
  #before: ReadonlyMap<string, readonly RefusedRange[]> = new Map();
  /** The last command that anything was decided of before this controller began. */
  #decidedBefore = 0;
  #hasBegun = false;

  /** Made anew each time that a controller becomes active, when it has read what others have decided. */
  constructor(options: SummingOptions) {
    this.#options = options;
    this.#telling = new Telling(options.clock, options.wake, options.onFault);
    this.#lookBack();
  }

  /** The first term has begun: what others have recorded while this controller was reading is folded in, and nothing of its own is on the log. */
  began(): void {
    if (!this.#hasBegun) this.#lookBack();
    this.#hasBegun = true;
  }

  #lookBack(): void {
    const { shared, boundaries, networks } = this.#options.realm;
    this.#before = new Map(shared.refused);
    for (const { decidedThrough } of [...boundaries.values(), ...networks.values()])
      this.#decidedBefore = Math.max(this.#decidedBefore, decidedThrough);
  }

  /** Neither what is to be recorded nor what is to be answered grows without bound. */
  get isFull(): boolean {
    return this.#refusals.isFull || this.#telling.length >= unansweredMax;
  }

  get oldest(): number {
    return this.#refusals.oldest;
  }

  /** How many commands a second an actor may send; null: any number. What was let in once is never counted again. */
  rateOf(actor: string, position: number): Rate | null {
    const { shared } = this.#options.realm;
    if (shared.quotas.size === 0 || position <= this.#decidedBefore) return null;
    const { rate = null, burst = null } = quotaOf(shared, actor) ?? {};
    return rate === null ? null : { perSecond: rate, burst: burst ?? Math.max(1, Math.ceil(rate)) };
  }

  /** A message over the rate of its actor. @returns whether something is to be recorded sooner than was known */
  overRate(message: Message, actor: string, rate: Rate): boolean {
    return this.#refusals.refuse(message, actor, rateLimited(actor, rate));
  }

  mayRecord(actor: string): boolean {
    return this.#refusals.mayRecord(actor, this.#options.clock.monotonicMs());
  }

  refusedBefore({ actor, sequence }: Intake): RefusedRange | undefined {
    return sequence <= this.#decidedBefore ? rangeWith(this.#before.get(actor), sequence) : undefined;
  }

  /** Whether a command that was decided before is to be answered: not the many that are only read again since an older one waits. */
  isAnsweredAnew({ sequence }: Intake): boolean {
    return sequence > this.#decidedBefore - answeredAnewMax;
  }

  /** Takes up what a round has refused without a record. */
  take({ summed, again }: Round): void {
    for (const { intake, refusal } of summed) this.#refusals.add(intake, refusal);
    for (const { intake, range } of again)
      if (this.isAnsweredAnew(intake)) this.#answer(intake, refuse(range.code, range.detail), range.position);
  }

  pauseMs(): number | null {
    return this.#refusals.pauseMs(this.#options.clock.monotonicMs());
  }

  /**
   * Writes what is due: when nobody waits for a decision, or when it has been due for long.
   * @param oldest of the commands that are not decided
   */
  async write(oldest: number, isIdle: boolean): Promise<void> {
    const { clock, realm, log, context, ready, isActive, settled } = this.#options;
    const dueMs = clock.monotonicMs() - (isIdle ? 0 : patienceMs);
    const recorded = this.#refusals.due(dueMs).map((sum): Recorded => ({ sum, senders: [...sum.senders] }));
    if (recorded.length === 0) return;
    let position = 0;
    for (let attempt = 0; position === 0; attempt++) {
      if (!isActive()) return;
      if (!(await ready(attempt))) continue;
      const open = this.#notStored(recorded);
      if (open.length === 0) break;
      const from = Math.min(oldest, this.#refusals.oldest);
      const appended = await log.append(sumsOf(boundaryOf(realm, null), open, from, context()));
      if (appended.kind === 'appended') position = appended.position;
      await settled(appended);
    }
    for (const { sum, senders } of recorded) {
      // One that was sent twice, and decided once, has its answer.
      const stored = this.#stored(sum);
      const answers = senders.flatMap((sender) => {
        const range = rangeWith(stored, sender.sequence);
        if (this.#isForgotten(sender, range) || this.#isDecided(sender)) return [];
        return [() => this.#answer(sender, sum.refusal, range?.position ?? position)];
      });
      this.#telling.tell(answers);
      this.#refusals.recorded(sum, senders.length, clock.monotonicMs());
    }
  }

  /** Whoever was refused has the answer when this controller ends. */
  finish(): void {
    this.#telling.finish();
  }

  /** What the log does not hold yet: another controller may have recorded some of it, or a commit of ours that nobody acknowledged all. */
  #notStored(recorded: readonly Recorded[]): readonly Recorded[] {
    return recorded.flatMap(({ sum, senders }) => {
      const stored = this.#stored(sum);
      const open = senders.filter((sender) => {
        const range = rangeWith(stored, sender.sequence);
        return !range && !this.#isForgotten(sender, range);
      });
      return open.length > 0 ? [{ sum, senders: open }] : [];
    });
  }

  /** What the log holds of an actor and a code. */
  #stored({ actor, refusal: { code } }: Sum): readonly RefusedRange[] {
    return this.#options.realm.shared.refused.get(actor)?.filter((range) => range.code === code) ?? [];
  }

  /** Another controller has refused it, answered it and gone on: what the log holds of it is forgotten (services/lib/realm.ts). */
  #isForgotten(sender: Sender, stored: RefusedRange | undefined): boolean {
    return sender.sequence < this.#options.realm.roundFrom && !stored;
  }

  #isDecided({ actor, id }: Sender): boolean {
    const key = commandKey(actor, id);
    for (const { state } of this.#options.realm.boundaries.values()) if (state.commands.has(key)) return true;
    return false;
  }

  #answer(sender: Sender, refusal: Refusal, position: number): void {
    this.#options.answer(sender.actor, sender.id, refusedAnswer(sender, refusal, position));
  }
}
