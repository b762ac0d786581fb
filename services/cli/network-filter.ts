/** `--filter KEY=VALUE` of networks, with Docker's keys and rules. Pure. */
import type { ViewRows } from '../../projections/views.ts';
import type { Narrowing } from './listing.ts';
import { UsageError } from './spec.ts';
import { parseDuration, parseMoment } from './values.ts';

type NetworkRow = ViewRows['networks'];

const keys = ['dangling', 'driver', 'id', 'label', 'name', 'scope', 'type'] as const;

export const filterForm = 'KEY=VALUE';
export const filterHelp = `${keys.join(', ')}: of several values of one key any, of labels all`;

/** Values by key, in the order in which they were given. @throws UsageError */
const gather = (texts: readonly string[], known: readonly string[]): ReadonlyMap<string, readonly string[]> => {
  const values = new Map<string, string[]>();
  for (const text of texts) {
    const at = text.indexOf('=');
    const key = text.slice(0, Math.max(at, 0));
    if (at < 1) throw new UsageError(`--filter ${text}: write KEY=VALUE, KEY one of ${known.join(', ')}`);
    if (!known.includes(key)) throw new UsageError(`--filter ${text}: ${key} is none of ${known.join(', ')}`);
    values.set(key, [...(values.get(key) ?? []), text.slice(at + 1)]);
  }
  return values;
};

const booleans: Readonly<Record<string, string>> = { true: 'true', '1': 'true', false: 'false', '0': 'false' };

const danglingOf = (values: readonly string[]): string => {
  const [value = '', second] = values;
  if (second !== undefined) throw new UsageError('--filter dangling: give it once');
  const truth = booleans[value.toLowerCase()];
  if (truth === undefined) throw new UsageError(`--filter dangling=${value}: write true or false`);
  return truth;
};

const patternsOf = (key: string, values: readonly string[]): ((text: string) => boolean) => {
  const patterns = values.map((value) => {
    try {
      return new RegExp(value);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new UsageError(`--filter ${key}=${value}: ${why}`);
    }
  });
  return (text) => values.includes(text) || patterns.some((pattern) => pattern.test(text));
};

/**
 * What `network ls --filter` asks for. `name` and `id` match exactly or as a regular expression anywhere in it: the caller's own machine
 * tries those, so that nobody's pattern keeps the service busy. Everything else is the query's.
 *
 * @throws UsageError for a key or value that means nothing
 */
export const networkFilter = (texts: readonly string[]): Narrowing<NetworkRow> => {
  const values = gather(texts, keys);
  const types = values.get('type') ?? [];
  const unknown = types.find((type) => type !== 'builtin' && type !== 'custom');
  if (unknown !== undefined) throw new UsageError(`--filter type=${unknown}: write builtin or custom`);
  const dangling = values.get('dangling');
  const [name, id] = [patternsOf('name', values.get('name') ?? []), patternsOf('id', values.get('id') ?? [])];
  const asked = ['driver', 'label', 'scope', 'type'].flatMap((key) => {
    const wanted = values.get(key);
    return wanted === undefined ? [] : [[key, [...wanted]] as const];
  });
  return {
    filter: { ...Object.fromEntries(asked), ...(dangling ? { dangling: danglingOf(dangling) } : {}) },
    passes: (row) => (!values.has('name') || name(row.name)) && (!values.has('id') || id(row.id)),
  };
};

export const pruneForm = 'label=...|label!=...|until=...';

/** What `network prune --filter` asks for; `until` is a time, or a duration back from now. */
export const pruneFilter = (
  texts: readonly string[],
  nowMs: number,
): { readonly labels: string[]; readonly not: string[]; readonly until?: string } => {
  // `label!=a` is the key `label!`
  const values = gather(texts, ['label', 'label!', 'until']);
  const [until, second] = values.get('until') ?? [];
  if (second !== undefined) throw new UsageError('--filter until: give it once');
  return {
    labels: [...(values.get('label') ?? [])],
    not: [...(values.get('label!') ?? [])],
    ...(until === undefined ? {} : { until: momentOf(until, nowMs) }),
  };
};

const momentOf = (text: string, nowMs: number): string => {
  if (/^[\d.]+(ms|s|m|h|d)$/.test(text)) return new Date(nowMs - parseDuration(text, '--filter until')).toISOString();
  const moment = parseMoment(text);
  if (typeof moment === 'string') return moment;
  throw new UsageError(`--filter until=${text}: write a time such as 2026-01-31T14:03:00Z, or a duration such as 24h`);
};
