/** A file that says how far a watch has come, so that the next one goes on there. */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import type { Clock } from '../lib/clock.ts';
import { parseCursor } from '../projector/watch-position.ts';

/** A cursor that cannot be read or kept: exit code 1. */
export class CursorFault extends Error {
  override readonly name = 'CursorFault';
  readonly code = 'CURSOR_UNUSABLE';
}

/** How long what was printed may be ahead of the file. */
const SAVE_MS = 100;
/** How many lines may be. */
export const LINES_AHEAD_MAX = 500;

const describe = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** What the file says; null where there is none yet. @throws CursorFault */
export const readCursor = (path: string): string | null => {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new CursorFault(`the cursor cannot be read: ${describe(error)}`);
  }
  if (parseCursor(text) !== null) return text;
  throw new CursorFault(
    `${path}: ${text.split('\n', 1)[0]?.slice(0, 40)} is no cursor; remove the file to watch from now on`,
  );
};

/** Written beside, synced and renamed: at any moment the file is the old one or the new one. */
export class CursorFile {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #onFault: (fault: CursorFault) => void;
  #cursor = '';
  #ahead = 0;
  #cancel: (() => void) | null = null;

  /** @param onFault told when it cannot be written by a timer */
  constructor(path: string, clock: Clock, onFault: (fault: CursorFault) => void) {
    this.#path = path;
    this.#clock = clock;
    this.#onFault = onFault;
  }

  /** A line was printed; true: it is time to `save`, once the event loop has turned. */
  passed(cursor: string): boolean {
    this.#cursor = cursor;
    this.#ahead += 1;
    this.#cancel ??= this.#clock.after(SAVE_MS, () => {
      try {
        this.save();
      } catch (error) {
        this.#onFault(error as CursorFault);
      }
    });
    return this.#ahead >= LINES_AHEAD_MAX;
  }

  /** @throws CursorFault */
  save(): void {
    this.#cancel?.();
    this.#cancel = null;
    if (this.#ahead === 0) return;
    const beside = `${this.#path}.new`;
    try {
      const file = openSync(beside, 'w', 0o644);
      try {
        writeSync(file, `${this.#cursor}\n`);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
      renameSync(beside, this.#path);
    } catch (error) {
      throw new CursorFault(`the cursor cannot be kept: ${describe(error)}`);
    }
    this.#ahead = 0;
  }
}
