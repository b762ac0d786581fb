/** Views that begin with a segment of the log: the state that it carries over, put in place as if everything before had been folded. */
import { type Event, UnreadableCommit } from '../../events/envelope.ts';
import { isChunk } from '../../events/names.ts';
import { type ViewName, viewNames } from '../../events/queries.ts';
import { applyCommit, type Views } from '../../projections/views.ts';
import { Opening } from '../lib/opening.ts';
import type { Message } from '../lib/stream.ts';

/** Of views that have folded in how their segment begins, and not all of its state. */
const openings = new WeakMap<Views, Opening>();

const isView = (name: unknown): name is ViewName => viewNames.some((view) => view === name);

const load = (views: Views, opening: Opening, position: number): void => {
  const { observer } = views;
  observer?.at(position, 0);
  for (const [kind, ...rest] of opening.lines()) {
    if (kind === 'held') observer?.carry?.(rest[0] as never, rest[1] as never);
    else if (kind === 'day') views.day = String(rest[0]);
    else if (kind === 'view') {
      const [view, key, row] = rest;
      if (!isView(view)) throw new UnreadableCommit(`the segment has rows of a view ${String(view)}`);
      (views.rows[view] as Map<string, unknown>).set(String(key), row);
    }
  }
};

/** Folds one stored message, whatever it is. @param events what it holds, decoded */
export const foldStored = (views: Views, message: Message, events: readonly Event[]): void => {
  const { position, subject } = message;
  if (!isChunk(subject)) {
    const [first] = events;
    if (first?.type === 'SegmentOpened') openings.set(views, new Opening(first.data));
    applyCommit(views, subject, position, events);
    return;
  }
  if (position <= views.position) return;
  const opening = openings.get(views);
  if (!opening) throw new UnreadableCommit(`${subject} at ${position} opens no segment`);
  if (opening.take(message)) {
    load(views, opening, position);
    openings.delete(views);
  }
  views.position = position;
};
