/** Which commands were refused together, so that whoever reads them again gives the same answer. */
import type { EventData } from './events.ts';
import type { Code } from './refusals.ts';

/** Positions of the command stream: what is recorded of no command of the actor in between was refused. */
export interface RefusedRange {
  readonly code: Code;
  readonly detail: string;
  readonly first: number;
  readonly last: number;
  /** Of the commit that says so. */
  readonly position: number;
}

/** As many are kept of an actor, each of a second at least; the oldest two become one. */
const rangesMax = 64;

/** Codes that are ever summed; another one of a later version reads as the first. */
const codeOf = (code: string): Code => (code === 'QUOTA_EXCEEDED' ? code : 'RATE_LIMITED');

export const withRange = (
  ranges: readonly RefusedRange[],
  { code, detail, first, last }: EventData<'CommandsRefused'>,
  position: number,
): readonly RefusedRange[] => {
  const all = [...ranges, { code: codeOf(code), detail, first, last, position }];
  const [oldest, next, ...others] = all;
  if (all.length <= rangesMax || !oldest || !next) return all;
  return [{ ...next, first: Math.min(oldest.first, next.first), last: Math.max(oldest.last, next.last) }, ...others];
};

export const rangeWith = (ranges: readonly RefusedRange[] | undefined, sequence: number): RefusedRange | undefined =>
  ranges?.find(({ first, last }) => first <= sequence && sequence <= last);
