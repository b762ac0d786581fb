/** What is fuzzed: something that takes inputs of others, and what must hold whatever they are. */
import type { Random } from './random.ts';

export interface Target {
  readonly name: string;
  /** How many of a hundred inputs it gets, beside the others' shares. */
  readonly share: number;
  /** After how many inputs it forgets those before; 1 when left out: then each stands for itself. */
  readonly span?: number;
  /** Made once a run: takes one input. Throws when something does not hold. */
  readonly start: () => (random: Random) => void | Promise<void>;
}

/** Runs it; errors of these kinds are answers, all others are defects. */
export const answers = <T>(call: () => T, ...isAnswer: readonly ((error: Error) => boolean)[]): T | undefined => {
  try {
    return call();
  } catch (error) {
    if (error instanceof Error && isAnswer.some((known) => known(error))) return undefined;
    throw error;
  }
};

export const named =
  (...names: readonly string[]) =>
  (error: Error): boolean =>
    names.includes(error.name);
