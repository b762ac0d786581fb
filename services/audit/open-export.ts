/** An export as a stream that can only be read, so that whatever reads the log reads an export. */
import type { Message, Stream } from '../lib/stream.ts';
import { type ChainState, readHeads } from './chain.ts';
import {
  type ExportEnd,
  type ExportEntry,
  ExportFault,
  type ExportHeader,
  parseHeader,
  parseLine,
  type SignedCheckpoint,
} from './export-format.ts';
import { FileRead } from './file-read.ts';
import { type Line, type LineFile, lineFile } from './line-file.ts';

/** An entry and the number of its line, counted from 1 (the header's). */
export type NumberedEntry = ExportEntry & { readonly line: number };

export interface Export extends Stream {
  readonly header: ExportHeader;
  /** Null when it was not written to its end, or cut. */
  readonly end: ExportEnd | null;
  /** How many messages are in it, and how many bytes it has up to and without its end line or a last line that is not whole. */
  readonly messages: number;
  readonly bytes: number;
  /** What its header says of the log before it. */
  readonly before: ChainState;
  /** All that stands behind the header, in the order of the file, damaged order included. @throws ExportFault EXPORT_INVALID at a damaged line */
  entries(): AsyncGenerator<readonly NumberedEntry[], void, void>;
  checkpoints(): Promise<readonly SignedCheckpoint[]>;
}

/** Of every so many messages it is kept where their lines begin. */
const MESSAGES_PER_MARK = 1_000;

interface Mark {
  readonly offset: number;
  readonly position: number;
  readonly recordedMs: number;
}

/** What one pass over the file finds. */
interface Survey {
  readonly header: ExportHeader;
  readonly end: ExportEnd | null;
  readonly marks: readonly Mark[];
  /** Last position of each subject. */
  readonly lasts: ReadonlyMap<string, number>;
  readonly first: number;
  readonly last: number;
  readonly messages: number;
  readonly bytes: number;
}

const start = /^\{"position":(\d+),"recorded":"([^"\\]+)","subject":"([^"\\]*)"/;

/** @param behind the last position before it; 0: none */
const atLine = (line: number, error: unknown, behind = 0): unknown => {
  if (!(error instanceof ExportFault)) return error;
  const where = behind === 0 ? `line ${line}` : `line ${line}, behind position ${behind}`;
  return new ExportFault(error.code, `${where}: ${error.message}`);
};

const parsedBehind = (text: string, behind: number): ExportEntry => {
  try {
    return parseLine(text);
  } catch (error) {
    if (!(error instanceof ExportFault)) throw error;
    throw new ExportFault(error.code, `the line behind position ${behind}: ${error.message}`);
  }
};

/** Position, time and subject of a message's line, without its body where the line is written as we write it. */
const glance = (text: string): Pick<Message, 'position' | 'recordedMs' | 'subject'> | null => {
  const match = start.exec(text);
  if (match) {
    const [, position, recorded = '', subject = ''] = match;
    return { position: Number(position), recordedMs: Date.parse(recorded), subject };
  }
  const entry = parseLine(text);
  return entry.kind === 'message' ? entry.message : null;
};

class Surveyor {
  readonly #marks: Mark[] = [];
  readonly #lasts = new Map<string, number>();
  #header: ExportHeader | null = null;
  #end: ExportEnd | null = null;
  #first = 0;
  #last = 0;
  #messages = 0;
  #bytes = 0;
  #lines = 0;

  take(line: Line): void {
    this.#lines += 1;
    // What was being written when the writer was killed.
    if (!line.whole) return;
    try {
      if (this.#header === null) this.#header = parseHeader(line.text);
      else if (line.text.startsWith('{"end":')) this.#finish(line.text);
      else this.#count(line);
    } catch (error) {
      throw atLine(this.#lines, error, this.#last);
    }
    if (this.#end === null) this.#bytes = line.offset + Buffer.byteLength(line.text) + 1;
  }

  result(): Survey {
    if (this.#header === null) throw new ExportFault('EXPORT_INVALID', 'it has no header');
    return {
      header: this.#header,
      end: this.#end,
      marks: this.#marks,
      lasts: this.#lasts,
      first: this.#messages === 0 ? this.#header.first : this.#first,
      last: this.#messages === 0 ? this.#header.first - 1 : this.#last,
      messages: this.#messages,
      bytes: this.#bytes,
    };
  }

  #finish(text: string): void {
    const entry = parseLine(text);
    if (entry.kind === 'end') this.#end = entry.end;
  }

  #count({ text, offset }: Line): void {
    if (this.#end !== null) throw new ExportFault('EXPORT_INVALID', 'it goes on behind its end');
    const found = text.startsWith('{"checkpoint":') ? null : glance(text);
    if (found === null) return;
    const { position, recordedMs, subject } = found;
    if (this.#messages % MESSAGES_PER_MARK === 0) this.#marks.push({ offset, position, recordedMs });
    if (this.#messages === 0) this.#first = position;
    this.#messages += 1;
    this.#last = position;
    this.#lasts.set(subject, position);
  }
}

const surveyOf = async (file: LineFile): Promise<Survey> => {
  const surveyor = new Surveyor();
  for await (const lines of file.lines()) for (const line of lines) surveyor.take(line);
  return surveyor.result();
};

class OpenedExport implements Export {
  readonly name: string;
  readonly header: ExportHeader;
  readonly end: ExportEnd | null;
  readonly messages: number;
  readonly bytes: number;
  readonly before: ChainState;
  readonly #file: LineFile;
  readonly #survey: Survey;

  constructor(name: string, file: LineFile, survey: Survey) {
    this.name = name;
    this.#file = file;
    this.#survey = survey;
    const { header, end, messages, bytes } = survey;
    this.header = header;
    this.end = end;
    this.messages = messages;
    this.bytes = bytes;
    this.before = {
      position: header.first - 1,
      digest: header.digest,
      heads: readHeads(header.heads),
    };
  }

  async *entries(): AsyncGenerator<readonly NumberedEntry[], void, void> {
    let line = 0;
    for await (const lines of this.#file.lines()) {
      const entries: NumberedEntry[] = [];
      for (const { text, whole } of lines) {
        line += 1;
        if (line === 1 || !whole) continue;
        try {
          entries.push({ ...parseLine(text), line });
        } catch (error) {
          yield entries;
          throw atLine(line, error);
        }
      }
      yield entries;
    }
  }

  async checkpoints(): Promise<readonly SignedCheckpoint[]> {
    const found: SignedCheckpoint[] = [];
    for await (const lines of this.#file.lines()) {
      for (const { text, whole } of lines) {
        const entry = whole && text.startsWith('{"checkpoint":') ? parseLine(text) : null;
        if (entry?.kind === 'checkpoint') found.push(entry.checkpoint);
      }
    }
    return found;
  }

  append(): never {
    throw new ExportFault('EXPORT_READ_ONLY', `${this.name} is an export: nothing can be appended to it`);
  }

  appendAll(): never {
    return this.append();
  }

  read: Stream['read'] = (options, onMessage) =>
    new FileRead(
      (position) => this.#messagesFrom(this.#markBefore((mark) => mark.position <= position)),
      options,
      onMessage,
    );

  async first(): Promise<number> {
    return this.#survey.first;
  }

  async last(): Promise<number> {
    return this.#survey.last;
  }

  lastOn(subject: string): Promise<Message | null> {
    return this.get(this.#survey.lasts.get(subject) ?? 0);
  }

  get(position: number): Promise<Message | null> {
    return this.#find(
      (mark) => mark.position <= position,
      (message) => message.position >= position,
    ).then((message) => (message?.position === position ? message : null));
  }

  async positionAt(timeMs: number): Promise<number> {
    const message = await this.#find(
      (mark) => mark.recordedMs < timeMs,
      ({ recordedMs }) => recordedMs >= timeMs,
    );
    return message?.position ?? this.#survey.last + 1;
  }

  /** The first message behind the last mark that is passed which is meant. */
  async #find(isPassed: (mark: Mark) => boolean, isMeant: (message: Message) => boolean): Promise<Message | null> {
    for await (const batch of this.#messagesFrom(this.#markBefore(isPassed))) {
      const found = batch.find(isMeant);
      if (found) return found;
    }
    return null;
  }

  #markBefore(isPassed: (mark: Mark) => boolean): Mark | undefined {
    const { marks } = this.#survey;
    return marks.findLast(isPassed) ?? marks[0];
  }

  async *#messagesFrom(mark: Mark | undefined): AsyncGenerator<readonly Message[], void, void> {
    if (mark === undefined) return;
    let behind = 0;
    for await (const lines of this.#file.lines(mark.offset)) {
      const messages: Message[] = [];
      for (const { text, whole } of lines) {
        if (!whole || !text.startsWith('{"position":')) continue;
        const entry = parsedBehind(text, behind);
        if (entry.kind !== 'message') continue;
        messages.push(entry.message);
        behind = entry.message.position;
      }
      yield messages;
    }
  }
}

/**
 * Opens an export, `.gz` and `.zst` included. Reads it once from end to end, for what stands where; it is verified by nobody yet
 * (services/audit/verifier.ts).
 * @throws ExportFault EXPORT_PARTIAL, EXPORT_INVALID; what the file system says of a file that cannot be read
 */
export const openExport = async (path: string): Promise<Export> => {
  const file = lineFile(path);
  return new OpenedExport(path, file, await surveyOf(file));
};
