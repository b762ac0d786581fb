/** Workers that show signs of life in the leases of their hosts, also those that do not answer here: an account of its own has its own `$SRV`. */
import type { NatsConnection } from '@nats-io/transport-node';
import { z } from 'zod';
import { decodeToken } from '../../events/names.ts';
import type { Clock } from '../lib/clock.ts';
import { jetStream } from './jetstream.ts';
import { STREAMS } from './stream-config.ts';

/** Three renewals: whoever is silent for so long is replaced by others, too. */
const SILENT_MS = 6_000;

const Sign = z.object({ released: z.boolean().optional() });

const isReleased = (body: Uint8Array): boolean => {
  try {
    return Sign.parse(JSON.parse(new TextDecoder().decode(body))).released === true;
  } catch {
    return false;
  }
};

/** Names of hosts whose worker has renewed its lease of late, and not given it free. */
export const liveWorkers = async (connection: NatsConnection, clock: Clock): Promise<readonly string[]> => {
  const hosts = new Set<string>();
  const leases = jetStream(connection, STREAMS.lease, { clock });
  const reader = leases.read({ from: 1, subjects: ['cnm.lease.worker.*'] }, ({ subject, body, recordedMs }) => {
    const host = decodeToken(subject.slice(subject.lastIndexOf('.') + 1));
    if (host === null) return;
    if (isReleased(body) || clock.nowMs() - recordedMs > SILENT_MS) hosts.delete(host);
    else hosts.add(host);
  });
  try {
    await reader.caughtUp;
  } finally {
    await reader.stop();
  }
  return [...hosts].sort();
};
