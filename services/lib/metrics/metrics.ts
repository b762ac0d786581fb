/** What one service counts and measures. Cheap enough to be always on: a map look-up and an addition each. */
import {
  type CounterName,
  catalogue,
  type GaugeName,
  type HistogramName,
  type LabelsOf,
  type MetricName,
} from './catalogue.ts';

/** One value of one metric, or one histogram; can be cloned to another thread. */
export interface Sample {
  readonly name: MetricName;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  /** Of a histogram: how many were at most each bound of the catalogue; `value` is their sum then, and `count` how many there were. */
  readonly buckets?: readonly number[];
  readonly count?: number;
}

interface Cell {
  readonly labels: Readonly<Record<string, string>>;
  value: number;
  count: number;
  readonly buckets: number[] | null;
}

type Read = () => readonly (readonly [labels: Readonly<Record<string, string>>, value: number])[];

const keyOf = (labels: Readonly<Record<string, string>>): string => {
  let key = '';
  for (const name in labels) key += `${labels[name]}\n`;
  return key;
};

const boundsOf = (name: MetricName): readonly number[] => {
  const kind = catalogue[name];
  return 'buckets' in kind ? kind.buckets : [];
};

export class Metrics {
  readonly #common: Readonly<Record<string, string>>;
  readonly #cells = new Map<MetricName, Map<string, Cell>>();
  readonly #read = new Map<MetricName, Read>();

  /** @param service left out: of the process */
  constructor(service?: string) {
    this.#common = service === undefined ? {} : { service };
  }

  count<N extends CounterName>(name: N, labels: LabelsOf<N>, by = 1): void {
    this.#cell(name, labels).value += by;
  }

  /** A counter that somebody else keeps. */
  counted<N extends CounterName>(name: N, read: () => readonly (readonly [LabelsOf<N>, number])[]): void {
    this.#read.set(name, read as Read);
  }

  observe<N extends HistogramName>(name: N, labels: LabelsOf<N>, seconds: number): void {
    const cell = this.#cell(name, labels);
    cell.value += seconds;
    cell.count += 1;
    const { buckets } = cell;
    if (!buckets) return;
    const bounds = boundsOf(name);
    for (let at = bounds.length - 1; at >= 0 && seconds <= (bounds[at] ?? 0); at--)
      buckets[at] = (buckets[at] ?? 0) + 1;
  }

  /** Read when somebody asks. */
  gauge<N extends GaugeName>(name: N, read: () => readonly (readonly [LabelsOf<N>, number])[]): void {
    this.#read.set(name, read as Read);
  }

  samples(): readonly Sample[] {
    const samples: Sample[] = [];
    for (const [name, cells] of this.#cells) {
      for (const { labels, value, buckets, count } of cells.values())
        samples.push({ name, labels, value, ...(buckets ? { buckets: [...buckets], count } : {}) });
    }
    for (const [name, read] of this.#read) {
      for (const [labels, value] of read()) samples.push({ name, labels: { ...this.#common, ...labels }, value });
    }
    return samples;
  }

  #cell(name: MetricName, labels: Readonly<Record<string, string>>): Cell {
    let cells = this.#cells.get(name);
    if (!cells) {
      cells = new Map();
      this.#cells.set(name, cells);
    }
    const key = keyOf(labels);
    let cell = cells.get(key);
    if (!cell) {
      const bounds = boundsOf(name);
      const buckets = bounds.length === 0 ? null : bounds.map(() => 0);
      cell = { labels: { ...this.#common, ...labels }, value: 0, count: 0, buckets };
      cells.set(key, cell);
    }
    return cell;
  }
}
