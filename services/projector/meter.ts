/** What a projector counts. */
import type { Clock } from '../lib/clock.ts';
import type { Metrics } from '../lib/metrics/metrics.ts';
import { queryNames } from './answer.ts';
import type { Projector } from './projector.ts';
import { QueryFault } from './query-fault.ts';

/** Whoever asks may ask for anything, and a label must not grow with it. */
const known = (query: string): string => (queryNames.some((name) => name === query) ? query : 'unknown');

/** The same projector, its answers counted and measured. */
export const meteredProjector = (projector: Projector, metrics: Metrics, clock: Clock): Projector => ({
  ...projector,
  answer: async (name, body) => {
    const query = known(name);
    const startedMs = clock.monotonicMs();
    let result = 'ok';
    try {
      return await projector.answer(name, body);
    } catch (error) {
      result = error instanceof QueryFault ? error.code : 'failed';
      throw error;
    } finally {
      metrics.count('cnm_queries_total', { query, result });
      metrics.observe('cnm_query_duration_seconds', { query }, (clock.monotonicMs() - startedMs) / 1000);
    }
  },
});

export const observeProjector = (metrics: Metrics, projector: Projector): void => {
  metrics.gauge('cnm_view_rows', () => projector.rows().map(([view, rows]) => [{ view }, rows] as const));
};
