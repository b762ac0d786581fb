/** Processes of others that hold namespaces for a while, as runtimes, proxies and monitors do (pain 11). */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/**
 * By a descriptor of its file, a socket inside, a process inside, or a mount namespace that has copied all mounts. The last one keeps it only
 * as long as its file is there.
 */
export const waysToHold = ['file', 'socket', 'process', 'mounts'] as const;
export type HowHeld = (typeof waysToHold)[number];

interface Said {
  readonly id: number;
  readonly inode?: number;
}

export class Holders {
  readonly #child = spawn('python3', [join(import.meta.dirname, 'holders.py')], { stdio: ['pipe', 'pipe', 'inherit'] });
  readonly #closed = once(this.#child, 'close');
  readonly #waiting = new Map<number, { readonly how: HowHeld; readonly resolve: () => void }>();
  /** Of those who hold now: inodes of namespaces; 0 for a mere copy of the mounts. */
  readonly #inodes = new Map<number, number>();
  #last = 0;
  /** How many were held at most. */
  heldMost = 0;

  constructor() {
    const kill = (): boolean => this.#child.kill('SIGKILL');
    process.once('exit', kill);
    void this.#closed.then(() => process.removeListener('exit', kill));
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#take(JSON.parse(line) as Said));
  }

  #take({ id, inode }: Said): void {
    if (inode === undefined) {
      this.#inodes.delete(id);
      return;
    }
    const wish = this.#waiting.get(id);
    this.#waiting.delete(id);
    this.#inodes.set(id, wish?.how === 'mounts' ? 0 : inode);
    this.heldMost = Math.max(this.heldMost, this.held);
    wish?.resolve();
  }

  get held(): number {
    return this.#inodes.size;
  }

  /** Whether somebody holds the namespace of this inode. */
  has(inode: number): boolean {
    return [...this.#inodes.values()].includes(inode);
  }

  /** Resolves once it is held; it is let go by itself. */
  hold(path: string, how: HowHeld, seconds: number): Promise<void> {
    const id = ++this.#last;
    this.#child.stdin.write(`${JSON.stringify({ id, path, how, seconds })}\n`);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { how, resolve });
      this.#closed.then(([code]) => reject(new Error(`holders.py ended with ${code}`)), reject);
    });
  }

  /** Resolves when all of them have let go. */
  async end(): Promise<void> {
    this.#child.stdin.end();
    const [code] = await this.#closed;
    if (code !== 0) throw new Error(`holders.py ended with ${code}`);
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}
