/** Verifies a log on a server, or an export of one. */
import type { KeyObject } from 'node:crypto';
import { readRange } from '../lib/read-range.ts';
import type { Stream } from '../lib/stream.ts';
import { chainBefore } from './chain.ts';
import { parseCheckpoint } from './checkpoint.ts';
import { openedAt } from './export.ts';
import { ExportFault, parseLine, type SignedCheckpoint } from './export-format.ts';
import { lineFile } from './line-file.ts';
import type { Export } from './open-export.ts';
import { checkpointsIn, commandsIn } from './stored.ts';
import { type Report, Verifier } from './verifier.ts';

type Keys = ReadonlyMap<string, KeyObject>;

export interface LiveStreams {
  readonly log: Stream;
  readonly checkpoint: Stream;
  /** Null: decisions are not compared with the commands that they name. */
  readonly commands: Stream | null;
}

/** A checkpoint, and the position that it signs: 0 for one that says none. */
export type KeptCheckpoint = SignedCheckpoint & { readonly position: number };

/** Those that are not there already. */
const missingOf = (kept: readonly KeptCheckpoint[], there: readonly SignedCheckpoint[]): readonly KeptCheckpoint[] => {
  const known = new Set(there.map(({ checkpoint }) => checkpoint));
  return kept.filter(({ checkpoint }) => !known.has(checkpoint)).toSorted((a, b) => a.position - b.position);
};

/**
 * Checkpoints of a file that each was appended to when it was made (`CNM_CHECKPOINT_FILE`).
 * @throws ExportFault EXPORT_INVALID; what the file system says of a file that cannot be read
 */
export const readCheckpoints = async (path: string): Promise<readonly KeptCheckpoint[]> => {
  const found: KeptCheckpoint[] = [];
  for await (const lines of lineFile(path).lines()) {
    for (const { text, whole } of lines) {
      // What was being written when the writer was killed.
      if (!whole) continue;
      const entry = text.startsWith('{"checkpoint":') ? parseLine(text) : null;
      if (entry?.kind !== 'checkpoint')
        throw new ExportFault('EXPORT_INVALID', `${path}, line ${found.length + 1}: no checkpoint`);
      found.push({ ...entry.checkpoint, position: parseCheckpoint(entry.checkpoint.checkpoint)?.position ?? 0 });
    }
  }
  return found;
};

/**
 * Everything that is stored at the moment. The log must be read as it is stored, not by a feed that hands out what was just appended.
 * @param kept checkpoints that were kept where nobody who writes the log can change them: what they sign has to be there as well
 * @throws NatsFault
 */
export const verifyLog = async (
  { log, checkpoint, commands }: LiveStreams,
  keys: Keys,
  realm: string | null = null,
  kept: readonly KeptCheckpoint[] = [],
): Promise<Report> => {
  // In this order: a checkpoint is of what the log holds already, and a decision of a command that is there.
  const stored = await checkpointsIn(checkpoint);
  const missing = missingOf(kept, stored);
  const checkpoints = [...stored, ...missing];
  if (missing.length > 0) checkpoints.sort((a, b) => a.position - b.position);
  const until = await log.last();
  const first = await log.first();
  const segment = await openedAt(log, first);
  const start = segment ? { start: chainBefore(segment) } : {};
  const verifier = new Verifier({
    keys,
    realm,
    ...start,
    ...(commands ? { commandAt: await commandsIn(commands) } : {}),
  });
  // Those of before cover what is not here any more.
  let next = checkpoints.findIndex(({ position }) => position >= (segment ? first : 0));
  if (next < 0) next = checkpoints.length;
  for await (const batch of readRange(log, segment ? first : 1, until)) {
    for (const message of batch) {
      verifier.take(message);
      for (let due = checkpoints[next]; due && due.position <= message.position; due = checkpoints[++next])
        verifier.checkpoint(due);
    }
  }
  for (const left of checkpoints.slice(next)) verifier.checkpoint(left);
  return verifier.report();
};

/** The end of an export may be meant, so what was signed behind it is named and is no finding. */
const later = (report: Report, count: number): Report =>
  count === 0
    ? report
    : {
        ...report,
        notCovered: [...report.notCovered, `what ${count} checkpoints sign that are of positions behind it`],
      };

/**
 * A damaged line ends it: what comes behind cannot be told.
 * @param kept as of `verifyLog`, as far as the export goes
 * @throws what the file system says of a file that cannot be read
 */
export const verifyExport = async (
  opened: Export,
  keys: Keys,
  kept: readonly KeptCheckpoint[] = [],
): Promise<Report> => {
  const verifier = new Verifier({ keys, realm: opened.header.realm || null, start: opened.before });
  const last = await opened.last();
  const missing = kept.length === 0 ? [] : missingOf(kept, await opened.checkpoints());
  const due = missing.filter(({ position }) => position >= opened.header.first && position <= last);
  const sign = (before: number): void => {
    for (let [next] = due; next && next.position < before; [next] = due) {
      due.shift();
      verifier.checkpoint(next);
    }
  };
  try {
    for await (const entries of opened.entries()) {
      for (const entry of entries) {
        if (entry.kind === 'message') {
          sign(entry.message.position);
          verifier.take(entry.message);
        } else if (entry.kind === 'checkpoint') verifier.checkpoint(entry.checkpoint);
      }
    }
    sign(Number.POSITIVE_INFINITY);
  } catch (error) {
    if (!(error instanceof ExportFault)) throw error;
    verifier.unreadable(error.message);
    // The end line counts what was not come to.
    return verifier.report();
  }
  if (opened.end === null) verifier.unfinished();
  return later(verifier.report(opened.end), missing.filter(({ position }) => position > last).length);
};
