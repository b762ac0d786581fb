/** The thread that listens, from outside: begun when somebody wants to be told, ended with the kernel. */
import { writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { Notice } from '../port.ts';
import type { ThreadOptions } from './protocol.ts';
import { ended, threadUrl } from './thread.ts';

type Told = { readonly ending: number } | { readonly notices: readonly Notice[] };

const somewhere: readonly Notice[] = [{ of: 'everything', id: '', suspect: '' }];

export class Watch {
  #worker: Worker | null = null;
  /** Descriptor of what it waits for beside the kernel; null before it has begun. */
  #ending = Promise.withResolvers<number | null>();
  #isEnding = false;
  #tell: (notices: readonly Notice[]) => void = () => undefined;

  begin(options: ThreadOptions, tell: (notices: readonly Notice[]) => void, failed: (error: Error) => void): void {
    this.#tell = tell;
    if (this.#isEnding) return;
    // What came between the one who was told before and this one, nobody has looked at.
    if (this.#worker !== null) tell(somewhere);
    else this.#listen(options, failed);
  }

  #listen(options: ThreadOptions, failed: (error: Error) => void): void {
    const worker = new Worker(threadUrl('watch-thread'), { workerData: { options }, execArgv: [] });
    this.#worker = worker;
    worker.on('message', (told: Told) => {
      // Until then nobody listened.
      const isFirst = 'ending' in told;
      if (isFirst) this.#ending.resolve(told.ending);
      if (!this.#isEnding) this.#tell(isFirst ? somewhere : told.notices);
    });
    worker.on('error', (error) => failed(error instanceof Error ? error : new Error(String(error))));
    worker.on('exit', () => {
      // Its descriptor is somebody else's from here on.
      this.#worker = null;
      this.#ending.resolve(null);
      if (!this.#isEnding) failed(new Error('the thread that listens to the kernel ended'));
    });
  }

  async end(): Promise<void> {
    this.#isEnding = true;
    const worker = this.#worker;
    this.#worker = null;
    if (worker === null) return;
    const gone = ended(worker);
    const ending = await this.#ending.promise;
    // eventfd(2): a number of 64 bits in the order of the machine.
    if (ending !== null) writeSync(ending, new Uint8Array(BigUint64Array.of(1n).buffer));
    if (ending !== null) await gone;
  }
}
