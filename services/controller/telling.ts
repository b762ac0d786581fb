/** Answers that are due at once, told a few at a time: a thousand in one go keep everybody waiting who is to be decided next. */
import type { Clock } from '../lib/clock.ts';
import { unansweredMax } from './refusals.ts';

/** So many take a quarter of a millisecond: a thousand are told within a tenth of a second. Design values. */
const atOnce = 20;
const pauseMs = 2;
/** Of very many a part, so that however fast they come they do not heap up: the more there are, the more are told. */
const partAtOnce = 1 / 64;

/** Whoever stopped reading since too many waited goes on when so few do. */
const few = unansweredMax / 2;

export class Telling {
  readonly #clock: Clock;
  readonly #hasRoom: () => void;
  readonly #onFault: (error: unknown) => void;
  #waiting: (() => void)[] = [];
  #cancel: () => void = () => {};

  /**
   * @param hasRoom called whenever fewer than `few` wait, after more did
   * @param onFault told what an answer throws; those behind it are not told
   */
  constructor(clock: Clock, hasRoom: () => void, onFault: (error: unknown) => void) {
    this.#clock = clock;
    this.#hasRoom = hasRoom;
    this.#onFault = onFault;
  }

  /** Answers that wait. */
  get length(): number {
    return this.#waiting.length;
  }

  /** Each is called once, in this order, behind those that wait already. */
  tell(answers: readonly (() => void)[]): void {
    const isAtRest = this.#waiting.length === 0;
    for (const answer of answers) this.#waiting.push(answer);
    if (isAtRest) this.#some();
  }

  /** Tells all that are left, before whoever tells them goes. */
  finish(): void {
    this.#cancel();
    this.#call(this.#waiting.splice(0));
  }

  #some(): void {
    const before = this.#waiting.length;
    this.#call(this.#waiting.splice(0, Math.max(atOnce, Math.ceil(before * partAtOnce))));
    const left = this.#waiting.length;
    if (left > 0) this.#cancel = this.#clock.after(pauseMs, () => this.#some());
    if (before >= few && left < few) this.#hasRoom();
  }

  #call(answers: readonly (() => void)[]): void {
    try {
      for (const answer of answers) answer();
    } catch (error) {
      this.#waiting = [];
      this.#onFault(error);
    }
  }
}
