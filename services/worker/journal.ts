/**
 * How far this host's worker has read the log, in a file of the machine: what tells an older copy of the log from the log. It lies beside
 * the worker's run directory, where a boot empties it together with the kernel. Not synced: a crash of the machine takes the kernel along.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { makeFolder } from '../lib/make-folder.ts';

/** A commit that was read. `epoch`: of the log, empty while it has none; `hash`: its `chainHash`. */
export const Mark = z.object({ epoch: z.string(), position: z.int(), hash: z.string() });
export type Mark = z.infer<typeof Mark>;

export interface Journal {
  /** The last mark; null where there is none that can be read. */
  read(): Mark | null;
  write(mark: Mark): void;
  close(): void;
}

/** Marks are all of this length, so that one takes the place of another in one call: whoever is killed leaves one or the other. */
const lineBytes = 256;

class FileJournal implements Journal {
  readonly #path: string;
  #file: number | null = null;

  constructor(path: string) {
    this.#path = path;
  }

  read(): Mark | null {
    try {
      return Mark.parse(JSON.parse(readFileSync(this.#path, 'utf8')));
    } catch {
      return null;
    }
  }

  write(mark: Mark): void {
    if (this.#file === null) {
      makeFolder(dirname(this.#path));
      this.#file = openSync(this.#path, this.read() === null ? 'w' : 'r+', 0o600);
    }
    writeSync(this.#file, `${JSON.stringify(mark).padEnd(lineBytes - 1)}\n`, 0);
  }

  close(): void {
    if (this.#file !== null) closeSync(this.#file);
    this.#file = null;
  }
}

export const fileJournal = (path: string): Journal => new FileJournal(path);
