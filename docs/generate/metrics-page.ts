/** docs/metrics.md: what a process of ours exposes to those who watch it. */
import { reasonCodes } from '../../services/lib/health.ts';
import { catalogue } from '../../services/lib/metrics/catalogue.ts';
import { code, notice, table } from './markdown.ts';

/** Of the process, not of one of its services. */
const ofProcess = new Set(['cnm_build_info', 'cnm_event_loop_delay_seconds']);

const rows = Object.entries(catalogue).map(([name, { type, help, labels }]) => [
  code(name),
  type,
  [...(name.startsWith('process_') || ofProcess.has(name) ? [] : ['service']), ...labels].map(code).join(', '),
  help,
]);

export const metricsPage =
  (): string => `${notice('services/lib/metrics/catalogue.ts and services/lib/health.ts')}# Metrics and health

\`CNM_HTTP=HOST:PORT\` has \`cnm up\` and \`cnm serve\` serve \`/metrics\` (Prometheus' text format), \`/live\` and \`/ready\` (200 or 503, with the
reasons as JSON). What to alert on stands in [operations.md](operations.md#metrics-and-alerts). No label has an id, an address or anything else that a
sender chooses. Counters begin at 0 with each start of the process.

${table(['metric', 'type', 'labels', 'meaning'], rows)}
## Why a service is not ready

They stand in \`/ready\`, in \`cnm_not_ready{code}\`, in \`cnm status\`, and in \`data\` of the answer to \`$SRV.STATS\`. Work that waits is no reason by
itself: only when none of it is done.

${table(
  ['code', 'meaning'],
  Object.entries(reasonCodes).map(([name, meaning]) => [code(name), meaning]),
)}`;
