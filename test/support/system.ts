/** A whole cnmbus in one process on a real nats-server, for tests and benches: controller and worker on a kernel of the caller's choice. */
import type { NatsConnection } from '@nats-io/transport-node';
import { pino } from 'pino';
import type { Kernel } from '../../drivers/port.ts';
import { drivers } from '../../drivers/registry.ts';
import type { CommandInput, CommandType } from '../../events/commands.ts';
import { DEFAULT_IPV4_POOLS } from '../../events/ipam.ts';
import { commandId, subjects } from '../../events/names.ts';
import type { Accepted, Answer, Outcome, Refused } from '../../events/queries.ts';
import { createController } from '../../services/controller/controller.ts';
import { systemClock } from '../../services/lib/clock.ts';
import type { Stream } from '../../services/lib/stream.ts';
import { connectNats } from '../../services/nats/connection.ts';
import { jetStream } from '../../services/nats/jetstream.ts';
import { provision } from '../../services/nats/streams.ts';
import { createWorker } from '../../services/worker/worker.ts';
import { startNats, type TestNats } from './nats.ts';

export interface System {
  readonly nats: TestNats;
  readonly log: Stream;
  readonly commands: Stream;
  readonly connection: NatsConnection;
  /** Publishes a command and answers with both replies. */
  send<T extends CommandType>(
    type: T,
    data: CommandInput<T>,
  ): Promise<{ first: Accepted | Refused; outcome: Promise<Outcome> }>;
  stop(): Promise<void>;
}

export const startSystem = async (kernel: Kernel, runDir: string): Promise<System> => {
  const nats = await startNats();
  const logger = pino({ level: process.env.CNM_LOG_LEVEL ?? 'warn' }, pino.destination({ dest: 2, sync: true }));
  const connection = await connectNats({ url: nats.url, role: 'test', log: logger });
  const provisioned = await provision(connection, { sync: { kind: 'embedded' } as never });
  if (!provisioned.ok) throw new Error(JSON.stringify(provisioned.problems));
  const log = jetStream(connection, 'CNM_LOG');
  const commands = jetStream(connection, 'CNM_COMMANDS');
  const worker = createWorker({
    realm: 'test',
    host: 'h1',
    log,
    kernel,
    drivers,
    clock: systemClock,
    logger,
    runDir,
    pools: DEFAULT_IPV4_POOLS,
    ula: 'fd00:1:2::/48',
    netnsRoots: ['/run', '/tmp'],
  });
  await worker.start();
  const controller = createController({
    realm: 'test',
    log,
    commands,
    drivers,
    publish: (subject, body) => connection.publish(subject, body),
    clock: systemClock,
    logger,
    quarantineMs: 60_000,
  });
  for (const { failed } of [worker, controller])
    failed.catch((error) => logger.fatal({ err: error }, 'service failed'));
  await controller.start();
  controller.activate();

  type Waiting = {
    readonly first: PromiseWithResolvers<Accepted | Refused>;
    readonly outcome: PromiseWithResolvers<Outcome>;
  };
  const waiting = new Map<string, Waiting>();
  connection.subscribe(`cnm.reply.test.*`, {
    callback: (_, message) => {
      const answer = JSON.parse(message.string()) as Answer;
      const entry = waiting.get(answer.commandid);
      if (answer.kind === 'outcome') entry?.outcome.resolve(answer);
      else entry?.first.resolve(answer);
    },
  });
  let next = 0;
  return {
    nats,
    log,
    commands,
    connection,
    async send(type, data) {
      const id = commandId(systemClock.nowMs(), `t${next++}`);
      const entry = { first: Promise.withResolvers<Accepted | Refused>(), outcome: Promise.withResolvers<Outcome>() };
      waiting.set(id, entry);
      await commands.append({ subject: subjects.command('test', null), body: JSON.stringify({ id, type, data }), id });
      return { first: await entry.first.promise, outcome: entry.outcome.promise };
    },
    async stop() {
      await controller.stop();
      await worker.stop();
      await connection.close();
      await nats.stop();
    },
  };
};
