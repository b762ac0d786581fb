/**
 * Whether the data of an event is what the schema of its type promises. Reads do not ask for it, since it was asked when the event was written
 * (envelope.ts); it is asked where something has gone wrong with an event that somebody else may have written.
 */
import type { Event } from './envelope.ts';
import { eventData } from './events.ts';

export const fits = ({ type, data }: Pick<Event, 'type' | 'data'>): boolean => eventData[type].safeParse(data).success;
