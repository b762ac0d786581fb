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

/**
 * Names of hosts whose worker has renewed its lease of late, and not given it free. Our clock may be another than the server's: where all seem
 * silent that have not said goodbye, it is waited whether one of them renews.
 */
export const liveWorkers = async (connection: NatsConnection, clock: Clock): Promise<readonly string[]> => {
  const live = new Set<string>();
  const silent = new Set<string>();
  const answered = Promise.withResolvers<void>();
  let isCaughtUp = false;
  const leases = jetStream(connection, STREAMS.lease, { clock });
  const reader = leases.read({ from: 1, subjects: ['cnm.lease.worker.*'] }, ({ subject, body, recordedMs }) => {
    const host = decodeToken(subject.slice(subject.lastIndexOf('.') + 1));
    if (host === null) return;
    for (const hosts of [live, silent]) hosts.delete(host);
    if (isReleased(body)) return;
    const isRecent = isCaughtUp || Math.abs(clock.nowMs() - recordedMs) <= SILENT_MS;
    (isRecent ? live : silent).add(host);
    if (silent.size === 0) answered.resolve();
  });
  answered.promise.catch(() => undefined);
  reader.closed.catch(answered.reject);
  try {
    await reader.caughtUp;
    isCaughtUp = true;
    if (live.size > 0 || silent.size === 0) return [...live].sort();
    const cancel = clock.after(SILENT_MS, answered.resolve);
    await answered.promise.finally(cancel);
    return [...live].sort();
  } finally {
    await reader.stop();
  }
};
