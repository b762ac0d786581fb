/** Answers what sandboxes ask: a pair of sockets each, opened once and closed with the sandbox. */

import { randomInt } from 'node:crypto';
import { closeSync } from 'node:fs';
import type { Logger } from '../lib/logger.ts';
import type { Protocol } from './exchange.ts';
import type { Forwarder } from './forwarder.ts';
import { listenTcp } from './listen-tcp.ts';
import { listenUdp } from './listen-udp.ts';
import type { Listener, Responder } from './listener.ts';
import { answer } from './lookup.ts';
import { Questions } from './questions.ts';
import { bytesMaxOf, encodeAnswer, encodeEmpty, parseQuery, type Query } from './wire.ts';
import type { Zone } from './zone.ts';

export interface ServerOptions {
  readonly zone: Zone;
  readonly forwarder: Forwarder;
  readonly logger: Logger;
  readonly hostServers: () => readonly string[];
}

export interface DnsServer {
  /** Takes two bound descriptors over. Throws when they are no sockets; they are closed then all the same. */
  open(incarnation: string, udp: number, tcp: number): Promise<void>;
  isOpen(incarnation: string): boolean;
  close(incarnation: string): Promise<void>;
  closeAll(): Promise<void>;
  readonly counts: {
    readonly sandboxes: number;
    readonly answered: number;
    readonly malformed: number;
    readonly dropped: number;
  };
}

const closeIfOpen = (fd: number): void => {
  try {
    closeSync(fd);
  } catch {
    // Closed already.
  }
};

class SandboxServer implements DnsServer {
  readonly #options: ServerOptions;
  readonly #listeners = new Map<string, readonly Listener[]>();
  readonly #questions = new Questions();
  #answered = 0;
  #malformed = 0;
  #dropped = 0;

  constructor(options: ServerOptions) {
    this.#options = options;
  }

  get counts() {
    const { size: sandboxes } = this.#listeners;
    return { sandboxes, answered: this.#answered, malformed: this.#malformed, dropped: this.#dropped };
  }

  async open(incarnation: string, udp: number, tcp: number): Promise<void> {
    const onError = (error: Error): void => {
      this.#options.logger.debug({ incarnation, err: error }, 'a resolver socket had an error');
    };
    const onDrop = (): void => {
      this.#dropped += 1;
    };
    const line = this.#questions.line();
    const listeners: Listener[] = [];
    try {
      listeners.push(listenUdp(udp, { respond: this.#responder(incarnation, 'udp'), line, onError, onDrop }));
      listeners.push(await listenTcp(tcp, { respond: this.#responder(incarnation, 'tcp'), line, onError }));
      listeners.push({ close: async () => line.close() });
    } catch (error) {
      // A descriptor that nobody took over is closed by nobody else.
      if (listeners.length === 0) closeIfOpen(udp);
      closeIfOpen(tcp);
      await Promise.all(listeners.map((listener) => listener.close()));
      throw error;
    }
    await this.close(incarnation);
    this.#listeners.set(incarnation, listeners);
  }

  isOpen(incarnation: string): boolean {
    return this.#listeners.has(incarnation);
  }

  async close(incarnation: string): Promise<void> {
    const listeners = this.#listeners.get(incarnation) ?? [];
    this.#listeners.delete(incarnation);
    await Promise.all(listeners.map((listener) => listener.close()));
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#listeners.keys()].map((incarnation) => this.close(incarnation)));
  }

  #responder(incarnation: string, protocol: Protocol): Responder {
    return (message) => {
      const parsed = parseQuery(message);
      if (!parsed.ok) {
        this.#malformed += 1;
        return parsed.reply;
      }
      return this.#respond(incarnation, parsed.query, protocol);
    };
  }

  #respond(incarnation: string, query: Query, protocol: Protocol): Buffer | Promise<Buffer> {
    const { zone } = this.#options;
    const bytesMax = bytesMaxOf(query, protocol);
    const local = answer(zone, incarnation, query.question, randomInt);
    if (local !== 'forward') {
      this.#answered += 1;
      return encodeAnswer(query, local, bytesMax);
    }
    return this.#forward(incarnation, query, protocol, bytesMax);
  }

  async #forward(incarnation: string, query: Query, protocol: Protocol, bytesMax: number): Promise<Buffer> {
    const { zone, forwarder, hostServers } = this.#options;
    const servers = zone.of(incarnation)?.servers ?? hostServers();
    const reply = await forwarder.forward(incarnation, query, protocol, servers);
    if (reply === 'refused') return encodeEmpty(query, 'REFUSED');
    if (reply === 'failed') return encodeEmpty(query, 'SERVFAIL');
    // A server that sent more than it was asked for: the sender comes again over TCP.
    return reply.length > bytesMax ? encodeEmpty(query, 'NOERROR', true) : reply;
  }
}

export const createServer = (options: ServerOptions): DnsServer => new SandboxServer(options);
