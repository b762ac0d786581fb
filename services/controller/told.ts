/** What became of a command, read again from the log. */
import { type CommandRecord, foldCommand } from '../../events/command-record.ts';
import { cutsShort } from '../../events/cut-short.ts';
import { commandKey } from '../../events/state.ts';
import { placedEvents } from '../lib/commit.ts';
import type { Stream } from '../lib/stream.ts';

export interface Stretch {
  /** Subject of the boundary that has decided it. */
  readonly subject: string;
  /** Positions of its decision, and of what it is asked up to. */
  readonly from: number;
  readonly through: number;
}

/** @param key `commandKey`. Complexity: the commits between the two positions */
export const recordOf = async (
  log: Stream,
  key: string,
  { subject, from, through }: Stretch,
): Promise<CommandRecord | undefined> => {
  let record: CommandRecord | undefined;
  for (let position = from; position <= through; position++) {
    const message = await log.get(position);
    for (const [, event] of message ? placedEvents(message) : []) {
      const isCut = cutsShort(event) && commandKey(event.data.actor, event.data.commandId) === key;
      // Another one on the way says nothing of it: with that the worker had come back.
      const isLost = event.type === 'HostLost' && message?.subject === subject && position === through;
      if (isCut || isLost || commandKey(event.meta.actor, event.meta.commandid) === key)
        record = foldCommand(record, event, position);
    }
  }
  return record;
};
