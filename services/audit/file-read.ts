/** A read of an export that is handed out like that of a stream: what is stored does not grow, so it stays open at its end. */
import type { Message, Reader, ReadOptions } from '../lib/stream.ts';
import { subjectMatches } from '../lib/subjects.ts';

/** Messages from a position on, in the order of the file, in batches. */
export type MessagesFrom = (position: number) => AsyncIterable<readonly Message[]>;

export class FileRead implements Reader {
  readonly #caughtUp = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<void>();
  readonly caughtUp = this.#caughtUp.promise;
  readonly closed = this.#closed.promise;
  #stopped = false;

  constructor(messages: MessagesFrom, options: ReadOptions, onMessage: (message: Message) => void) {
    this.caughtUp.catch(() => undefined);
    this.#deliver(messages, options, onMessage).then(
      () => this.#caughtUp.resolve(),
      (error: unknown) => {
        this.#caughtUp.reject(error);
        this.#closed.reject(error);
      },
    );
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#caughtUp.reject(new Error('reading was stopped before it had come to the end'));
    this.#closed.resolve();
  }

  async #deliver(messages: MessagesFrom, options: ReadOptions, onMessage: (message: Message) => void): Promise<void> {
    const { from, subjects } = options;
    const isWanted = ({ subject, position }: Message): boolean =>
      position >= from && (subjects === undefined || subjects.some((filter) => subjectMatches(filter, subject)));
    for await (const batch of messages(from)) {
      for (const message of batch) {
        if (this.#stopped) return;
        if (isWanted(message)) onMessage(message);
      }
    }
  }
}
