/** Verifies a log on a server, or an export of one. */
import type { KeyObject } from 'node:crypto';
import { readRange } from '../lib/read-range.ts';
import type { Stream } from '../lib/stream.ts';
import { chainBefore } from './chain.ts';
import { openedAt } from './export.ts';
import { ExportFault } from './export-format.ts';
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

/**
 * Everything that is stored at the moment. The log must be read as it is stored, not by a feed that hands out what was just appended.
 * @throws NatsFault
 */
export const verifyLog = async (
  { log, checkpoint, commands }: LiveStreams,
  keys: Keys,
  realm: string | null = null,
): Promise<Report> => {
  // In this order: a checkpoint is of what the log holds already, and a decision of a command that is there.
  const checkpoints = await checkpointsIn(checkpoint);
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

/** A damaged line ends it: what comes behind cannot be told. @throws what the file system says of a file that cannot be read */
export const verifyExport = async (opened: Export, keys: Keys): Promise<Report> => {
  const verifier = new Verifier({ keys, realm: opened.header.realm || null, start: opened.before });
  try {
    for await (const entries of opened.entries()) {
      for (const entry of entries) {
        if (entry.kind === 'message') verifier.take(entry.message);
        else if (entry.kind === 'checkpoint') verifier.checkpoint(entry.checkpoint);
      }
    }
  } catch (error) {
    if (!(error instanceof ExportFault)) throw error;
    verifier.unreadable(error.message);
    // The end line counts what was not come to.
    return verifier.report();
  }
  if (opened.end === null) verifier.unfinished();
  return verifier.report(opened.end);
};
