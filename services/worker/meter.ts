/** What a worker counts, and how it is. */
import type { Kernel } from '../../drivers/port.ts';
import { isStopped } from '../../events/state.ts';
import type { DnsCounts } from '../dns/dns.ts';
import type { Boundary } from '../lib/boundaries.ts';
import type { Clock } from '../lib/clock.ts';
import { INTENTS_STUCK_MS, type Look, reasonCodes, STUCK_MS } from '../lib/health.ts';
import type { Metrics } from '../lib/metrics/metrics.ts';
import type { Use } from './capacity.ts';
import type { Report } from './reports.ts';

export interface WorkerMeter {
  stored(reports: readonly Report[]): void;
}

export const workerMeter = (metrics: Metrics): WorkerMeter => ({
  stored: (reports) => {
    for (const { fact } of reports) metrics.count('cnm_outcomes_total', { type: fact.type });
  },
});

/** A kernel whose batches are measured, and whose faults are counted. */
export const meteredKernel = (kernel: Kernel, metrics: Metrics, clock: Clock): Kernel => ({
  ...kernel,
  apply: async (plans) => {
    const startedMs = clock.monotonicMs();
    const results = await kernel.apply(plans);
    metrics.observe('cnm_kernel_batch_duration_seconds', {}, (clock.monotonicMs() - startedMs) / 1000);
    for (const result of results) {
      metrics.count('cnm_kernel_plans_total', { result: result.ok ? 'ok' : 'failed' });
      if (!result.ok) metrics.count('cnm_kernel_faults_total', { errno: result.fault.errno ?? result.fault.code });
    }
    return results;
  },
  census: async (extent) => {
    const startedMs = clock.monotonicMs();
    const census = await kernel.census(extent);
    // What a look at a few things takes says nothing of one at all of them.
    if (extent) return census;
    metrics.observe('cnm_kernel_census_duration_seconds', {}, (clock.monotonicMs() - startedMs) / 1000);
    return census;
  },
});

const countDns = (metrics: Metrics, counts: () => DnsCounts | null): void => {
  metrics.counted('cnm_dns_questions_total', () => {
    const { answered = 0, forwarded = 0, shed = 0, malformed = 0, dropped = 0 } = counts() ?? {};
    const results = { answered, forwarded, shed, malformed, dropped };
    return Object.entries(results).map(([result, count]) => [{ result }, count] as const);
  });
  metrics.gauge('cnm_dns_sandboxes', () => [[{}, counts()?.sandboxes ?? 0]]);
};

/** Of each thing that is counted the fullest: networks have too many names for labels. */
const fullestOf = (uses: readonly Use[]): ReadonlyMap<string, Use> => {
  const fullest = new Map<string, Use>();
  for (const use of uses) if (use.percent >= (fullest.get(use.what)?.percent ?? -1)) fullest.set(use.what, use);
  return fullest;
};

const countCapacity = (metrics: Metrics, uses: () => readonly Use[]): void => {
  const gauge = (name: 'cnm_capacity_used' | 'cnm_capacity_limit', of: (use: Use) => number): void =>
    metrics.gauge(name, () => [...fullestOf(uses())].map(([what, use]) => [{ what }, of(use)] as const));
  gauge('cnm_capacity_used', ({ used }) => used);
  gauge('cnm_capacity_limit', ({ limit }) => limit);
};

/** What is read when somebody asks. */
interface Observed {
  readonly dnsCounts: DnsCounts | null;
  readonly capacityUses: readonly Use[];
}

export const observeWorker = (metrics: Metrics, worker: Observed): void => {
  countDns(metrics, () => worker.dnsCounts);
  countCapacity(metrics, () => worker.capacityUses);
};

/** How many of the intents that wait longest are told of. */
const toldMax = 5;

/** @param boundary null before anything of the log is read. @param stageOf what an intent waits for */
export const lookAt = (
  boundary: Boundary | null,
  reports: { readonly waiting: number; readonly sent: number } | null,
  stageOf: (intent: string) => string,
  nowMs: number,
): Look => {
  const intents = boundary ? [...boundary.state.intents.values()] : [];
  const waits = intents.slice(0, toldMax).map(({ type, meta }) => {
    const seconds = Math.max(0, Math.round((nowMs - Date.parse(meta.time)) / 1000));
    return `${type} of ${meta.subject} (command ${meta.commandid}) waits for ${stageOf(meta.id)}, ${seconds} s by now`;
  });
  const { waiting = 0, sent = 0 } = reports ?? {};
  const ended = boundary?.outcomeHead?.position ?? 0;
  return {
    position: boundary?.head?.position ?? 0,
    stages: [
      {
        name: 'intents',
        waiting: intents.length,
        progress: ended,
        stuck: { code: 'INTENTS_STUCK', afterMs: INTENTS_STUCK_MS },
      },
      { name: 'reports', waiting, progress: sent, stuck: { code: 'REPORTS_STUCK', afterMs: STUCK_MS } },
    ],
    waits,
    parked: boundary?.parked ? 1 : 0,
    problems: boundary && isStopped(boundary.state) ? [{ code: 'HOST_STOPPED', says: reasonCodes.HOST_STOPPED }] : [],
  };
};
