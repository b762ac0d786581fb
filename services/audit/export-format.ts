/**
 * The lines of an export, docs/protocol.md: a header, a line for each stored message with its raw bytes, checkpoints behind the message
 * that they sign, and an end. UTF-8, `\n` behind each line, fields in the order written here. What an import adds to a message is left
 * out, so that an imported log exports the same lines.
 */
import { z } from 'zod';
import { originalHeaders } from '../lib/hash.ts';
import { recordedOf } from '../lib/recorded.ts';
import type { Message } from '../lib/stream.ts';
import type { Piece } from './piece.ts';

export const exportVersion = 1;

const Heads = z.record(z.string(), z.tuple([z.int(), z.string()]).readonly());

/** First line. */
export const ExportHeader = z.object({
  cnm: z.literal('export'),
  version: z.literal(exportVersion),
  realm: z.string(),
  epoch: z.string(),
  /** Position of the first message in it. */
  first: z.int().min(1),
  /** Rolling digest (chain.ts) of what comes before, base64url. */
  digest: z.string(),
  /** The last message of each subject before: position and hash. */
  heads: Heads,
  /** Always null: with a filter it would be no export of this form. */
  filter: z.null(),
});
export type ExportHeader = z.infer<typeof ExportHeader>;

/** Last line of an export that was written to its end. */
export const ExportEnd = z.object({
  last: z.int(),
  messages: z.int(),
  digest: z.string(),
  heads: Heads,
});
export type ExportEnd = z.infer<typeof ExportEnd>;

/** A signed checkpoint: the body as it was signed, and the signature, base64url. */
export const SignedCheckpoint = z.object({ checkpoint: z.string(), signature: z.string() });
export type SignedCheckpoint = z.infer<typeof SignedCheckpoint>;

const MessageLine = z.object({
  position: z.int(),
  recorded: z.iso.datetime(),
  subject: z.string(),
  headers: z.array(z.tuple([z.string(), z.string()])),
  body: z.string(),
});

export type ExportEntry =
  | { readonly kind: 'message'; readonly message: Message }
  | { readonly kind: 'checkpoint'; readonly checkpoint: SignedCheckpoint }
  | { readonly kind: 'end'; readonly end: ExportEnd };

export type ExportFaultCode =
  /** The file is no export, or a line of it is damaged. */
  | 'EXPORT_INVALID'
  /** It holds events under a filter: enough to read, not to verify or import. */
  | 'EXPORT_PARTIAL'
  /** Positions are asked for that the log does not hold. */
  | 'EXPORT_RANGE'
  /** The file that is to be gone on with is of another log. */
  | 'EXPORT_OTHER'
  /** Nothing can be appended to an export. */
  | 'EXPORT_READ_ONLY';

export class ExportFault extends Error {
  override readonly name = 'ExportFault';
  readonly code: ExportFaultCode;

  constructor(code: ExportFaultCode, message: string) {
    super(message);
    this.code = code;
  }
}

export const headerLine = (header: ExportHeader): string => `${JSON.stringify(header)}\n`;
export const endLine = (end: ExportEnd): string => `${JSON.stringify({ end })}\n`;
export const checkpointLine = ({ checkpoint, signature }: SignedCheckpoint): string =>
  `${JSON.stringify({ checkpoint, signature })}\n`;

let lastSecond = Number.NaN;
let secondText = '';

/** RFC 3339 with milliseconds. What a log holds was recorded in the same second, mostly, so the text of that is kept. */
const timeText = (ms: number): string => {
  const second = Math.floor(ms / 1_000);
  if (second !== lastSecond) {
    secondText = new Date(second * 1_000).toISOString().slice(0, -4);
    lastSecond = second;
  }
  return `${secondText}${String(ms - second * 1_000).padStart(3, '0')}Z`;
};

const bufferOf = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Appends the line of a message. Put together by hand, without a text of the whole: a million of them are written in one go. */
export const writeMessage = (message: Message, to: Piece): void => {
  const headers = JSON.stringify(originalHeaders(message));
  const { position, subject } = message;
  const start = `{"position":${position},"recorded":"${timeText(recordedOf(message))}","subject":${JSON.stringify(subject)}`;
  to.text(`${start},"headers":${headers},"body":"`);
  to.ascii(`${bufferOf(message.body).toString('base64')}"}\n`);
};

class ExportedMessage implements Message {
  readonly pending = 0;
  readonly position: number;
  readonly recordedMs: number;
  readonly subject: string;
  readonly body: Uint8Array;
  readonly #headers: ReturnType<Message['headers']>;

  constructor({ position, recorded, subject, headers, body }: z.infer<typeof MessageLine>) {
    this.position = position;
    this.recordedMs = Date.parse(recorded);
    this.subject = subject;
    const bytes = Buffer.from(body, 'base64');
    // Other texts are read as the same bytes, and would be a change that nobody finds.
    if (bytes.toString('base64') !== body) throw new ExportFault('EXPORT_INVALID', 'body: not base64 as it is written');
    this.body = bytes;
    this.#headers = headers;
  }

  header(name: string): string {
    return this.#headers.find(([known]) => known === name)?.[1] ?? '';
  }

  headers(): ReturnType<Message['headers']> {
    return this.#headers;
  }
}

const jsonOf = (line: string): unknown => {
  try {
    return JSON.parse(line);
  } catch {
    throw new ExportFault('EXPORT_INVALID', 'not JSON');
  }
};

const isObject = (json: unknown): json is Record<string, unknown> =>
  typeof json === 'object' && json !== null && !Array.isArray(json);

const checked = <Shape>(schema: z.ZodType<Shape>, json: unknown): Shape => {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new ExportFault('EXPORT_INVALID', z.prettifyError(parsed.error).replaceAll('\n', ' '));
};

/** @throws ExportFault EXPORT_PARTIAL for plain CloudEvents, EXPORT_INVALID for everything else */
export const parseHeader = (line: string): ExportHeader => {
  const json = jsonOf(line);
  if (isObject(json) && 'specversion' in json) {
    throw new ExportFault('EXPORT_PARTIAL', 'it holds plain events, not the stored messages');
  }
  if (isObject(json) && json.cnm === 'export' && Number(json.version) > exportVersion) {
    const detail = `it is of form ${json.version}, and this version of cnm reads up to ${exportVersion}: install a newer one`;
    throw new ExportFault('EXPORT_INVALID', detail);
  }
  return checked(ExportHeader, json);
};

/** A line behind the header, without its `\n`. @throws ExportFault EXPORT_INVALID */
export const parseLine = (line: string): ExportEntry => {
  const json = jsonOf(line);
  if (isObject(json) && 'position' in json) {
    return { kind: 'message', message: new ExportedMessage(checked(MessageLine, json)) };
  }
  if (isObject(json) && 'checkpoint' in json)
    return { kind: 'checkpoint', checkpoint: checked(SignedCheckpoint, json) };
  if (isObject(json) && 'end' in json) return { kind: 'end', end: checked(ExportEnd, json.end) };
  throw new ExportFault('EXPORT_INVALID', 'neither a message, nor a checkpoint, nor the end');
};
