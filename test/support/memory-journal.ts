/** A journal of a worker without a file: it outlives workers, as the file does. */
import type { Journal, Mark } from '../../services/worker/journal.ts';

export const memoryJournal = (): Journal & { mark: Mark | null } => {
  const journal = {
    mark: null as Mark | null,
    read: () => journal.mark,
    write: (mark: Mark) => {
      journal.mark = mark;
    },
    close: () => undefined,
  };
  return journal;
};
