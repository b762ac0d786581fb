/** The views as they were: folded anew from the opening or from the nearest kept copy before. */
import { copyViews, createViews, type Views } from '../../projections/views.ts';
import type { Stream } from '../lib/stream.ts';
import { foldUntil } from './fold.ts';
import type { Gate } from './gate.ts';

export interface Past {
  /** The views as of a position that the live ones hold; not to be changed. Folds at most as many as the gate lets through. */
  asOf(position: number): Promise<Views>;
  /** Keeps a copy of views, so that a caller who reads them page by page finds them again. */
  keep(views: Views): void;
}

/** Copies share their rows with each other and with the live views; each costs its maps alone. */
const COPIES_MAX = 6;

export const createPast = (log: Stream, live: Views, gate: Gate): Past => {
  /** By position, the least recently used first. */
  const copies = new Map<number, Views>();
  const folding = new Map<number, Promise<Views>>();

  const remember = (views: Views): void => {
    copies.delete(views.position);
    copies.set(views.position, views);
    const [oldest] = copies.keys();
    if (copies.size > COPIES_MAX && oldest !== undefined) copies.delete(oldest);
  };
  const nearest = (position: number): Views => {
    let best: Views | undefined;
    for (const views of copies.values()) {
      if (views.position <= position && views.position > (best?.position ?? 0)) best = views;
    }
    return best ? copyViews(best) : createViews();
  };
  const fold = async (position: number): Promise<Views> => {
    const views = nearest(position);
    await foldUntil(log, views, position);
    remember(views);
    return views;
  };

  return {
    asOf: async (position) => {
      if (position === live.position) return live;
      const kept = copies.get(position);
      if (kept) {
        remember(kept);
        return kept;
      }
      let started = folding.get(position);
      if (!started) {
        started = gate(() => fold(position)).finally(() => folding.delete(position));
        folding.set(position, started);
      }
      return started;
    },
    keep: (views) => {
      if (!copies.has(views.position)) remember(copyViews(views));
    },
  };
};
