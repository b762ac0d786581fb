/**
 * The format of the state that a segment of the log begins with: rows of the states that decisions are taken on, of the views and of the
 * ledger. A segment lasts as long as the log, and its lines are read by every later version, so they have a number, and steps from each
 * number to the next one, as events have (events/upcasts.ts). test/unit/state-format.test.ts fails where rows change and the number does not.
 */
import { UnreadableCommit } from '../../events/envelope.ts';

type Line = readonly unknown[];

export const stateFormat = 4;

/** The first line of a state. */
export const formatLine: Line = ['format', stateFormat];

const asked: ReadonlySet<unknown> = new Set(['ports', 'holds', 'shredded', 'leases']);

const withProof = (line: Line): Line => {
  const [kind, view, key, row] = line as readonly [unknown, unknown, unknown, Readonly<Record<string, object | null>>];
  if (kind !== 'view') return line;
  if (asked.has(view)) return [kind, view, key, { ...row, actorproof: null }];
  return view === 'hosts' && row.lost ? [kind, view, key, { ...row, lost: { ...row.lost, actorproof: null } }] : line;
};

/** Key: the format that the step reads, of which it makes lines of the next one: one for one, none, or several. */
const steps: Readonly<Record<number, (line: Line) => readonly Line[]>> = {
  // Rows of views say whether anybody vouches for their actor.
  1: (line) => [withProof(line)],
  // Long lists go on in lines of kinds that were not there; what there was is written as before.
  2: (line) => [line],
  // All but the first body are packed (state-text.ts).
  3: (line) => [line],
};

/** What the first line of a state says. @throws UnreadableCommit for a format that is newer than this version, or none */
export const formatOf = (line: Line | undefined): number => {
  const [kind, format] = line ?? [];
  if (kind !== 'format' || typeof format !== 'number' || format < 1)
    throw new UnreadableCommit('the state that the segment begins with does not say its format', 'newer');
  if (format > stateFormat)
    throw new UnreadableCommit(`the segment begins with a state of format ${format}: install a newer version`, 'newer');
  return format;
};

/** A line of a former format as lines of today's. */
export const upcastLine = (format: number, line: Line): readonly Line[] => {
  let lines: readonly Line[] = [line];
  for (let step = format; step < stateFormat; step++) lines = lines.flatMap(steps[step] ?? ((one) => [one]));
  return lines;
};
