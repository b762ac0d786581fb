/**
 * Publishing to a stream with its acknowledgement, and asking it for a message: a publish with a reply subject, as the JetStream client does it (ADR-22), without
 * the error with a stack that the library makes for every request in case it fails. At two appends a command that was a tenth of the
 * service's time.
 */
import { type Msg, type MsgHdrs, type NatsConnection, TimeoutError } from '@nats-io/transport-node';
import type { Clock } from '../lib/clock.ts';
import { linkOf, newInbox } from './link.ts';

interface Waiting {
  readonly subject: string;
  readonly resolve: (answer: Msg) => void;
  readonly reject: (error: Error) => void;
  readonly cancel: () => void;
}

export class Acks {
  readonly #connection: NatsConnection;
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Waiting>();
  #inbox = '';
  #next = 0;

  constructor(connection: NatsConnection, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
  }

  /**
   * Publishes, and answers what the server says: an acknowledgement, an error, or status 503 where nobody takes the subject.
   * @throws TimeoutError; PermissionViolationError; what the library says of a connection that takes nothing more
   */
  publish(subject: string, body: string | Uint8Array, headers: MsgHdrs | null, timeoutMs: number): Promise<Msg> {
    if (this.#inbox === '') this.#open();
    const token = String(this.#next++);
    return new Promise((resolve, reject) => {
      const cancel = this.#clock.after(timeoutMs, () => this.#take(token)?.reject(new TimeoutError()));
      this.#waiting.set(token, { subject, resolve, reject, cancel });
      try {
        const reply = `${this.#inbox}.${token}`;
        this.#connection.publish(subject, body, headers === null ? { reply } : { headers, reply });
      } catch (error) {
        this.#take(token);
        throw error;
      }
    });
  }

  #open(): void {
    this.#inbox = newInbox(this.#connection);
    const skip = this.#inbox.length + 1;
    this.#connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, answer) => {
        if (error) this.#rejectAll(error, () => true);
        else this.#take(answer.subject.slice(skip))?.resolve(answer);
      },
    });
    linkOf(this.#connection).watch({
      denied: (error) => {
        if (error.operation === 'publish') this.#rejectAll(error, ({ subject }) => subject === error.subject);
      },
    });
  }

  #take(token: string): Waiting | undefined {
    const waiting = this.#waiting.get(token);
    this.#waiting.delete(token);
    waiting?.cancel();
    return waiting;
  }

  #rejectAll(error: Error, concerns: (waiting: Waiting) => boolean): void {
    for (const [token, waiting] of this.#waiting) if (concerns(waiting)) this.#take(token)?.reject(error);
  }
}
