/** One life of a process: from its start until it is killed, or ends. Whatever it waits for comes to it through here. */
import type { Clock } from '../../services/lib/clock.ts';
import { startMs } from '../support/fake-clock.ts';
import type { Dice } from './dice.ts';
import type { Owner, Scheduler } from './scheduler.ts';

/** A machine: its wall clock may be wrong, and jump. */
export interface Place {
  readonly name: string;
  wallOffsetMs: number;
}

export class Life implements Owner {
  readonly name: string;
  readonly scheduler: Scheduler;
  readonly dice: Dice;
  readonly clock: Clock;
  alive = true;
  stalledUntilMs = 0;
  /** Before this moment nothing reaches it and nothing of it reaches anybody. */
  cutOffUntilMs = 0;
  /** Before this moment the thread that works in the kernel for it does nothing. */
  kernelStallUntilMs = 0;
  readonly #onKilled = new Set<() => void>();

  constructor(name: string, place: Place, scheduler: Scheduler, dice: Dice) {
    this.name = name;
    this.scheduler = scheduler;
    this.dice = dice;
    const bornMs = scheduler.nowMs;
    this.clock = {
      nowMs: () => Math.floor(startMs + scheduler.nowMs + place.wallOffsetMs),
      monotonicMs: () => scheduler.nowMs - bornMs,
      // Timers are late, never early.
      after: (delayMs, run) => this.after(delayMs + dice.next(), 'timer', run),
      randomId: (length = 16) => dice.text(length),
    };
  }

  after(delayMs: number, what: string, run: () => void): () => void {
    return this.scheduler.after(delayMs, `${this.name} ${what}`, run, this);
  }

  get isCutOff(): boolean {
    return this.cutOffUntilMs > this.scheduler.nowMs;
  }

  /** Told when it is killed: what it had handed over to others may go on. The answer forgets it. */
  onKilled(run: () => void): () => void {
    this.#onKilled.add(run);
    return () => this.#onKilled.delete(run);
  }

  /** Its memory, its timers and its promises are gone. */
  kill(): void {
    if (!this.alive) return;
    this.alive = false;
    for (const run of this.#onKilled) run();
  }
}
