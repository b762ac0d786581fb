/** A second set of views, folded from the opening, held against the live one, and put in its place. */
import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { type ViewName, viewNames } from '../../events/queries.ts';
import { compareViews, linesOf, type ViewDifference } from '../../projections/compare.ts';
import { type Discard, isOutdated } from '../../projections/discards.ts';
import { Ledger } from '../../projections/ledger.ts';
import { copyViews, createViews, replaceRows, type Views } from '../../projections/views.ts';
import type { Clock } from '../lib/clock.ts';
import type { Stream } from '../lib/stream.ts';
import { foldAgain, foldUntil, parkingUntil } from './fold.ts';
import { foldPaced } from './paced-fold.ts';
import { QueryFault } from './query-fault.ts';

export interface RebuildOptions {
  /** The one that is compared, reported and replaced; `all` when left out. All are folded, since they look at each other. */
  readonly view?: ViewName | 'all';
  /** As fast as it goes when left out. */
  readonly eventsPerSecond?: number;
  /** Whether what was rebuilt takes the place of what was there. */
  readonly swap?: boolean;
  /** Told behind each commit. */
  readonly onProgress?: (position: number, of: number) => void;
}

export interface RebuildReport {
  readonly view: ViewName | 'all';
  /** Both sets reflect this position. */
  readonly position: number;
  readonly equal: boolean;
  /** SHA-256 over all rows of the views asked for, of the live and of the rebuilt set. */
  readonly digest: { readonly live: string; readonly rebuilt: string };
  readonly differences: readonly ViewDifference[];
  readonly swapped: boolean;
  readonly durationMs: number;
}

export interface RollbackReport {
  readonly views: readonly ViewName[];
  readonly position: number;
}

/** Rows hashed between two turns of the event loop: well below a millisecond. */
const LINES_PER_TURN = 500;

/** Digest of views that nobody changes meanwhile: equal digests are equal views, byte for byte and in order. */
export const digestOf = async (views: Views, names: readonly ViewName[] = viewNames): Promise<string> => {
  const hash = createHash('sha256');
  let lines = 0;
  for (const view of names) {
    hash.update(`${view}\n`);
    for (const line of linesOf(views, view)) {
      hash.update(line);
      if (++lines % LINES_PER_TURN === 0) await turn();
    }
  }
  return hash.digest('base64url');
};

export interface RebuilderDeps {
  readonly log: Stream;
  readonly live: Views;
  /** Observer of the live views. */
  readonly ledger: Ledger;
  readonly clock: Clock;
  /** Told when rows of the live views were replaced by others: what was made from them is not believed any more. */
  readonly onReplaced: () => Promise<void>;
  /** What was discarded of parked events, up to where the live views are; nothing when left out. */
  readonly discards?: () => readonly Discard[];
}

/** One at a time. */
export class Rebuilder {
  readonly #deps: RebuilderDeps;
  #running = false;
  /** As the views were before the last swap. */
  #former: { readonly views: Views; readonly ledger: Ledger; readonly replaced: readonly ViewName[] } | null = null;

  constructor(deps: RebuilderDeps) {
    this.#deps = deps;
  }

  /** Folds the log anew beside the live views, which go on meanwhile, and compares. @throws QueryFault when one runs already */
  rebuild(options: RebuildOptions = {}): Promise<RebuildReport> {
    return this.#alone(() => this.#rebuild(options));
  }

  /** Puts back what the last swap has replaced, with all that has happened since folded in. @throws QueryFault when there is nothing */
  rollback(): Promise<RollbackReport> {
    return this.#alone(() => this.#rollback());
  }

  async #alone<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#running) throw new QueryFault('QUERY_BUSY', 'a view is being rebuilt already');
    this.#running = true;
    try {
      return await work();
    } finally {
      this.#running = false;
    }
  }

  async #rebuild(options: RebuildOptions): Promise<RebuildReport> {
    const { log, live, clock } = this.#deps;
    const { view = 'all', eventsPerSecond = Number.POSITIVE_INFINITY, swap = false, onProgress } = options;
    const startedMs = clock.monotonicMs();
    const frozen = copyViews(live);
    const { position } = frozen;
    const parking = parkingUntil(this.#discards(), position);
    let ledger = new Ledger();
    const rebuilt = await foldAgain(parking, async () => {
      ledger = new Ledger();
      const begun = createViews(swap ? ledger : null);
      const onCommit = (): void => onProgress?.(begun.position, position);
      await foldPaced(log, begun, position, { clock, eventsPerSecond, onCommit, parking });
      return begun;
    });
    const views = view === 'all' ? viewNames : [view];
    const digest = { live: await digestOf(frozen, views), rebuilt: await digestOf(rebuilt, views) };
    const equal = digest.live === digest.rebuilt;
    const differences = equal ? [] : compareViews(frozen, rebuilt).filter((one) => views.includes(one.view));
    if (swap) {
      await this.#catchUp(rebuilt);
      this.#former = { views: copyViews(live, undefined, ledger), ledger, replaced: views };
      await this.#replace(rebuilt, ledger, views);
    }
    return { view, position, equal, digest, differences, swapped: swap, durationMs: clock.monotonicMs() - startedMs };
  }

  async #rollback(): Promise<RollbackReport> {
    const { live } = this.#deps;
    const former = this.#former;
    if (former === null) throw new QueryFault('QUERY_MALFORMED', 'no view was replaced since this projector started');
    this.#former = null;
    await this.#catchUp(former.views);
    await this.#replace(former.views, former.ledger, former.replaced);
    return { views: former.replaced, position: live.position };
  }

  #discards(): readonly Discard[] {
    return this.#deps.discards?.() ?? [];
  }

  /**
   * Folds on to where the live views are. Other work goes on between the last commits, so it takes as many goes as it needs; behind it,
   * and before anything else is waited for, both are at the same position. @throws QueryFault where something parked was discarded meanwhile
   */
  async #catchUp(views: Views): Promise<void> {
    const { log, live } = this.#deps;
    while (views.position < live.position) {
      if (isOutdated(this.#discards(), views.position, live.position))
        throw new QueryFault('QUERY_BUSY', 'a parked event was discarded meanwhile: rebuild anew');
      await foldUntil(log, views, live.position, { parking: parkingUntil(this.#discards(), live.position) });
    }
  }

  /** Puts the rows of others in place, and gives their ledger what the live one was told of the rows that go. */
  async #replace(from: Views, told: Ledger, replaced: readonly ViewName[]): Promise<void> {
    const { live, ledger, onReplaced } = this.#deps;
    replaceRows(live, from, replaced);
    ledger.exchange(told, replaced);
    await onReplaced();
  }
}
