/** What there is of cnmbus on a NATS server at this moment. */
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { z } from 'zod';
import type { ViewRows } from '../../projections/views.ts';
import { apiPrefixOf } from '../nats/link.ts';
import { STREAMS } from '../nats/stream-config.ts';
import type { Queries } from './queries.ts';

export interface Status {
  readonly server: { readonly url: string; readonly version: string };
  /** Null: the stream is not there, or may not be asked for. */
  readonly streams: Readonly<
    Record<keyof typeof STREAMS, { readonly messages: number; readonly bytes: number; readonly last: number } | null>
  >;
  /** What answers to the NATS services protocol under a name of ours. */
  readonly services: readonly {
    readonly name: string;
    readonly id: string;
    readonly version: string;
    readonly metadata: Readonly<Record<string, string>>;
  }[];
  /** Position of the views; null when no projector answers. */
  readonly viewsAt: number | null;
  readonly hosts: readonly ViewRows['hosts'][];
}

const Ping = z.object({
  name: z.string(),
  id: z.string(),
  version: z.string(),
  metadata: z.record(z.string(), z.string()).nullish(),
});

const TIMEOUT_MS = 2_000;
/** Services on the same machine answer within a few milliseconds; nothing says how many there are. */
const DISCOVERY_MS = 250;

export const readStatus = async (connection: NatsConnection, queries: Queries): Promise<Status> => {
  const [commands, log, lease, checkpoint, key, services, hosts] = await Promise.all([
    readStream(connection, STREAMS.commands),
    readStream(connection, STREAMS.log),
    readStream(connection, STREAMS.lease),
    readStream(connection, STREAMS.checkpoint),
    readStream(connection, STREAMS.key),
    discover(connection),
    queries.hosts({ timeoutMs: TIMEOUT_MS }).catch(() => null),
  ]);
  const server = { url: connection.getServer(), version: connection.info?.version ?? '' };
  const streams = { commands, log, lease, checkpoint, key };
  return { server, streams, services, viewsAt: hosts?.position ?? null, hosts: hosts?.rows ?? [] };
};

const readStream = async (connection: NatsConnection, name: string): Promise<Status['streams']['log']> => {
  try {
    const apiPrefix = apiPrefixOf(connection);
    const manager = await jetstreamManager(connection, { checkAPI: false, timeout: TIMEOUT_MS, apiPrefix });
    const { state } = await manager.streams.info(name);
    return { messages: state.messages, bytes: state.bytes, last: state.last_seq };
  } catch {
    return null;
  }
};

/** Services of ours that answer now. */
export const discover = async (connection: NatsConnection): Promise<Status['services']> => {
  try {
    const answers = await connection.requestMany('$SRV.PING', '', { strategy: 'timer', maxWait: DISCOVERY_MS });
    const found = [];
    for await (const answer of answers) {
      if (answer instanceof Error) continue;
      const ping = Ping.safeParse(JSON.parse(answer.string()));
      if (ping.success && ping.data.name.startsWith('cnm-')) {
        const { name, id, version, metadata } = ping.data;
        found.push({ name, id, version, metadata: metadata ?? {} });
      }
    }
    return found.sort((a, b) => (a.name + a.id < b.name + b.id ? -1 : 1));
  } catch {
    return [];
  }
};
