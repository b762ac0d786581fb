/** What a process is and uses: once for each process, whatever services run in it. */
import { readdirSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Clock } from '../clock.ts';
import { Metrics } from './metrics.ts';

const NANOS = 1e9;
/** What is told of the loop's delay is of this long at least, so that two who ask do not take it from each other. */
const WINDOW_MS = 10_000;
/** A timer of this period is what measures it: what node tells is the period and the delay. */
const RESOLUTION_MS = 20;

const secondsOver = (nanos: number): number => Math.max(0, nanos / NANOS - RESOLUTION_MS / 1000);

export interface ProcessMetrics {
  readonly metrics: Metrics;
  close(): void;
}

const openFiles = (): number | null => {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return null;
  }
};

export const processMetrics = (version: string, clock: Clock): ProcessMetrics => {
  const metrics = new Metrics();
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  let told = { p50: 0, p99: 0, max: 0 };
  let toldMs = Number.NEGATIVE_INFINITY;
  const startedSeconds = clock.nowMs() / 1000 - process.uptime();
  metrics.gauge('cnm_build_info', () => [[{ version, node: process.versions.node }, 1]]);
  metrics.gauge('cnm_event_loop_delay_seconds', () => {
    if (clock.monotonicMs() - toldMs >= WINDOW_MS && delay.count > 0) {
      told = { p50: delay.percentile(50), p99: delay.percentile(99), max: delay.max };
      toldMs = clock.monotonicMs();
      delay.reset();
    }
    return [
      [{ quantile: '0.5' }, secondsOver(told.p50)],
      [{ quantile: '0.99' }, secondsOver(told.p99)],
      [{ quantile: '1' }, secondsOver(told.max)],
    ];
  });
  metrics.gauge('process_start_time_seconds', () => [[{}, startedSeconds]]);
  metrics.gauge('process_resident_memory_bytes', () => [[{}, process.memoryUsage.rss()]]);
  metrics.gauge('process_heap_bytes', () => [[{}, process.memoryUsage().heapUsed]]);
  metrics.gauge('process_open_fds', () => {
    const files = openFiles();
    return files === null ? [] : [[{}, files]];
  });
  metrics.counted('process_cpu_seconds_total', () => {
    const { user, system } = process.cpuUsage();
    return [[{}, (user + system) / 1e6]];
  });
  return { metrics, close: () => delay.disable() };
};
