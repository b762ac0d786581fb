/** What a projector counts. */
import { bands } from '../../events/capacity.ts';
import { countedLimits } from '../../events/quotas.ts';
import type { ViewRows } from '../../projections/views.ts';
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

/** How many things are over each band. */
const pressedOf = (rows: Iterable<ViewRows['capacity']>): ReadonlyMap<number, number> => {
  const counts = new Map(bands.map((band) => [band as number, 0]));
  for (const { band } of rows) if (band > 0) counts.set(band, (counts.get(band) ?? 0) + 1);
  return counts;
};

/** Of each limit the largest share that an actor has in use; limits that nobody has are left out. A limit of 0 is used up. */
const quotaSharesOf = (rows: readonly ViewRows['quotas'][]): ReadonlyMap<string, number> => {
  const everybody = rows.find(({ actor }) => actor === '*')?.limits ?? null;
  const shares = new Map<string, number>();
  for (const row of rows) {
    const limits = row.limits ?? everybody;
    for (const name of row.actor === '*' ? [] : countedLimits) {
      const most = limits?.[name] ?? null;
      if (most === null) continue;
      const share = most === 0 ? 1 : row[name] / most;
      shares.set(name, Math.max(shares.get(name) ?? 0, share));
    }
  }
  return shares;
};

const sumOf = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0);

export const observeProjector = (metrics: Metrics, projector: Pick<Projector, 'rows' | 'load'>): void => {
  metrics.gauge('cnm_view_rows', () => projector.rows().map(([view, rows]) => [{ view }, rows] as const));
  metrics.gauge('cnm_capacity_pressed', () =>
    [...pressedOf(projector.load().capacity)].map(([band, count]) => [{ band: String(band) }, count] as const),
  );
  metrics.gauge('cnm_quota_used_ratio', () =>
    [...quotaSharesOf([...projector.load().quotas])].map(([limit, share]) => [{ limit }, share] as const),
  );
  metrics.gauge('cnm_quota_refused', () => {
    const rows = [...projector.load().quotas];
    return [
      [{ reason: 'rate' }, sumOf(rows.map(({ refusedByRate }) => refusedByRate))],
      [{ reason: 'quota' }, sumOf(rows.map(({ refusedByQuota }) => refusedByQuota))],
    ];
  });
};
