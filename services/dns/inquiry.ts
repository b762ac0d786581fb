/** One question on its way from server to server. */
import { randomInt } from 'node:crypto';
import type { Clock } from '../lib/clock.ts';
import { type Exchange, exchange, type Protocol } from './exchange.ts';
import { isReply, type Query, rcodeOf, rcodes, withId } from './wire.ts';

export interface InquiryOptions {
  /** How long a question may take in all, and after how long the next server is asked too: milliseconds. */
  readonly budgetMs: number;
  readonly stepMs: number;
  /** Of the servers. */
  readonly port: number;
}

export interface Asked {
  readonly query: Query;
  readonly protocol: Protocol;
  readonly servers: readonly string[];
}

export interface InquiryEvents {
  /** A server did not answer in time, or cannot be reached. */
  readonly onSilent: (address: string) => void;
  readonly onHeard: (address: string) => void;
  /** The reply under the id of the query: a good one, else the first that a server refused or failed with, else null. */
  readonly onEnd: (reply: Buffer | null) => void;
}

export class Inquiry {
  readonly #asked: Asked;
  readonly #options: InquiryOptions;
  readonly #clock: Clock;
  readonly #events: InquiryEvents;
  /** The question under an id of ours: the sender's may be easy to guess. */
  readonly #sent: Buffer;
  readonly #later: string[];
  /** Servers that are asked and may still answer, each until the end: a late answer is better than none. */
  readonly #open = new Map<string, Exchange>();
  #refusal: Buffer | null = null;
  #cancelStep: () => void = () => undefined;
  #cancelBudget: () => void = () => undefined;
  #isOver = false;

  constructor(asked: Asked, options: InquiryOptions, clock: Clock, events: InquiryEvents) {
    this.#asked = asked;
    this.#options = options;
    this.#clock = clock;
    this.#events = events;
    this.#sent = withId(asked.query.message, randomInt(0x10000));
    this.#later = [...asked.servers];
  }

  start(): void {
    this.#cancelBudget = this.#clock.after(this.#options.budgetMs, () => {
      for (const address of this.#open.keys()) this.#events.onSilent(address);
      this.end(this.#refusal);
    });
    this.#next();
  }

  /** Closes all sockets. */
  end(reply: Buffer | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelStep();
    this.#cancelBudget();
    for (const open of this.#open.values()) open.close();
    this.#open.clear();
    this.#events.onEnd(reply);
  }

  #next(): void {
    this.#cancelStep();
    const address = this.#later.shift();
    if (address === undefined) {
      if (this.#open.size === 0) this.end(this.#refusal);
      return;
    }
    const server = { address, port: this.#options.port };
    const opened = exchange(this.#asked.protocol, server, this.#sent, {
      onMessage: (message) => this.#heard(address, message),
      onFailure: () => {
        this.#events.onSilent(address);
        this.#drop(address);
      },
    });
    this.#open.set(address, opened);
    if (this.#later.length === 0) return;
    this.#cancelStep = this.#clock.after(this.#options.stepMs, () => {
      this.#events.onSilent(address);
      this.#next();
    });
  }

  /** This server has nothing more to say: on to the next. */
  #drop(address: string): void {
    const open = this.#open.get(address);
    if (!open) return;
    this.#open.delete(address);
    open.close();
    this.#next();
  }

  #heard(address: string, message: Buffer): void {
    const { query } = this.#asked;
    if (this.#isOver || !isReply(message, this.#sent, query.questionEnd)) return;
    this.#events.onHeard(address);
    const reply = withId(message, query.id);
    const rcode = rcodeOf(reply);
    if (rcode !== rcodes.SERVFAIL && rcode !== rcodes.REFUSED) this.end(reply);
    else {
      this.#refusal ??= reply;
      this.#drop(address);
    }
  }
}
