/** One history that is the same every time. */
import { type RandomCommit, RandomHistory } from './random-history.ts';

/** The same history every time: rolls from a small generator of our own (the constants of C's `rand`). */
export const someHistory = (length: number): readonly RandomCommit[] => {
  let state = 7;
  const next = (): number => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
  const history = new RandomHistory();
  while (history.commits.length < length) history.roll([next(), next(), next(), next()]);
  return history.commits;
};
