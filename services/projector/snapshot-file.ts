/** A snapshot as bytes: the lines of projections/snapshot.ts and one with their SHA-256 behind them, under zstd. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { createZstdCompress, zstdDecompress } from 'node:zlib';
import { SnapshotInvalid, SnapshotReader, snapshotLines } from '../../projections/snapshot.ts';
import type { Views } from '../../projections/views.ts';

/** What the first line says beside the position: whether this is a state of that log, and of these folds. */
export interface SnapshotOrigin {
  readonly epoch: string;
  /** Digest of the folds (fold-code.ts). */
  readonly code: string;
  /** Hash of the commit at the position (hash.ts). */
  readonly head: string;
}

/** Rows between two turns of the event loop: about a millisecond of work, since questions wait for it. */
const LINES_PER_TURN = 100;
const decompress = promisify(zstdDecompress);

const sumOf = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Views that nobody folds into meanwhile, as a file. Other work goes on between its turns. */
export const encodeSnapshot = async (views: Views, origin: SnapshotOrigin): Promise<Uint8Array> => {
  const compress = createZstdCompress();
  const chunks: Uint8Array[] = [];
  compress.on('data', (chunk: Uint8Array) => chunks.push(chunk));
  const ended = once(compress, 'end');
  const hash = createHash('sha256');
  let lines: string[] = [];
  const flush = (): void => {
    const part = `${lines.join('\n')}\n`;
    hash.update(part);
    compress.write(part);
    lines = [];
  };
  for (const line of snapshotLines(views, 'needed', { ...origin })) {
    if (lines.push(line) < LINES_PER_TURN) continue;
    flush();
    await turn();
  }
  if (lines.length > 0) flush();
  compress.end(`{"sha256":"${hash.digest('hex')}"}\n`);
  await ended;
  return Buffer.concat(chunks);
};

const SUM = /^\{"sha256":"([0-9a-f]{64})"\}\n$/;

/** The views in a file, those commands alone that folding on needs. @throws SnapshotInvalid */
export const decodeSnapshot = async (bytes: Uint8Array): Promise<{ views: Views; origin: Partial<SnapshotOrigin> }> => {
  let text: string;
  try {
    text = (await decompress(bytes)).toString('utf8');
  } catch (error) {
    throw new SnapshotInvalid(error instanceof Error ? error.message : String(error));
  }
  const end = text.lastIndexOf('\n', text.length - 2) + 1;
  const sum = SUM.exec(text.slice(end))?.[1];
  if (sum === undefined || sum !== sumOf(text.slice(0, end))) throw new SnapshotInvalid('its bytes have changed');
  const reader = new SnapshotReader();
  let lines = 0;
  for (let at = 0; at < end; ) {
    const next = text.indexOf('\n', at);
    reader.take(text.slice(at, next));
    at = next + 1;
    if (++lines % LINES_PER_TURN === 0) await turn();
  }
  return { views: reader.views(), origin: (reader.start ?? {}) as Partial<SnapshotOrigin> };
};
