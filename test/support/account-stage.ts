/** A server with accounts, and our services on it, each with its own key: what tests of permissions are played on. */
import { join } from 'node:path';
import type { NatsConnection } from '@nats-io/transport-node';
import { type Client, connect } from '../../services/client/index.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { silentLogger } from '../../services/lib/logger.ts';
import type { Message, Stream } from '../../services/lib/stream.ts';
import { jetStream } from '../../services/nats/jetstream.ts';
import { STREAMS } from '../../services/nats/stream-config.ts';
import type { Part } from '../../services/up/part.ts';
import { prepareServer } from '../../services/up/server.ts';
import { startService } from '../../services/up/services.ts';
import { holdHost } from '../../services/worker/tenure.ts';
import { type AccountServer, startAccounts } from './accounts.ts';
import { MemoryMachine, memoryKernel } from './memory-kernel.ts';
import { testStream } from './nats.ts';
import { System } from './system.ts';

const logger = silentLogger();

/** An actor whose name is written otherwise in a subject. */
export const odd = 'ci.runner@build-7';

export class AccountStage {
  readonly server: AccountServer;
  /** Sees everything. */
  readonly root: NatsConnection;
  /** Its worker, on host `h1`, runs. */
  readonly system: System;
  /** An actor that views nothing. */
  readonly alice: Client;
  readonly #stops: (() => Promise<void>)[];

  private constructor(
    server: AccountServer,
    root: NatsConnection,
    system: System,
    alice: Client,
    stops: (() => Promise<void>)[],
  ) {
    this.server = server;
    this.root = root;
    this.system = system;
    this.alice = alice;
    this.#stops = stops;
  }

  static async start(): Promise<AccountStage> {
    const server = await startAccounts({
      hosts: ['h1', 'h2'],
      actors: ['alice', 'mallory', odd],
      viewers: ['bob', 'mallory'],
      readers: ['rita'],
      operators: ['root'],
    });
    const root = await server.connect('operator-root', 'root');
    // the worker may not make streams: it waits for the controller, which may
    const early = prepareServer(server.url, server.config('host-h1'), logger, systemClock);
    await prepareServer(server.url, server.config('service-controller'), logger, systemClock);
    await early;
    const h1 = await server.connect('host-h1', 'worker');
    const stream = (name: keyof typeof STREAMS): Stream => jetStream(h1, STREAMS[name], { log: logger });
    const lockPath = join(server.folder, 'h1.lock');
    const tenure = await holdHost(stream('lease'), 'h1', { lockPath, clock: systemClock, logger });
    const kernel = memoryKernel(new MemoryMachine(), { realm: 'test', host: 'h1' });
    const system = new System({ log: stream('log'), commands: stream('commands'), kernel, runDir: '/run/cnm-test' });
    await system.startWorker();
    const parts: Part[] = [];
    for (const name of ['projector', 'controller', 'collector'] as const) {
      const config = server.config(`service-${name}`);
      await prepareServer(server.url, config, logger, systemClock);
      parts.unshift(await startService(name, { config, url: server.url, logger, clock: systemClock }));
    }
    const alice = await connectTo(server, 'actor-alice', 'alice');
    const stops = [
      () => alice.close(),
      ...parts.map((part) => () => part.stop()),
      () => system.stopWorker(),
      () => tenure.stop(),
      () => server.stop(),
    ];
    return new AccountStage(server, root, system, alice, stops);
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops) await stop();
  }

  /** @param party whose key it has @param actor who it says it is */
  client(party: string, actor: string): Promise<Client> {
    return connectTo(this.server, party, actor);
  }

  /** All that is stored, as the operator reads it. */
  async stored(name: keyof typeof STREAMS): Promise<readonly Message[]> {
    const found: Message[] = [];
    const reader = testStream(this.root, STREAMS[name]).read({ from: 1 }, (message) => found.push(message));
    await reader.caughtUp;
    await reader.stop();
    return found;
  }

  /** Where each stream ends but the leases, which are renewed all the time. */
  async ends(): Promise<{ readonly [Name in 'commands' | 'log' | 'checkpoint' | 'key']: number }> {
    const lastOf = (name: keyof typeof STREAMS): Promise<number> => testStream(this.root, STREAMS[name]).last();
    const [commands, log, checkpoint, key] = await Promise.all([
      lastOf('commands'),
      lastOf('log'),
      lastOf('checkpoint'),
      lastOf('key'),
    ]);
    return { commands, log, checkpoint, key };
  }
}

const connectTo = (server: AccountServer, party: string, actor: string): Promise<Client> =>
  connect({ url: server.url, actor, security: server.security(party), waitMs: 5_000 });
