/** How an accepted command ends before its host has reported: at its deadline, or because its sender wants it no more. */
import type { Event, EventOf } from './envelope.ts';

/** Names a command other than the one that led to it, and its open intents. */
export type CutShort = EventOf<'CommandTimedOut' | 'CommandCancelled'>;

export const cutsShort = (event: Event): event is CutShort =>
  event.type === 'CommandTimedOut' || event.type === 'CommandCancelled';

/** Why what an intent wanted made is taken back; true: at its deadline. */
export type Cut = true | 'cancelled';

/** Whether a command has ended in such a way, so that its host takes back what it does for it. */
export const isCutShort = (status: string): boolean => status === 'timed-out' || status === 'cancelled';
