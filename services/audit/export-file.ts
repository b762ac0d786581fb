/** An export in a file: written anew, or gone on with where somebody was stopped. */
import { type FileHandle, open } from 'node:fs/promises';
import { chainHash } from '../lib/hash.ts';
import type { Stream } from '../lib/stream.ts';
import { Chain, type ChainState, readHeads } from './chain.ts';
import { parseCheckpoint } from './checkpoint.ts';
import { chainUpTo, exportBytes, openingOf } from './export.ts';
import {
  type ExportEntry,
  ExportFault,
  type ExportHeader,
  parseHeader,
  parseLine,
  type SignedCheckpoint,
} from './export-format.ts';
import { FileTail } from './file-tail.ts';
import type { Finding } from './finding.ts';
import { type Line, lineFile } from './line-file.ts';
import { Verifier } from './verifier.ts';

export interface FileExport {
  readonly log: Stream;
  /** In the order in which they were made. */
  readonly checkpoints: readonly (SignedCheckpoint & { readonly position: number })[];
  readonly from?: number | undefined;
  readonly until?: number | undefined;
}

/** What of a file is kept, and where the next line goes. */
interface Kept {
  readonly chain: ChainState;
  /** What is wrong with it; null: nothing. */
  readonly finding: Finding | null;
  readonly messages: number;
  readonly bytes: number;
  /** Bodies of the checkpoints in it. */
  readonly checkpoints: ReadonlySet<string>;
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

const eachLine = async function* (path: string): AsyncGenerator<Line, void, void> {
  for await (const lines of lineFile(path).lines()) for (const line of lines) if (line.whole) yield line;
};

const beginning = '{"cnm":"export",';

/** Null for an empty file, and where a writer was killed within the header. @throws ExportFault for anything else */
const headerOf = async (path: string): Promise<ExportHeader | null> => {
  for await (const [first] of lineFile(path).lines()) {
    if (!first) continue;
    const isBegun = first.text.startsWith(beginning) || beginning.startsWith(first.text);
    return !first.whole && isBegun ? null : parseHeader(first.text);
  }
  return null;
};

const checkpointsOf = async (path: string): Promise<ReadonlySet<string>> => {
  const found = new Set<string>();
  for await (const { text } of eachLine(path)) {
    const entry = text.startsWith('{"checkpoint":') ? parseLine(text) : null;
    if (entry?.kind === 'checkpoint') found.add(entry.checkpoint.checkpoint);
  }
  return found;
};

/** Reads up to a position, without an end line and without a last line that is not whole, and verifies what is there. */
const keptOf = async (path: string, header: ExportHeader, upTo: number): Promise<Kept> => {
  const before = { position: header.first - 1, digest: header.digest, heads: readHeads(header.heads) };
  const verifier = new Verifier({ realm: header.realm || null, start: before });
  // The verifier goes on from what a checkpoint says where that is something else.
  const chain = new Chain(before);
  const checkpoints = new Set<string>();
  let [messages, bytes] = [0, 0];
  for await (const { text, offset } of eachLine(path)) {
    const entry: ExportEntry | null = offset === 0 ? null : parseLine(text);
    if (entry?.kind === 'end') break;
    if (entry?.kind === 'message') {
      if (entry.message.position > upTo) break;
      verifier.take(entry.message);
      chain.take(entry.message);
      messages += 1;
    } else if (entry?.kind === 'checkpoint') {
      // What stands behind the last message that is kept is written again, so that all are in their order.
      if ((parseCheckpoint(entry.checkpoint.checkpoint)?.position ?? 0) >= upTo) break;
      verifier.checkpoint(entry.checkpoint);
      checkpoints.add(entry.checkpoint.checkpoint);
    }
    bytes = offset + Buffer.byteLength(text) + 1;
  }
  return { chain, finding: verifier.report().findings[0] ?? null, messages, bytes, checkpoints };
};

/** What is there already is no beginning of what is to be written. */
const leftAlone = (path: string, error: unknown): unknown =>
  error instanceof ExportFault && error.code !== 'EXPORT_OTHER'
    ? new ExportFault(error.code, `${path} is there already and is not gone on with: ${error.message}`)
    : error;

const differs = (path: string): ExportFault =>
  new ExportFault('EXPORT_OTHER', `${path} is an export of another log: nothing was written`);

/** Goes on with a file; null when there is none, or none with a header. */
const resumed = async (path: string, wanted: FileExport): Promise<Kept | null> => {
  const header = await headerOf(path);
  if (header === null) return null;
  const { log, checkpoints, from } = wanted;
  const opening = await openingOf(log);
  if ((opening?.epoch ?? '') !== header.epoch) throw differs(path);
  if ((from ?? header.first) !== header.first)
    throw new ExportFault('EXPORT_OTHER', `${path} begins at position ${header.first}: nothing was written`);
  const there = await checkpointsOf(path);
  // One that was made after its position was written belongs there all the same.
  const missing = checkpoints.find(({ position, checkpoint }) => position >= header.first && !there.has(checkpoint));
  const kept = await keptOf(path, header, missing?.position ?? Number.POSITIVE_INFINITY);
  const { chain, finding } = kept;
  const { position, heads } = chain;
  // What is odd in the file may be odd on the log: a message of others is exported as it stands there.
  if (finding && (await chainUpTo(log, position + 1)).digest !== chain.digest)
    throw new ExportFault('EXPORT_INVALID', `it is damaged at position ${finding.position}: ${finding.detail}`);
  if (position < header.first) return kept;
  const last = await log.get(position);
  const head = last && heads.get(last.subject);
  if (!last || head?.position !== position || head.hash !== chainHash(last)) throw differs(path);
  return kept;
};

const writeAll = async (handle: FileHandle, at: number, pieces: AsyncIterable<Uint8Array>): Promise<number> => {
  await handle.truncate(at);
  const tail = new FileTail(handle, at);
  for await (const piece of pieces) await tail.append(piece);
  await tail.written();
  await handle.sync();
  return tail.end;
};

/**
 * Writes an export to a file, synced at its end. What is there already is verified and gone on with.
 * @returns how many bytes it has
 * @throws ExportFault EXPORT_INVALID for a file that is none, or damaged; EXPORT_OTHER for one of another log
 */
export const exportToFile = async (path: string, wanted: FileExport): Promise<number> => {
  const { log, from, until, checkpoints } = wanted;
  const kept = await resumed(path, wanted).catch((error: unknown) => {
    if (isMissing(error)) return null;
    throw leftAlone(path, error);
  });
  const range = until === undefined ? {} : { until };
  const handle = await open(path, kept ? 'r+' : 'w');
  try {
    if (kept === null)
      return await writeAll(handle, 0, exportBytes(log, { ...range, ...(from ? { from } : {}), checkpoints }));
    const missing = checkpoints.filter(({ checkpoint }) => !kept.checkpoints.has(checkpoint));
    const { position, digest, heads } = kept.chain;
    const resume = { position, digest, heads, messages: kept.messages };
    return await writeAll(handle, kept.bytes, exportBytes(log, { ...range, resume, checkpoints: missing }));
  } finally {
    await handle.close();
  }
};
