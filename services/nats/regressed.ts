/** A stream that does not hold any more what was read of it. */
import type { JetStreamManager, StoredMsg } from '@nats-io/jetstream';
import type { Message } from '../lib/stream.ts';
import { isDenied, NatsFault } from './fault.ts';

const isSame = (stored: StoredMsg, message: Message): boolean =>
  stored.subject === message.subject && Buffer.compare(stored.data, message.body) === 0;

/**
 * Whether a stream holds a message that was read of it, or has put it away in order with everything before it (docs/adr/0027). Asked of the
 * stream's leader. Who may not ask is not told otherwise. @throws what the server or the library says
 */
export const isStillThere = async (manager: JetStreamManager, stream: string, message: Message): Promise<boolean> => {
  try {
    const stored = await manager.streams.getMessage(stream, { seq: message.position });
    if (stored !== null) return isSame(stored, message);
    const { state, config } = await manager.streams.info(stream);
    // Streams that keep the last words on each subject alone have gaps.
    const mayBeReplaced = config.max_msgs_per_subject > 0 || !config.deny_delete;
    return state.first_seq > message.position || (mayBeReplaced && state.last_seq >= message.position);
  } catch (error) {
    if (isDenied(error)) return true;
    throw error;
  }
};

export const regressed = (stream: string, { position }: Pick<Message, 'position'>): NatsFault =>
  new NatsFault(
    'STREAM_REGRESSED',
    `${stream} does not hold message ${position} as it was read: the server has come back with an older copy`,
  );
