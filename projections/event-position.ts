/** Where one event stands in the log: `SEQ.INDEX`, the commit's position and its place in the commit, counted from 0. */

export interface EventPosition {
  readonly position: number;
  /** Infinity stands for the end of the commit. */
  readonly index: number;
}

/** Of `SEQ.INDEX`, or of `SEQ` for the whole commit; null for anything else. */
export const parsePosition = (text: string): EventPosition | null => {
  const match = /^(\d{1,15})(?:\.(\d{1,9}))?$/.exec(text);
  if (!match) return null;
  return { position: Number(match[1]), index: match[2] === undefined ? Number.POSITIVE_INFINITY : Number(match[2]) };
};

export const formatPosition = ({ position, index }: EventPosition): string =>
  Number.isFinite(index) ? `${position}.${index}` : `${position}`;

/** Whether the event at `index` of the commit at `position` comes behind the one at `from`. */
export const isBehind = (from: EventPosition, position: number, index: number): boolean =>
  position > from.position || (position === from.position && index > from.index);
