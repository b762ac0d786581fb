/** Tables that fit a terminal. Pure. */

export interface Column<Row> {
  readonly title: string;
  readonly text: (row: Row) => string;
}

const GAP = '  ';
/** No column gets narrower than this. */
const LEAST = 6;

const cut = (text: string, width: number): string =>
  text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;

/** Takes from the widest column until all fit; a table of many columns may stay too wide. */
const fit = (widths: readonly number[], width: number): readonly number[] => {
  const fitted = [...widths];
  const total = () => fitted.reduce((sum, each) => sum + each, 0) + GAP.length * (fitted.length - 1);
  while (total() > width) {
    const widest = Math.max(...fitted);
    if (widest <= LEAST) break;
    fitted[fitted.indexOf(widest)] = widest - 1;
  }
  return fitted;
};

/** One line per row under a line of titles. `width` null: as wide as it gets, for files and pipes. */
export const renderTable = <Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  width: number | null,
): string => {
  const cells = rows.map((row) => columns.map(({ text }) => text(row)));
  const natural = columns.map(({ title }, index) =>
    Math.max(title.length, ...cells.map((line) => line[index]?.length ?? 0)),
  );
  const widths = width === null ? natural : fit(natural, width);
  const lineOf = (texts: readonly string[]): string =>
    texts
      .map((text, index) => cut(text, widths[index] ?? 0).padEnd(widths[index] ?? 0))
      .join(GAP)
      .trimEnd();
  return [columns.map(({ title }) => title), ...cells].map((line) => `${lineOf(line)}\n`).join('');
};

/** Nothing, as a table shows it. */
export const orDash = (text: string | null | undefined): string => (text ? text : '-');

/** `2026-01-31 14:03:07` in UTC, from RFC 3339. */
export const shortTime = (time: string | null | undefined): string =>
  time ? time.slice(0, 19).replace('T', ' ') : '-';

const steps = [
  { unit: 'd', ms: 86_400_000 },
  { unit: 'h', ms: 3_600_000 },
  { unit: 'm', ms: 60_000 },
  { unit: 's', ms: 1_000 },
] as const;

/** `5m`, `26h`, `3d`: a duration as one number. */
export const shortDuration = (ms: number): string => {
  const step = steps.find((candidate) => Math.abs(ms) >= 2 * candidate.ms) ?? steps[3];
  return `${Math.round(ms / step.ms)}${step.unit}`;
};

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

export const shortBytes = (bytes: number): string => {
  const power = Math.min(byteUnits.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const value = bytes / 2 ** (10 * power);
  return `${power > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} ${byteUnits[power]}`;
};
