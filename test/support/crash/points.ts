/** Which points are swept, out of the failpoints that a round passes. */

import type { Point } from './place.ts';
import type { Passed } from './sweep.ts';

/** Each failpoint at up to `times` of the times that it is passed: the first, the last, and some between. */
export const pointsOf = (passed: Passed, times: number): readonly Point[] =>
  [...passed].flatMap(([name, count]) => {
    const wanted = Math.min(times, count);
    const at = (index: number): number => (wanted === 1 ? 1 : 1 + Math.round((index * (count - 1)) / (wanted - 1)));
    return Array.from({ length: wanted }, (_, index) => ({ name, time: at(index) }));
  });

/** One part of many, which all together are the whole: every `parts`-th point. */
export const partOf = (points: readonly Point[], part: number, parts: number): readonly Point[] =>
  points.filter((_, index) => index % parts === part % parts);
