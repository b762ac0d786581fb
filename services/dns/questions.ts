/**
 * Who is answered when: questions come as fast as a sandbox sends them, and every answer is time of the loop that decides and changes networks
 * for all. So each turn of it answers so many and no more, one sandbox after another; a sandbox that asks more than that waits in a line of
 * its own.
 */

/** Of all sandboxes in one turn of the loop: half a millisecond. */
const perTurnMax = 8;
/** Of one sandbox, while they come: a program asks for two addresses at once. */
const atOnceMax = 4;
/** Of one sandbox, in line: from there on datagrams are dropped, as the kernel drops those that a socket has no room for. */
const waitingMax = 256;

/** The line of one sandbox. */
export interface Line {
  /** Calls `answer` now, or when its turn comes. */
  ask(answer: () => void): void;
  /** Whether as many wait as may. Whoever cannot tell others to wait drops what he has then. */
  readonly isFull: boolean;
  /** What waits is answered no more. */
  close(): void;
}

export class Questions {
  /** Lines with somebody waiting; the first is next. */
  readonly #ready = new Set<Waiting>();
  /** In this turn. */
  #answered = 0;
  readonly #asked = new Set<Waiting>();
  #isScheduled = false;

  line(): Line {
    const line: Waiting = { answered: 0, waiting: [] };
    return {
      ask: (answer) => this.#ask(line, answer),
      get isFull() {
        return line.waiting.length >= waitingMax;
      },
      close: () => {
        line.waiting.length = 0;
        this.#ready.delete(line);
      },
    };
  }

  #ask(line: Waiting, answer: () => void): void {
    this.#schedule();
    if (this.#ready.size === 0 && line.answered < atOnceMax && this.#answered < perTurnMax) {
      this.#asked.add(line);
      line.answered += 1;
      this.#answered += 1;
      answer();
    } else {
      line.waiting.push(answer);
      this.#ready.add(line);
    }
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#turn());
  }

  /** Behind whatever else the loop had to do. */
  #turn(): void {
    this.#isScheduled = false;
    for (const line of this.#asked) line.answered = 0;
    this.#asked.clear();
    this.#answered = 0;
    for (const line of this.#ready) {
      if (this.#answered >= perTurnMax) break;
      // To the end.
      this.#ready.delete(line);
      const answer = line.waiting.shift();
      if (line.waiting.length > 0) this.#ready.add(line);
      this.#answered += 1;
      answer?.();
    }
    // What comes before the next turn is of this one.
    if (this.#answered > 0) this.#schedule();
  }
}

interface Waiting {
  /** At once, in this turn. */
  answered: number;
  readonly waiting: (() => void)[];
}
