/** The views as they were: folded on from the nearest state before that is kept, in memory or as a snapshot, else from the opening. */
import { type Discard, isOutdated } from '../../projections/discards.ts';
import { commandsAsOf, neededCommands } from '../../projections/past-commands.ts';
import { copyViews, createViews, type Views } from '../../projections/views.ts';
import type { Stream } from '../lib/stream.ts';
import { foldAgain, foldUntil, parkingUntil } from './fold.ts';
import type { Gate } from './gate.ts';
import type { Snapshots } from './snapshots.ts';

/** `all`: with every command. `needed`: of the view `commands` nothing can be read off. */
export type Wanted = 'all' | 'needed';

export interface Past {
  /** The views as of a position that the live ones hold; not to be changed. Folds at most as many as the gate lets through. */
  asOf(position: number, commands: Wanted): Promise<Views>;
  /** Keeps a copy of views that have every command, so that a caller who reads them page by page finds them again. */
  keep(views: Views): void;
  /** Forgets what it keeps. */
  clear(): void;
}

export interface PastDeps {
  readonly log: Stream;
  readonly live: Views;
  readonly gate: Gate;
  /** Null: none are kept. */
  readonly snapshots: Snapshots | null;
  /** What was discarded of parked events, up to where the live views are; nothing when left out. */
  readonly discards?: () => readonly Discard[];
}

/** Copies share their rows with each other and with the live views; each costs its maps alone. */
const COPIES_MAX = 6;

interface Kept {
  readonly views: Views;
  /** Whether its commands are all there. */
  readonly whole: boolean;
}

class Memory implements Past {
  readonly #deps: PastDeps;
  /** By position, the least recently used first. */
  #copies = new Map<number, Kept>();
  #folding = new Map<string, Promise<Kept>>();

  constructor(deps: PastDeps) {
    this.#deps = deps;
  }

  async asOf(position: number, commands: Wanted): Promise<Views> {
    const { live } = this.#deps;
    if (position === live.position) return live;
    const copies = this.#copies;
    let kept = copies.get(position) ?? (await this.#folded(position, 'needed'));
    // What the live view has forgotten since only the log knows; that is slow, and right.
    if (commands === 'all' && !kept.whole) kept = this.#completed(kept) ?? (await this.#folded(position, 'all'));
    this.#remember(kept, copies);
    return kept.views;
  }

  keep(views: Views): void {
    const kept = this.#copies.get(views.position);
    if (!kept) this.#remember({ views: copyViews(views), whole: true });
  }

  clear(): void {
    // What is being folded on from them is not kept either.
    this.#copies = new Map();
    this.#folding = new Map();
  }

  #remember(kept: Kept, copies = this.#copies): void {
    const { position } = kept.views;
    copies.delete(position);
    copies.set(position, kept);
    const [oldest] = copies.keys();
    if (copies.size > COPIES_MAX && oldest !== undefined) copies.delete(oldest);
  }

  /** With the commands that the live view still has; null when it has forgotten some of those. */
  #completed({ views }: Kept): Kept | null {
    const { live } = this.#deps;
    if (live.forgottenAt > views.position || isOutdated(this.#discards(), views.position, live.position)) return null;
    const commands = commandsAsOf(live.rows.commands, views.rows.commands, views.position);
    return { views: { ...views, rows: { ...views.rows, commands } }, whole: true };
  }

  #folded(position: number, commands: Wanted): Promise<Kept> {
    const key = `${commands} ${position}`;
    let started = this.#folding.get(key);
    if (!started) {
      started = this.#deps
        .gate(() => this.#fold(position, commands))
        .finally(() => {
          if (this.#folding.get(key) === started) this.#folding.delete(key);
        });
      this.#folding.set(key, started);
    }
    return started;
  }

  async #fold(position: number, commands: Wanted): Promise<Kept> {
    const start = commands === 'needed' ? await this.#nearest(position) : null;
    const views = await foldAgain(parkingUntil(this.#discards(), position), async (parking) => {
      const begun = start ? copyViews(start, neededCommands(start.rows.commands)) : createViews();
      await foldUntil(this.#deps.log, begun, position, { parking });
      return begun;
    });
    return { views, whole: start === null };
  }

  #discards(): readonly Discard[] {
    return this.#deps.discards?.() ?? [];
  }

  async #nearest(position: number): Promise<Views | null> {
    let best: Views | null = null;
    for (const { views } of this.#copies.values()) {
      if (isOutdated(this.#discards(), views.position, position)) continue;
      if (views.position <= position && views.position > (best?.position ?? 0)) best = views;
    }
    return (await this.#deps.snapshots?.nearest(position, best?.position ?? 0)) ?? best;
  }
}

export const createPast = (deps: PastDeps): Past => new Memory(deps);
