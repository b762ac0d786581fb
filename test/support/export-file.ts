/** A log as a file. */
import { writeFileSync } from 'node:fs';
import { exportLines } from '../../services/audit/export.ts';
import type { Stream } from '../../services/lib/stream.ts';

export const writeExport = async (log: Stream, path: string): Promise<void> => {
  let text = '';
  for await (const lines of exportLines(log)) text += lines;
  writeFileSync(path, text);
};
