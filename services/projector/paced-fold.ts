/** Folding a long stretch of the log beside other work: no faster than asked for, with turns of the event loop in between. */
import { setImmediate as turn } from 'node:timers/promises';
import { Parking } from '../../projections/parking.ts';
import type { Views } from '../../projections/views.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import { decodedParts } from '../lib/commit.ts';
import { readRange } from '../lib/read-range.ts';
import type { Stream } from '../lib/stream.ts';
import { foldMessage } from './fold.ts';

export interface Pace {
  readonly clock: Clock;
  /** Infinity: as fast as it goes. */
  readonly eventsPerSecond: number;
  /** Behind each commit. */
  readonly onCommit?: (events: number) => Promise<void> | void;
  /** Asked now and then: ends the fold where it is. */
  readonly stopped?: () => boolean;
  readonly parking?: Parking;
}

/** Events between two turns, some 2 ms; a pace is held over that many. */
const EVENTS_PER_TURN = 100;

/** Folds on up to and including a position that the log holds. @throws UnreadableCommit; Poisoned (projections/parking.ts) */
export const foldPaced = async (log: Stream, views: Views, until: number, pace: Pace): Promise<void> => {
  const { clock, eventsPerSecond, onCommit, stopped, parking = new Parking() } = pace;
  let [events, sliceMs] = [0, clock.monotonicMs()];
  for await (const messages of readRange(log, views.position + 1, until)) {
    for (const message of messages) {
      if (stopped?.()) return;
      const commit = decodedParts(message);
      foldMessage(views, message, parking, commit);
      const told = onCommit?.(commit.length);
      if (told) await told;
      events += commit.length;
      if (events < EVENTS_PER_TURN) continue;
      const restMs = (events / eventsPerSecond) * 1_000 - (clock.monotonicMs() - sliceMs);
      if (restMs > 0) await sleep(clock, restMs);
      else await turn();
      [events, sliceMs] = [0, clock.monotonicMs()];
    }
  }
};
