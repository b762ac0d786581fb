/** Keys of sealed values on the stream CNM_KEY: the message on `cnm.key.<subject>` is the key. */
import { JetStreamApiError, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { subjects } from '../../events/names.ts';
import type { Clock } from '../lib/clock.ts';
import type { SealKeys } from '../lib/seal-keys.ts';
import type { Stream } from '../lib/stream.ts';
import { describeError, NatsFault } from './fault.ts';
import { apiPrefixOf } from './link.ts';

const TIMEOUT_MS = 5_000;
const NO_MESSAGE = 10037;
/** `JSStreamMsgDeleteFailedF`, of one that is deleted already too. */
const DELETE_FAILED = 10057;

/** @param stream CNM_KEY over this connection */
export const sealKeys = (connection: NatsConnection, stream: Stream, clock: Clock): SealKeys => {
  const get = async (subject: string): Promise<Uint8Array | null> =>
    (await stream.lastOn(subjects.sealKey(subject)))?.body ?? null;

  const make = async (subject: string, key: Uint8Array): Promise<Uint8Array> => {
    const name = subjects.sealKey(subject);
    // Somebody else may be quicker, or the answer may be lost: what is there afterwards counts.
    const appended = await stream.append({ subject: name, body: key, id: `key ${clock.randomId()}`, expectedLast: 0 });
    const there = await get(subject);
    if (there !== null) return there;
    const why = appended.kind === 'unknown' ? appended.cause : appended.kind;
    throw new NatsFault('SERVER_REFUSED', `keeping a key for ${subject}: ${why}`, { retry: 'later' });
  };

  const erase = async (subject: string): Promise<boolean> => {
    const found = await stream.lastOn(subjects.sealKey(subject));
    if (found === null) return false;
    try {
      const manager = await jetstreamManager(connection, {
        checkAPI: false,
        timeout: TIMEOUT_MS,
        apiPrefix: apiPrefixOf(connection),
      });
      return await manager.streams.deleteMessage(stream.name, found.position, true);
    } catch (error) {
      const isGone = error instanceof JetStreamApiError && (error.code === NO_MESSAGE || error.code === DELETE_FAILED);
      if (isGone && (await get(subject)) === null) return false;
      throw new NatsFault('SERVER_REFUSED', `erasing the key of ${subject}: ${describeError(error)}`, { cause: error });
    }
  };

  return { get, make, erase };
};
