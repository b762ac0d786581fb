/** Prometheus' text format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats). Pure. */
import { catalogue, type MetricName } from './catalogue.ts';
import type { Sample } from './metrics.ts';

export const contentType = 'text/plain; version=0.0.4; charset=utf-8';

const escapeHelp = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
const escapeValue = (text: string): string => escapeHelp(text).replaceAll('"', '\\"');

const labelText = (labels: Readonly<Record<string, string>>): string => {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeValue(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
};

const numberText = (value: number): string => {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
};

const lines = ({ name, labels, value, buckets, count = 0 }: Sample): readonly string[] => {
  if (!buckets) return [`${name}${labelText(labels)} ${numberText(value)}`];
  const kind = catalogue[name];
  const bounds = 'buckets' in kind ? kind.buckets : [];
  return [
    ...bounds.map((bound, at) => `${name}_bucket${labelText({ ...labels, le: String(bound) })} ${buckets[at] ?? 0}`),
    `${name}_bucket${labelText({ ...labels, le: '+Inf' })} ${count}`,
    `${name}_sum${labelText(labels)} ${numberText(value)}`,
    `${name}_count${labelText(labels)} ${count}`,
  ];
};

/** Samples of several services, each metric with its help and type once, in the order of the catalogue. */
export const expose = (samples: readonly Sample[]): string => {
  const byName = Map.groupBy(samples, ({ name }) => name);
  const text: string[] = [];
  for (const name of Object.keys(catalogue) as MetricName[]) {
    const own = byName.get(name);
    if (!own) continue;
    const { help, type } = catalogue[name];
    text.push(`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`, ...own.flatMap(lines));
  }
  return `${text.join('\n')}\n`;
};
