/** A log that comes late to one who reads it. */
import type { Stream } from '../../services/lib/stream.ts';

/** A log whose deliveries to one reader can be held up, so that what it knows is old. */
export const delayed = (log: Stream) => {
  let held: (() => void)[] | null = null;
  return {
    log: {
      name: log.name,
      append: (message) => log.append(message),
      appendAll: (messages) => log.appendAll(messages),
      read: (options, onMessage) =>
        log.read(options, (message) => (held ? void held.push(() => onMessage(message)) : onMessage(message))),
      first: () => log.first(),
      last: () => log.last(),
      lastOn: (subject) => log.lastOn(subject),
      get: (position) => log.get(position),
      positionAt: (timeMs) => log.positionAt(timeMs),
    } satisfies Stream,
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
