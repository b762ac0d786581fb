/** A file of lines, read from any line on; what is compressed (`.gz`, `.zst`) is undone on the way. */
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { ExportFault } from './export-format.ts';

/** A line without its `\n`, and where it begins in the text that is not compressed, bytes. */
export interface Line {
  readonly offset: number;
  readonly text: string;
  /** False: the file ends before the `\n`. */
  readonly whole: boolean;
}

export interface LineFile {
  /** The lines from the one that begins at `offset` on, in batches as they are read. */
  lines(offset?: number): AsyncGenerator<readonly Line[], void, void>;
}

const CHUNK_BYTES = 1024 * 1024;
const LF = 10;

const undoing = (file: string): (() => NodeJS.ReadWriteStream) | null => {
  if (file.endsWith('.gz')) return () => createGunzip();
  return file.endsWith('.zst') ? () => createZstdDecompress() : null;
};

/** What the file system or a decompressor says, with the file's name. */
const inFile = (file: string, error: unknown): unknown => {
  if (!(error instanceof Error && 'code' in error)) return error;
  const code = String(error.code);
  // Of zlib and of zstd: damaged, or cut.
  if (/^(Z_|ZSTD_)/i.test(code)) return new ExportFault('EXPORT_INVALID', `it cannot be unpacked: ${error.message}`);
  return 'path' in error ? error : Object.assign(error, { path: file });
};

/** The bytes from `offset` on. What is compressed can only be read from its beginning. */
const bytesOf = async function* (file: string, offset: number): AsyncGenerator<Buffer, void, void> {
  const undo = undoing(file);
  const source = createReadStream(file, { start: undo ? 0 : offset, highWaterMark: CHUNK_BYTES });
  const decoder = undo?.();
  const bytes = (decoder ? source.pipe(decoder) : source) as Readable;
  // An error of the file would leave the decoder waiting.
  if (decoder) source.once('error', (error) => bytes.destroy(error));
  let skip = undo ? offset : 0;
  try {
    for await (const chunk of bytes as AsyncIterable<Buffer>) {
      if (skip < chunk.length) yield chunk.subarray(skip);
      skip = Math.max(0, skip - chunk.length);
    }
  } catch (error) {
    throw inFile(file, error);
  } finally {
    source.destroy();
  }
};

export const lineFile = (file: string): LineFile => ({
  lines: async function* (offset = 0) {
    let start = offset;
    let rest: Buffer = Buffer.alloc(0);
    for await (const chunk of bytesOf(file, offset)) {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      const lines: Line[] = [];
      let from = 0;
      for (let end = bytes.indexOf(LF); end >= 0; end = bytes.indexOf(LF, from)) {
        lines.push({ offset: start + from, text: bytes.toString('utf8', from, end), whole: true });
        from = end + 1;
      }
      rest = bytes.subarray(from);
      start += from;
      if (lines.length > 0) yield lines;
    }
    if (rest.length > 0) yield [{ offset: start, text: rest.toString('utf8'), whole: false }];
  },
});
