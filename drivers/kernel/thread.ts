import type { Worker } from 'node:worker_threads';

/** Where the code of a thread is: beside this file, with its own extension: `.ts` run directly, `.js` when built. */
const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'));

export const threadUrl = (name: string): URL => new URL(`./${name}${extension}`, import.meta.url);

/** Resolves when a thread has ended, also by an error: of that its listeners hear. */
export const ended = (worker: Worker): Promise<void> =>
  new Promise((resolve) => {
    worker.once('exit', () => resolve());
  });
