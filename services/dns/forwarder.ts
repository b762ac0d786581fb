/**
 * Asks other servers what is not known here. A question goes to the first server; to the next one too when that refuses, fails, cannot be
 * reached or takes its time; the first good reply is passed on as it came, with its EDNS record and truncated where it was. Servers that
 * stayed silent are asked last for a while.
 */
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Protocol } from './exchange.ts';
import { Inquiry, type InquiryOptions } from './inquiry.ts';
import { createTurns, type Turns, type TurnsOptions } from './turns.ts';
import { askable } from './upstreams.ts';
import type { Query } from './wire.ts';

export interface ForwarderOptions extends TurnsOptions, InquiryOptions {
  /** For how long a server that stayed silent is asked after the others, milliseconds. */
  readonly silentMs: number;
}

/** Design values: a client of glibc asks again after 5 s, and a sandbox takes a quarter of all sockets at most. */
const defaults: ForwarderOptions = {
  budgetMs: 2_000,
  stepMs: 600,
  silentMs: 10_000,
  port: 53,
  placesMax: 512,
  placesPerKeyMax: 128,
  sharedPlaces: 256,
  ownPlaces: 8,
  perKeyMax: 256,
};
/** One sandbox's refusals are told once in so many milliseconds. */
const tellEveryMs = 30_000;

/** The reply under the id of the query; `refused`: too many at once, `failed`: no server has answered. */
export type Forwarded = Buffer | 'refused' | 'failed';

export interface Forwarder {
  forward(incarnation: string, query: Query, protocol: Protocol, servers: readonly string[]): Promise<Forwarded>;
  /** Drops what waits of a sandbox: its questions fail. */
  forget(incarnation: string): void;
  /** Gives everything up. */
  close(): void;
  readonly counts: { readonly forwarded: number; readonly shed: number };
}

class Forwarding implements Forwarder {
  readonly #options: ForwarderOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #turns: Turns;
  readonly #inquiries = new Set<Inquiry>();
  /** Until when a server counts as silent. */
  readonly #silent = new Map<string, number>();
  /** When a sandbox's refusals were told last. */
  readonly #told = new Map<string, number>();
  readonly #waiting = new Map<string, Set<(result: Forwarded) => void>>();
  #forwarded = 0;
  #shed = 0;

  constructor({ clock, logger, ...options }: { readonly clock: Clock; readonly logger: Logger } & ForwarderOptions) {
    this.#options = options;
    this.#clock = clock;
    this.#logger = logger;
    this.#turns = createTurns(options);
  }

  get counts() {
    return { forwarded: this.#forwarded, shed: this.#shed };
  }

  forward(incarnation: string, query: Query, protocol: Protocol, servers: readonly string[]): Promise<Forwarded> {
    const usable = this.#inOrder(askable(servers));
    if (usable.length === 0) return Promise.resolve('failed');
    const givenUpAt = this.#clock.monotonicMs() + this.#options.budgetMs;
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(incarnation) ?? new Set();
      this.#waiting.set(incarnation, waiting.add(resolve));
      const isTaken = this.#turns.take(incarnation, (done) => {
        this.#unwait(incarnation, resolve);
        const end = (result: Forwarded): void => {
          done();
          resolve(result);
        };
        if (this.#clock.monotonicMs() > givenUpAt) end('failed');
        else this.#ask(query, protocol, usable, end);
      });
      if (isTaken) return;
      this.#unwait(incarnation, resolve);
      this.#shedOne(incarnation);
      resolve('refused');
    });
  }

  forget(incarnation: string): void {
    this.#turns.forget(incarnation);
    this.#told.delete(incarnation);
    for (const resolve of this.#waiting.get(incarnation) ?? []) resolve('failed');
    this.#waiting.delete(incarnation);
  }

  close(): void {
    for (const incarnation of [...this.#waiting.keys()]) this.forget(incarnation);
    for (const inquiry of [...this.#inquiries]) inquiry.end(null);
  }

  #unwait(incarnation: string, resolve: (result: Forwarded) => void): void {
    const waiting = this.#waiting.get(incarnation);
    waiting?.delete(resolve);
    if (waiting?.size === 0) this.#waiting.delete(incarnation);
  }

  #ask(query: Query, protocol: Protocol, servers: readonly string[], onEnd: (result: Forwarded) => void): void {
    this.#forwarded += 1;
    const inquiry = new Inquiry({ query, protocol, servers }, this.#options, this.#clock, {
      onSilent: (address) => this.#silent.set(address, this.#clock.monotonicMs() + this.#options.silentMs),
      onHeard: (address) => this.#silent.delete(address),
      onEnd: (reply) => {
        this.#inquiries.delete(inquiry);
        onEnd(reply ?? 'failed');
      },
    });
    this.#inquiries.add(inquiry);
    inquiry.start();
  }

  /** As they are named, those that were silent lately behind the others. */
  #inOrder(servers: readonly string[]): readonly string[] {
    if (this.#silent.size === 0) return servers;
    const now = this.#clock.monotonicMs();
    const isSilent = (address: string): boolean => (this.#silent.get(address) ?? now) > now;
    return [...servers.filter((address) => !isSilent(address)), ...servers.filter(isSilent)];
  }

  #shedOne(incarnation: string): void {
    this.#shed += 1;
    const now = this.#clock.monotonicMs();
    if (now - (this.#told.get(incarnation) ?? Number.NEGATIVE_INFINITY) < tellEveryMs) return;
    this.#told.set(incarnation, now);
    const { perKeyMax } = this.#options;
    this.#logger.warn({ incarnation, perKeyMax }, 'too many questions to others at once, refusing more');
  }
}

export const createForwarder = (
  options: { readonly clock: Clock; readonly logger: Logger } & Partial<ForwarderOptions>,
): Forwarder => new Forwarding({ ...defaults, ...options });
