/**
 * Views as lines of text, to go on from later instead of from the opening of the log. The first line says where they stand, then comes
 * `["VIEW", "KEY", row]` for each row, view by view, in the order in which the rows came into it.
 */
import { type ViewName, viewNames } from '../events/queries.ts';
import type { CommandRow } from './commands.ts';
import { isNeeded } from './past-commands.ts';
import { createViews, type Views } from './views.ts';

/** First line: the state that the rows are of. Others may add what they need to trust it. */
export interface SnapshotStart {
  readonly position: number;
  readonly day: string;
}

/**
 * `all`: every command. `needed`: those that folding on can ask for, which are the ones that may still end and those that timed out
 * (projection.ts `isLate`); of the view `commands` nothing can be read off then.
 */
export type CommandsKept = 'all' | 'needed';

/** The lines without `\n`; nobody may fold into the views meanwhile. */
export const snapshotLines = function* (
  views: Views,
  commands: CommandsKept,
  more: Readonly<Record<string, unknown>> = {},
): Generator<string, void, void> {
  const start: SnapshotStart = { position: views.position, day: views.day };
  yield JSON.stringify({ ...start, ...more });
  for (const view of viewNames) {
    for (const [key, row] of views.rows[view]) {
      if (commands === 'needed' && view === 'commands' && !isNeeded((row as CommandRow).status)) continue;
      yield JSON.stringify([view, key, row]);
    }
  }
};

/** A line that is no line of a snapshot. */
export class SnapshotInvalid extends Error {
  override name = 'SnapshotInvalid';
}

const parse = (line: string): unknown => {
  try {
    return JSON.parse(line);
  } catch {
    throw new SnapshotInvalid('not JSON');
  }
};

const isView = (name: unknown): name is ViewName => viewNames.some((view) => view === name);

/** Takes lines up into views, a few at a time where the caller has others to serve. */
export class SnapshotReader {
  readonly #views = createViews();
  #start: (SnapshotStart & Readonly<Record<string, unknown>>) | null = null;

  /** The first line as it was written; null before it was taken. */
  get start(): (SnapshotStart & Readonly<Record<string, unknown>>) | null {
    return this.#start;
  }

  /** @throws SnapshotInvalid */
  take(line: string): void {
    const json = parse(line);
    if (this.#start === null) this.#begin(json);
    else this.#row(json);
  }

  /** @throws SnapshotInvalid when not even the first line has come */
  views(): Views {
    if (this.#start === null) throw new SnapshotInvalid('it is empty');
    return this.#views;
  }

  #begin(json: unknown): void {
    const { position, day } = (json ?? {}) as Partial<SnapshotStart>;
    if (!Number.isSafeInteger(position) || typeof day !== 'string') throw new SnapshotInvalid('no position and day');
    this.#start = json as SnapshotStart & Readonly<Record<string, unknown>>;
    this.#views.position = position as number;
    this.#views.day = day;
  }

  #row(json: unknown): void {
    const [view, key, row, ...rest] = Array.isArray(json) ? (json as unknown[]) : [];
    if (!isView(view) || typeof key !== 'string' || typeof row !== 'object' || row === null || rest.length > 0) {
      throw new SnapshotInvalid('no row of a view');
    }
    // Rows are what this code has written, of these very folds.
    (this.#views.rows[view] as Map<string, unknown>).set(key, row);
  }
}

/** The views that lines were made of. @throws SnapshotInvalid */
export const viewsOf = (lines: Iterable<string>): Views => {
  const reader = new SnapshotReader();
  for (const line of lines) reader.take(line);
  return reader.views();
};
