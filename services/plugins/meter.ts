/** Calls of plugins, counted and measured by method and by what became of them; never by plugin, whose name a sender may choose. */
import type { Clock } from '../lib/clock.ts';
import type { Metrics } from '../lib/metrics/metrics.ts';
import type { Called } from './fault.ts';
import type { Plugins } from './plugins.ts';

/** What says whether it was answered; `known` and the like answer what is known already. */
const isCalled = (result: unknown): result is Called<unknown> =>
  typeof result === 'object' && result !== null && 'ok' in result;

const metered = <T extends object>(calls: T, metrics: Metrics, clock: Clock): T => {
  const members = Object.entries(calls).map(([method, member]: [string, unknown]) => {
    if (typeof member !== 'function') return [method, member];
    const call = async (...args: unknown[]): Promise<unknown> => {
      const startedMs = clock.monotonicMs();
      const result: unknown = await member.apply(calls, args);
      if (!isCalled(result)) return result;
      metrics.count('cnm_plugin_calls_total', { method, result: result.ok ? 'ok' : result.fault.code });
      metrics.observe('cnm_plugin_call_duration_seconds', { method }, (clock.monotonicMs() - startedMs) / 1000);
      return result;
    };
    return [method, call];
  });
  return Object.fromEntries(members) as T;
};

export const meteredPlugins = (plugins: Plugins, metrics: Metrics, clock: Clock): Plugins => ({
  ...plugins,
  network: (name) => metered(plugins.network(name), metrics, clock),
  ipam: (name) => metered(plugins.ipam(name), metrics, clock),
});
