/** A second set of views, folded from the opening and held against the live one. */
import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { viewNames } from '../../events/queries.ts';
import { compareViews, linesOf, type ViewDifference } from '../../projections/compare.ts';
import { copyViews, createViews, type Views } from '../../projections/views.ts';
import type { Clock } from '../lib/clock.ts';
import type { Stream } from '../lib/stream.ts';
import { foldUntil } from './fold.ts';

export interface RebuildReport {
  /** Both sets reflect this position. */
  readonly position: number;
  readonly equal: boolean;
  /** SHA-256 over all rows of all views, of the live and of the rebuilt set. */
  readonly digest: { readonly live: string; readonly rebuilt: string };
  readonly differences: readonly ViewDifference[];
  readonly durationMs: number;
}

/** Rows hashed between two turns of the event loop: well below a millisecond. */
const LINES_PER_TURN = 500;

/** Digest of views that nobody changes meanwhile: equal digests are equal views, byte for byte and in order. */
export const digestOf = async (views: Views): Promise<string> => {
  const hash = createHash('sha256');
  let lines = 0;
  for (const view of viewNames) {
    hash.update(`${view}\n`);
    for (const line of linesOf(views, view)) {
      hash.update(line);
      if (++lines % LINES_PER_TURN === 0) await turn();
    }
  }
  return hash.digest('base64url');
};

/** Folds the log anew up to where the live views are now, and compares. The live views go on meanwhile. */
export const rebuildViews = async (log: Stream, live: Views, clock: Clock): Promise<RebuildReport> => {
  const startedMs = clock.monotonicMs();
  const frozen = copyViews(live);
  const rebuilt = createViews();
  await foldUntil(log, rebuilt, frozen.position);
  const digest = { live: await digestOf(frozen), rebuilt: await digestOf(rebuilt) };
  const equal = digest.live === digest.rebuilt;
  return {
    position: frozen.position,
    equal,
    digest,
    differences: equal ? [] : compareViews(frozen, rebuilt),
    durationMs: clock.monotonicMs() - startedMs,
  };
};
