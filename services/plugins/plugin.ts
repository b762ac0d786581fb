/** One plugin: found, activated and called, with what keeps it from holding up anybody else. */
import type { z } from 'zod';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import { type Activation, activate, faultOfSide, isUnreachable, type Side } from './activation.ts';
import { afterFailure, afterTrial, type Breaker, closedBreaker, isOpen } from './breaker.ts';
import { attempt, interpret } from './caller.ts';
import { Connection } from './connection.ts';
import { type CallOptions, Deadline } from './deadline.ts';
import type { Directories } from './discovery.ts';
import { type Called, type Failed, faults } from './fault.ts';
import { type GoValue, goJson } from './go-json.ts';
import { Lanes } from './lanes.ts';
import { Slots } from './slots.ts';
import { IN_FLIGHT_MAX } from './transport.ts';

export interface PluginOptions {
  readonly directories: Directories;
  /** What a plugin has at most for its answer. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Told whenever it has answered the handshake: at first use, and after each time that it could not be reached or was started anew. */
  readonly onActivated: (name: string) => void;
}

/** A call of a method: `body` null is an empty body. */
export interface Question<T> {
  readonly side: Side;
  readonly method: string;
  readonly body: { readonly [field: string]: GoValue } | null;
  readonly answer: z.ZodType<T>;
  /** Calls with the same lane wait for each other: what the call is about. Null: for nobody. */
  readonly lane: string | null;
  /** What it means that the plugin has no such method; left out: an error. */
  readonly absent?: T;
}

/** Whoever can be asked: a plugin, or what stands in for one. */
export interface Asking {
  readonly name: string;
  /** Activates the plugin when it is not. Never rejects, and answers within the time of the call. */
  activation(options: CallOptions): Promise<Called<Activation>>;
  /** Asks a question of an activated plugin. Never rejects. Its time begins when it is its turn; till then the caller's alone counts. */
  call<T>(question: Question<T>, options: CallOptions): Promise<Called<T>>;
}

export class Plugin implements Asking {
  readonly name: string;
  readonly #options: PluginOptions;
  readonly #lanes = new Lanes();
  readonly #slots = new Slots(IN_FLIGHT_MAX);
  readonly #deadlines = new Set<Deadline>();
  readonly #connection: Connection;
  /** It has changed while the handshake was under way, which may have been with the one before. */
  #isChanged = false;
  #activation: Activation | null = null;
  #activating: Promise<Called<Activation>> | null = null;
  #breaker: Breaker = closedBreaker;
  #cancelTrial: (() => void) | null = null;
  #isClosed = false;

  constructor(name: string, options: PluginOptions) {
    this.name = name;
    this.#options = options;
    this.#connection = new Connection(name, options.directories);
  }

  activation(options: CallOptions): Promise<Called<Activation>> {
    return this.#timed(options, (deadline) => this.#whenActivated('Plugin.Activate', deadline));
  }

  call<T>(question: Question<T>, options: CallOptions): Promise<Called<T>> {
    const method = `${question.side}.${question.method}`;
    const body = question.body === null ? '' : `${goJson(question.body)}\n`;
    const waits = async (waiting: Deadline): Promise<Called<T>> => {
      const activated = await this.#whenActivated(method, waiting);
      if (!activated.ok) return { ...activated, isUnsent: true };
      const unusable = faultOfSide(this.#step(method), question.side, activated.value);
      if (unusable !== null) {
        this.#activation = null; // asked anew the next time: it may have been mended
        return { ...unusable, isUnsent: true };
      }
      const ask = (): Promise<Called<T>> =>
        this.#timed(options, (deadline) => this.#ask(method, body, question.answer, deadline, question.absent));
      // It may have stopped answering while this one waited for its turn.
      const turn = (): Promise<Called<T>> => (isOpen(this.#breaker) ? Promise.resolve(this.#refused(method)) : ask());
      const slot = (): Promise<Called<T> | null> => this.#slots.run(waiting, turn);
      const called = question.lane === null ? slot() : this.#lanes.run(question.lane, waiting, slot);
      return (await called) ?? { ...this.#over(method, waiting), isUnsent: true };
    };
    return this.#timed(options, waits, Infinity);
  }

  /** Its file has changed: another process, or another address. */
  changed(): void {
    if (!this.#connection.isOutdated()) return;
    this.#activation = null;
    this.#isChanged = this.#activating !== null;
    if (this.#cancelTrial !== null) this.#try();
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelTrial?.();
    for (const deadline of this.#deadlines) deadline.giveUp();
    this.#connection.close();
  }

  #step(method: string): string {
    return `${method} of plugin ${this.name}`;
  }

  async #timed<T>(
    options: CallOptions,
    run: (deadline: Deadline) => Promise<Called<T>>,
    timeoutMs = this.#options.timeoutMs,
  ): Promise<Called<T>> {
    const deadline = new Deadline(this.#options.clock, timeoutMs, options);
    if (this.#isClosed) deadline.giveUp();
    this.#deadlines.add(deadline);
    try {
      return await run(deadline);
    } finally {
      deadline.close();
      this.#deadlines.delete(deadline);
    }
  }

  async #whenActivated(method: string, deadline: Deadline): Promise<Called<Activation>> {
    if (isOpen(this.#breaker)) return this.#refused(method);
    if (this.#activation !== null) return { ok: true, value: this.#activation };
    if (deadline.ending !== null) return this.#over(method, deadline);
    return (await deadline.race(this.#activate())) ?? this.#over(method, deadline);
  }

  /** One handshake at a time, which has a time of its own: whoever asked first may give up. */
  #activate(): Promise<Called<Activation>> {
    this.#activating ??= this.#timed({}, (deadline) => this.#handshake(deadline)).finally(() => {
      this.#activating = null;
      if (this.#isChanged && this.#cancelTrial !== null) this.#try();
    });
    return this.#activating;
  }

  async #handshake(deadline: Deadline): Promise<Called<Activation>> {
    this.#isChanged = false;
    const problem = this.#connection.open();
    if (problem !== null) return { ok: false, fault: faults.unreachable(this.#step('Plugin.Activate'), problem) };
    const activated = await activate((method, schema) => this.#ask(method, '', schema, deadline));
    if (!activated.ok) return activated;
    // With the one before: the next call has to ask the one that is there now.
    if (!this.#isChanged) this.#activation = activated.value;
    this.#options.logger.info({ plugin: this.name, ...activated.value }, 'plugin activated');
    this.#options.onActivated(this.name);
    return activated;
  }

  async #ask<T>(
    method: string,
    body: string,
    schema: z.ZodType<T>,
    deadline: Deadline,
    absent?: T,
  ): Promise<Called<T>> {
    const step = this.#step(method);
    const posted = await attempt(() => this.#connection.transport, method, body, deadline, this.#options.clock);
    if (posted === null) {
      if (deadline.ending?.kind === 'late' && deadline.ending.isFair) this.#unanswered();
      return this.#over(method, deadline);
    }
    if (posted.kind === 'unreachable') {
      this.#unanswered();
      return { ok: false, fault: faults.unreachable(step, posted.text, posted.errno) };
    }
    this.#breaker = closedBreaker;
    if (posted.kind === 'garbled') return { ok: false, fault: faults.invalid(step, posted.text) };
    return interpret(step, posted, schema, absent);
  }

  /** Nobody answered: the handshake is due again, and soon tried. */
  #unanswered(): void {
    const wasOpen = isOpen(this.#breaker);
    this.#breaker = afterFailure(this.#breaker);
    if (isOpen(this.#breaker) && !wasOpen)
      this.#options.logger.warn({ plugin: this.name }, 'plugin does not answer: its calls fail at once until it does');
    this.#activation = null;
    this.#planTrial();
  }

  #planTrial(): void {
    if (this.#isClosed || this.#cancelTrial !== null) return;
    this.#cancelTrial = this.#options.clock.after(this.#breaker.pauseMs, () => this.#try());
  }

  /** A handshake whose fault is nobody's: it finds out whether the plugin is back. */
  #try(): void {
    this.#cancelTrial?.();
    this.#cancelTrial = null;
    if (this.#isClosed || this.#activation !== null) return;
    void this.#activate().then((activated) => {
      if (!isUnreachable(activated)) return;
      this.#breaker = afterTrial(this.#breaker);
      this.#cancelTrial?.();
      this.#cancelTrial = null;
      this.#planTrial();
    });
  }

  #refused(method: string): Failed {
    const text = `not called: the last ${this.#breaker.failures} calls were not answered, and it is being tried`;
    return { ok: false, fault: faults.unreachable(this.#step(method), text), isUnsent: true };
  }

  #over(method: string, { ending }: Deadline): Failed {
    const isLate = ending?.kind === 'late';
    const text = isLate ? `no answer within ${Math.round(ending.afterMs)} ms` : 'given up';
    return { ok: false, fault: faults.unreachable(this.#step(method), text, isLate ? 'ETIMEDOUT' : 'ECANCELED') };
  }
}
