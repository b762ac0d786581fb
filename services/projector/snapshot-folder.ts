/** Where snapshots lie: `<root>/<epoch>-<code>/<position>.zst`. What stands in other folders no process of this version reads. */
import { readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '../lib/make-folder.ts';

const NAME = /^(\d{1,15})\.zst$/;
/** More than so many, and every second one of the older half goes: then at most 1/256 of the log is between two of them. */
const FILES_MAX = 256;
/** Nobody writes one for so long: it is some megabytes. */
const UNFINISHED_MS = 600_000;

export class SnapshotFolder {
  readonly #root: string;
  readonly #name: string;
  /** Bytes by position, ascending. */
  #files: ReadonlyMap<number, number> | null = null;
  #alone = false;

  constructor(root: string, epoch: string, code: string) {
    this.#root = root;
    this.#name = `${epoch}-${code}`;
  }

  /** Positions of the files, ascending, with their sizes in bytes. */
  async files(): Promise<ReadonlyMap<number, number>> {
    this.#files ??= await this.#list();
    return this.#files;
  }

  /** @throws what the file system says, such as that the file is gone */
  read(position: number): Promise<Uint8Array> {
    return readFile(this.#path(position));
  }

  /** Whole or not at all, whoever writes the same one at the same time. @param token of this write alone */
  async write(position: number, bytes: Uint8Array, token: string): Promise<void> {
    makeFolder(join(this.#root, this.#name), 0o700);
    const temporary = `${this.#path(position)}.${token}`;
    try {
      await writeFile(temporary, bytes, { mode: 0o600 });
      await rename(temporary, this.#path(position));
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    const files = [...(await this.files()), [position, bytes.length] as const].sort(([a], [b]) => a - b);
    this.#files = new Map(files);
    if (!this.#alone) {
      await this.#removeOthers();
      await this.#removeUnfinished(position);
    }
    this.#alone = true;
    await this.#thin();
  }

  async remove(position: number): Promise<void> {
    this.#files = new Map([...(await this.files())].filter(([other]) => other !== position));
    await rm(this.#path(position), { force: true });
  }

  async clear(): Promise<void> {
    this.#files = new Map();
    await rm(join(this.#root, this.#name), { recursive: true, force: true });
  }

  #path(position: number): string {
    return join(this.#root, this.#name, `${position}.zst`);
  }

  async #list(): Promise<ReadonlyMap<number, number>> {
    const names = await readdir(join(this.#root, this.#name)).catch(() => []);
    const files: [number, number][] = [];
    for (const name of names) {
      const position = NAME.exec(name)?.[1];
      if (position === undefined) continue;
      const found = await stat(join(this.#root, this.#name, name)).catch(() => null);
      if (found) files.push([Number(position), found.size]);
    }
    return new Map(files.sort(([a], [b]) => a - b));
  }

  /** Of other folds or other logs, once there is one of ours: whoever goes back a version makes them again. */
  async #removeOthers(): Promise<void> {
    for (const name of await readdir(this.#root)) {
      if (name !== this.#name) await rm(join(this.#root, name), { recursive: true, force: true });
    }
  }

  /** What a process was writing when it ended: older, by far, than what was written just now. */
  async #removeUnfinished(position: number): Promise<void> {
    const { mtimeMs: nowMs } = await stat(this.#path(position));
    const directory = join(this.#root, this.#name);
    for (const name of await readdir(directory)) {
      if (NAME.test(name)) continue;
      const found = await stat(join(directory, name)).catch(() => null);
      if (found && found.mtimeMs < nowMs - UNFINISHED_MS) await rm(join(directory, name), { force: true });
    }
  }

  async #thin(): Promise<void> {
    const positions = [...(await this.files()).keys()];
    if (positions.length <= FILES_MAX) return;
    const older = positions.slice(0, positions.length / 2);
    for (const position of older.filter((_, index) => index % 2 === 0)) await this.remove(position);
  }
}
