/** Runs targets over inputs. The n-th input of a target is made of the seed, the target's name and n alone, so that each can be had again. */
import { Random } from './random.ts';
import type { Target } from './target.ts';

export interface Plan {
  readonly inputs: number;
  readonly seed: number;
  /** From which input on; 0 when left out. */
  readonly from?: number;
  /** Told now and then. */
  readonly onProgress?: (target: string, done: number) => void;
}

export class FuzzFailure extends Error {
  override readonly name = 'FuzzFailure';

  constructor(
    { name, seed, first, last }: { name: string; seed: number; first: number; last: number },
    cause: unknown,
  ) {
    const said = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    const again = `npm run fuzz -- --target ${name} --seed ${seed} --from ${first} --inputs ${last - first + 1}`;
    super(`input ${last} of ${name}, again with: ${again}\n${said}`, { cause });
  }
}

/** FNV-1a. */
const hashOf = (textOf: string): number => {
  let hash = 0x811c9dc5;
  for (let i = 0; i < textOf.length; i++) hash = Math.imul(hash ^ textOf.charCodeAt(i), 0x01000193) >>> 0;
  return hash;
};

/** How many inputs each target had. @throws FuzzFailure at the first that does not hold */
export const runTargets = async (targets: readonly Target[], plan: Plan): Promise<ReadonlyMap<string, number>> => {
  const { inputs, seed, from = 0, onProgress } = plan;
  const shares = targets.reduce((sum, { share }) => sum + share, 0);
  const counts = new Map<string, number>();
  for (const { name, share, span = 1, start } of targets) {
    const count = targets.length === 1 ? inputs : Math.ceil((inputs * share) / shares);
    const run = start();
    for (let input = from; input < from + count; input++) {
      try {
        const running = run(new Random(hashOf(`${seed} ${name} ${input}`)));
        if (running) await running;
      } catch (error) {
        throw new FuzzFailure({ name, seed, first: input - (input % span), last: input }, error);
      }
    }
    counts.set(name, count);
    onProgress?.(name, count);
  }
  return counts;
};
