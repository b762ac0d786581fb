/** What a line of the log says of the command or event that it is about, under the same names everywhere, so that one search finds all lines. */
import type { Event } from '../../events/envelope.ts';

/** Of a command. */
export const aboutCommand = ({ id, correlationid }: { readonly id: string; readonly correlationid: string }) => ({
  commandid: id,
  correlationid,
});

/** Of an event; what no command has caused has no `commandid`. */
export const aboutEvent = ({ meta }: Pick<Event, 'meta'>) => ({
  eventid: meta.id,
  ...(meta.commandid === '' ? {} : { commandid: meta.commandid }),
  correlationid: meta.correlationid,
});
