/** A service on a thread of its own: what it is asked, and how long it takes over it, is nothing to the loop of the others. */
import { Worker } from 'node:worker_threads';
import type { Config } from '../lib/config.ts';
import type { Logger } from '../lib/logger.ts';
import { NatsFault } from '../nats/fault.ts';
import { Asking } from './asking.ts';
import type { Inspection } from './observed.ts';
import type { Part } from './part.ts';
import type { ServiceName } from './service-names.ts';

/** What the thread is started with; all of it can be cloned. */
export interface ThreadData {
  readonly name: ServiceName;
  readonly config: Config;
  readonly url: string;
  readonly logLevel: string;
}

/** From the thread: that it serves, why it cannot go on, or how it is (null: that cannot be said). */
export type ThreadMessage =
  | { readonly serving: true }
  | { readonly failed: string; readonly isRegressed: boolean }
  | { readonly inspection: Inspection | null };

/** To the thread. */
export type ThreadOrder = 'stop' | 'stopping' | 'inspect';

/** This file's own extension: `.ts` run directly, `.js` when built. */
const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'));

export interface ThreadDeps {
  readonly config: Config;
  readonly url: string;
  readonly logger: Logger;
}

/** Starts a service on a thread; resolves when it serves. */
export const startOnThread = async (name: ServiceName, { config, url, logger }: ThreadDeps): Promise<Part> => {
  const workerData: ThreadData = { name, config, url, logLevel: logger.level };
  // Flags like --input-type would be taken for the thread's.
  const thread = new Worker(new URL(`./service-thread${extension}`, import.meta.url), { workerData, execArgv: [] });
  const ended = new Promise<void>((resolve) => {
    thread.once('exit', () => resolve());
  });
  const serving = Promise.withResolvers<void>();
  const failed = Promise.withResolvers<never>();
  const fail = (error: unknown): void => {
    serving.reject(error);
    failed.reject(error);
  };
  serving.promise.catch(() => undefined);
  failed.promise.catch(() => undefined);
  thread.on('error', fail);
  thread.on('exit', (code) => fail(new Error(`the thread of ${name} ended (${code})`)));
  const order = (what: ThreadOrder): void => thread.postMessage(what);
  const asking = new Asking<Inspection | null>(() => order('inspect'));
  // nobody answers any more
  thread.on('exit', () => asking.answer(null));
  thread.on('message', (message: ThreadMessage) => {
    if ('inspection' in message) asking.answer(message.inspection);
    else if ('failed' in message) {
      const text = `${name}: ${message.failed}`;
      fail(message.isRegressed ? new NatsFault('STREAM_REGRESSED', text) : new Error(text));
    } else serving.resolve();
  });
  try {
    await serving.promise;
  } catch (error) {
    await thread.terminate();
    throw error;
  }
  return {
    name,
    failed: failed.promise,
    inspect: async () => {
      const inspection = await asking.ask();
      if (inspection) return inspection;
      throw new Error(`${name} cannot say how it is`);
    },
    stopping: () => order('stopping'),
    stop: async () => {
      order('stop');
      await ended;
    },
  };
};
