/** A log that comes late to one who reads it. */
import { inFrontOf, type Stream } from '../../services/lib/stream.ts';

/** A log whose deliveries to one reader can be held up, so that what it knows is old. */
export const delayed = (log: Stream) => {
  let held: (() => void)[] | null = null;
  return {
    log: inFrontOf(log, {
      read: (options, onMessage) =>
        log.read(options, (message) => (held ? void held.push(() => onMessage(message)) : onMessage(message))),
    }),
    hold: (): void => {
      held ??= [];
    },
    release: (): void => {
      const late = held ?? [];
      held = null;
      for (const deliver of late) deliver();
    },
  };
};
