/** What the command line meets in this process: a server, controller and worker over memory, a projector, and a folder for files. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../services/lib/clock.ts';
import { silentLogger } from '../../services/lib/logger.ts';
import { connectNats } from '../../services/nats/connection.ts';
import { jetStream } from '../../services/nats/jetstream.ts';
import { STREAMS } from '../../services/nats/stream-config.ts';
import { createProjector } from '../../services/projector/projector.ts';
import { serveQueries } from '../../services/projector/serve.ts';
import { MemoryMachine, memoryKernel } from './memory-kernel.ts';
import { host, type NatsStreams, natsStreams, realm, System } from './system.ts';

export interface CliStage {
  readonly streams: NatsStreams;
  readonly system: System;
  readonly folder: string;
  /** A file in the folder. */
  path(name: string): string;
  /** From here on queries are answered, of everything that was stored before this. */
  answer(options?: Parameters<typeof createProjector>[1]): Promise<void>;
  /** From here on queries are not answered any more. */
  silence(): Promise<void>;
  stop(): Promise<void>;
}

/** Points `CNM_NATS_URL` and `CNM_REALM` of this process to it. */
export const cliStage = async (): Promise<CliStage> => {
  const folder = await mkdtemp(join(tmpdir(), 'cnm-cli-'));
  const streams = await natsStreams();
  Object.assign(process.env, { CNM_NATS_URL: streams.nats.url, CNM_REALM: realm });
  const kernel = memoryKernel(new MemoryMachine(), { realm, host });
  const system = await new System({ ...streams, kernel, runDir: '/run/cnm' }).start();
  let silence = async (): Promise<void> => {};
  return {
    streams,
    system,
    folder,
    path: (name) => join(folder, name),
    answer: async (options) => {
      const logger = silentLogger();
      const connection = await connectNats({ url: streams.nats.url, role: 'test', log: logger });
      const projector = createProjector(
        { log: jetStream(connection, STREAMS.log), clock: systemClock, logger },
        options,
      );
      const service = serveQueries(connection, projector, logger, { version: '0.1.0', realm });
      silence = async () => {
        silence = async () => {};
        await service.stop();
        await projector.stop();
        await connection.close();
      };
      await projector.caughtUp;
    },
    silence: () => silence(),
    stop: async () => {
      await silence();
      await system.stop();
      await streams.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
};
