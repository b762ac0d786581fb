/** What services of a simulation stand on and outlives them: time, the wire, what the server stores, and the machines. */
import type { Journal } from '../../services/worker/journal.ts';
import type { MemoryMachine } from '../support/memory-kernel.ts';
import type { Dice } from './dice.ts';
import type { Life, Place } from './life.ts';
import type { Scheduler } from './scheduler.ts';
import type { Store, Wire } from './wire.ts';

export interface Machine {
  readonly host: string;
  readonly place: Place;
  readonly kernel: MemoryMachine;
  /** How far its worker has read the log: a file that outlives it. */
  readonly journal: Journal & { empty(): void };
}

export interface Stage {
  readonly scheduler: Scheduler;
  readonly dice: Dice;
  readonly wire: Wire;
  readonly log: Store;
  readonly commands: Store;
  readonly leases: Store;
  /** An answer of a controller on its way to whoever asked. */
  answer(life: Life, subject: string, body: string): void;
  /** What must never happen has happened. */
  blame(what: string, error: unknown): void;
}
