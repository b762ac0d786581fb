/** Views that begin with a segment of the log: the state that it carries over, put in place as if everything before had been folded. */
import { type CommitPart, isMalformed, UnreadableCommit } from '../../events/envelope.ts';
import { type ViewName, viewNames } from '../../events/queries.ts';
import type { Views } from '../../projections/views.ts';
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
      if (!isView(view)) throw new UnreadableCommit(`the segment has rows of a view ${String(view)}`, 'newer');
      (views.rows[view] as Map<string, unknown>).set(String(key), row);
    }
  }
};

/** Notes that a segment begins, if this commit says so. */
export const noteSegment = (views: Views, parts: readonly CommitPart[]): void => {
  const [first] = parts;
  if (first && !isMalformed(first) && first.type === 'SegmentOpened') openings.set(views, new Opening(first.data));
};

/** Takes up a part of the state that the segment begins with. @throws UnreadableCommit */
export const takeChunk = (views: Views, message: Message): void => {
  const { position, subject } = message;
  if (position <= views.position) return;
  const opening = openings.get(views);
  if (!opening) throw new UnreadableCommit(`${subject} at ${position} opens no segment`, 'newer');
  if (opening.take(message)) {
    load(views, opening, position);
    openings.delete(views);
  }
  views.position = position;
};
