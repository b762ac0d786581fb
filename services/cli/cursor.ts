/** Where a watch was ended, in a file: what was printed up to there is not printed again. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { Clock } from '../lib/clock.ts';

/** A watch that is killed prints again at most what it has printed in this time. */
const WRITE_MS = 100;

export class Cursor {
  readonly #file: string;
  readonly #clock: Clock;
  #position: string | null = null;
  #cancel: (() => void) | null = null;

  constructor(file: string, clock: Clock) {
    this.#file = file;
    this.#clock = clock;
  }

  /** What the file holds; null where there is none yet. @throws what the file system says */
  read(): string | null {
    try {
      return readFileSync(this.#file, 'utf8').trim();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  }

  /** Everything up to here is printed. */
  passed(position: string): void {
    this.#position = position;
    this.#cancel ??= this.#clock.after(WRITE_MS, () => this.write());
  }

  /** Writes what is due. A reader of the file finds the former position or the new one. */
  write(): void {
    this.#cancel?.();
    this.#cancel = null;
    if (this.#position === null) return;
    const beside = `${this.#file}.new`;
    writeFileSync(beside, `${this.#position}\n`);
    renameSync(beside, this.#file);
    this.#position = null;
  }
}
