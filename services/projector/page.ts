/** One answer's worth of rows: cut by the caller's limit, and by what a message can hold. */
import { QueryFault } from './query-fault.ts';

export interface Page {
  /** The position that the rows reflect. */
  readonly position: number;
  /** Rows as JSON. */
  readonly rows: readonly string[];
  /** What to pass as `after` for more. */
  readonly next?: string;
}

export interface PageLimits {
  readonly limit: number;
  readonly bytesMax: number;
}

/** Gathers rows until one more would be too much. The first one is always taken. */
export class PageBuilder {
  readonly rows: string[] = [];
  private readonly limits: PageLimits;
  private bytes = 0;

  constructor(limits: PageLimits) {
    this.limits = limits;
  }

  /** False: it has no room left, and the row was not taken. */
  add(row: object): boolean {
    if (this.rows.length >= this.limits.limit) return false;
    const text = JSON.stringify(row);
    const bytes = Buffer.byteLength(text) + 1;
    if (this.rows.length > 0 && this.bytes + bytes > this.limits.bytesMax) return false;
    this.rows.push(text);
    this.bytes += bytes;
    return true;
  }
}

/** The page of keyed rows behind the row `after`. @throws QueryFault when there is no such row (any more) */
export const pageOf = (
  position: number,
  entries: Iterable<readonly [string, object]>,
  after: string | undefined,
  limits: PageLimits,
): Page => {
  const page = new PageBuilder(limits);
  let skipping = after !== undefined;
  let last = '';
  for (const [key, row] of entries) {
    if (skipping) {
      skipping = key !== after;
      continue;
    }
    if (!page.add(row)) return { position, rows: page.rows, next: last };
    last = key;
  }
  if (skipping) {
    const detail = `no row ${after} at position ${position}: give the position of the first page as asOf`;
    throw new QueryFault('QUERY_POSITION_UNKNOWN', detail);
  }
  return { position, rows: page.rows };
};

/** The answer's body. */
export const bodyOf = ({ position, rows, next }: Page): string => {
  const more = next === undefined ? '' : `,"next":${JSON.stringify(next)}`;
  return `{"position":${position},"rows":[${rows.join(',')}]${more}}`;
};
