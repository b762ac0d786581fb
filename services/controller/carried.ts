/** What was answered to commands that were decided before the segment that the log begins with. */
import type { CommandRecord } from '../../events/command-record.ts';
import type { SegmentData } from '../lib/opening.ts';
import { formatOf, upcastLine } from '../lib/state-format.ts';
import { stateText } from '../lib/state-text.ts';
import type { Stream } from '../lib/stream.ts';

export interface Carried {
  /** As the decision alone said. */
  readonly decided: CommandRecord;
  /** As it ended; null where nobody had to carry it out. */
  readonly ended: CommandRecord | null;
}

/** @param key `commandKey`. Null where it is not carried over. Complexity: all that the segment begins with; it is seldom asked for */
export const carriedOf = async (log: Stream, segment: SegmentData, key: string): Promise<Carried | null> => {
  const start = `["answered",${JSON.stringify(key)},`;
  let format = 0;
  for (let chunk = 0; chunk < segment.chunks; chunk++) {
    const message = await log.get(segment.first + 1 + chunk);
    const lines = message ? stateText(message.body).split('\n') : [];
    if (chunk === 0) format = formatOf(JSON.parse(lines[0] ?? '[]'));
    const line = lines.find((one) => one.startsWith(start));
    if (!line) continue;
    const [current = []] = upcastLine(format, JSON.parse(line));
    const [, , decided, ended] = current as unknown as readonly [string, string, CommandRecord, CommandRecord | null];
    return { decided, ended };
  }
  return null;
};
