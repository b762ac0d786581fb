/** What there is of cnmbus on a NATS server at this moment. */
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { z } from 'zod';
import type { ViewRows } from '../../projections/views.ts';
import type { Health } from '../lib/health.ts';
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
    /** How it is; null where it does not say, as services of older versions. */
    readonly health: Health | null;
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

/** Of its statistics, only what is ours. */
const Stats = z.object({
  id: z.string(),
  data: z.custom<Health>((data) => Told.safeParse(data).success).optional(),
});

/** What everybody relies on who reads a `Health`. */
const Told = z.looseObject({
  service: z.string(),
  ready: z.boolean(),
  reasons: z.array(z.looseObject({ code: z.string(), says: z.string(), since: z.string() })),
  position: z.number(),
  lag: z.number().nullable(),
  waiting: z.record(z.string(), z.number()),
  waits: z.array(z.string()),
  notice: z.looseObject({ at: z.string(), level: z.string(), says: z.string() }).nullable(),
});

const TIMEOUT_MS = 2_000;
/** Nothing says how many services there are: all have answered when none has for a while, however busy the machine is. The first may take longer. */
const DISCOVERY = { strategy: 'stall', stall: 500, maxWait: 1_500 } as const;

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

/** Services of ours that answer now, with how they are. */
export const discover = async (connection: NatsConnection): Promise<Status['services']> => {
  const [pings, stats] = await Promise.all([askAll(connection, 'PING', Ping), askAll(connection, 'STATS', Stats)]);
  const healths = new Map(stats.map(({ id, data }) => [id, data ?? null]));
  return pings
    .filter(({ name }) => name.startsWith('cnm-'))
    .map(({ name, id, version, metadata }) => ({
      name,
      id,
      version,
      metadata: metadata ?? {},
      health: healths.get(id) ?? null,
    }))
    .sort((a, b) => (a.name + a.id < b.name + b.id ? -1 : 1));
};

/** Who may not ask gets no answer. */
const askAll = async <T>(connection: NatsConnection, verb: string, schema: z.ZodType<T>): Promise<readonly T[]> => {
  try {
    const answers = await connection.requestMany(`$SRV.${verb}`, '', DISCOVERY);
    const found: T[] = [];
    for await (const answer of answers) {
      if (answer instanceof Error) continue;
      const read = schema.safeParse(parseJson(answer.string()));
      if (read.success) found.push(read.data);
    }
    return found;
  } catch {
    return [];
  }
};

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};
