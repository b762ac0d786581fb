/** The copy of signed checkpoints in a file: what the stream holds, and nobody who writes the stream can take back. */
import type { KeyObject } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { type Checkpoint, checkpointSubject, isSignedBy, parseCheckpoint, signedIn } from '../audit/checkpoint.ts';
import { checkpointLine, parseLine, type SignedCheckpoint } from '../audit/export-format.ts';
import type { Stream } from '../lib/stream.ts';

/** Longer than any line: heads are 256 KiB at most (services/audit/checkpoint.ts), and twice that with what JSON escapes. */
const LINE_BYTES_MAX = 1024 * 1024;
/** A file that lacks more, such as a new one, gets the last ones. */
const LOOKED_BACK_MAX = 1_000;
const LF = 10;

const beginning = '{"checkpoint":';

const checkpointIn = (line: string): Checkpoint | null => {
  const entry = line.startsWith(beginning) ? parseLine(line) : null;
  return entry?.kind === 'checkpoint' ? parseCheckpoint(entry.checkpoint.checkpoint) : null;
};

/**
 * The last checkpoint in the file. What was being written when the writer was killed is cut off: the next would stand on its line. A file
 * that is something else stays as it is.
 */
const lastIn = async (handle: FileHandle, file: string): Promise<Checkpoint | null> => {
  const { size } = await handle.stat();
  const start = Math.max(0, size - LINE_BYTES_MAX);
  const tail = Buffer.alloc(size - start);
  await handle.read(tail, 0, tail.length, start);
  const end = tail.lastIndexOf(LF) + 1;
  const begun = tail.toString('utf8', end);
  const last = end === 0 ? null : checkpointIn(tail.toString('utf8', tail.lastIndexOf(LF, end - 2) + 1, end - 1));
  const isOurs = (last !== null || start + end === 0) && (begun.startsWith(beginning) || beginning.startsWith(begun));
  if (!isOurs) throw new Error(`${file}: its last line is no checkpoint`);
  if (begun !== '') await handle.truncate(start + end);
  return last;
};

/** What our key has signed behind `kept`, oldest first. */
const missing = async (
  stream: Stream,
  publicKey: KeyObject,
  kept: Checkpoint | null,
): Promise<readonly SignedCheckpoint[]> => {
  const found: SignedCheckpoint[] = [];
  let message = await stream.lastOn(checkpointSubject);
  for (let looked = 0; message !== null && looked < LOOKED_BACK_MAX; looked++) {
    const one = signedIn(message);
    const said = isSignedBy(one, publicKey) ? parseCheckpoint(one.checkpoint) : null;
    if (said !== null && kept !== null && said.epoch === kept.epoch && said.position <= kept.position) break;
    if (said !== null) found.push(one);
    message = await stream.get(message.position - 1);
  }
  return found.reverse();
};

/**
 * Appends to the file, synced, what it lacks of the checkpoints that our key has signed: whoever made them, and however whoever wrote it before
 * has ended. O(what is lacking).
 * @throws what the file system says; when the file ends with something else
 */
export const catchUp = async (file: string, stream: Stream, publicKey: KeyObject): Promise<void> => {
  const handle = await open(file, 'a+', 0o644);
  try {
    const lines = (await missing(stream, publicKey, await lastIn(handle, file))).map(checkpointLine);
    if (lines.length === 0) return;
    await handle.appendFile(lines.join(''));
    await handle.sync();
  } finally {
    await handle.close();
  }
};
