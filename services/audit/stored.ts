/** What stands beside the log on a server: checkpoints, and the commands that decisions name. */
import { takeIn } from '../controller/intake.ts';
import { readRange } from '../lib/read-range.ts';
import type { Message, Stream } from '../lib/stream.ts';
import { parseCheckpoint, signedIn } from './checkpoint.ts';
import type { SignedCheckpoint } from './export-format.ts';
import type { CommandAt, KnownCommand } from './writers.ts';

export const allOf = async function* (stream: Stream): AsyncGenerator<Message, void, void> {
  for await (const batch of readRange(stream, await stream.first(), await stream.last())) yield* batch;
};

/** All checkpoints, in the order in which they were made; position 0 for one that says none. */
export const checkpointsIn = async (
  stream: Stream,
): Promise<readonly (SignedCheckpoint & { readonly position: number })[]> => {
  const found: (SignedCheckpoint & { readonly position: number })[] = [];
  for await (const message of allOf(stream)) {
    const signed = signedIn(message);
    found.push({ ...signed, position: parseCheckpoint(signed.checkpoint)?.position ?? 0 });
  }
  return found;
};

/** The commands that are still kept. Read it behind the log, so that it holds whatever is decided there. */
export const commandsIn = async (stream: Stream): Promise<CommandAt> => {
  const known = new Map<number, KnownCommand>();
  for await (const message of allOf(stream)) {
    const { sequence, actor, digest } = takeIn(message);
    known.set(sequence, { actor, digest });
  }
  const first = await stream.first();
  return (position) => (position < first ? undefined : (known.get(position) ?? null));
};
