/** What a message on the command stream says: a command, or why it is none. Nothing that is sent there can throw. */
import { createHash } from 'node:crypto';
import type { z } from 'zod';
import { Command, commandTypes } from '../../events/commands.ts';
import { CommandId, commandId, parseCommandSubject } from '../../events/names.ts';
import { type Refusal, refuse } from '../../events/refusals.ts';
import type { Message } from '../lib/stream.ts';
import { isTraceparent } from '../lib/trace.ts';

/** Largest command that is read, bytes. */
const commandBytesMax = 65_536;

export interface Intake {
  /** Position in the command stream. */
  readonly sequence: number;
  readonly actor: string;
  /** Host in the subject, null where it names none. */
  readonly host: string | null;
  /** The command's id; one made from its position where it has no valid one. */
  readonly id: string;
  readonly correlationid: string;
  readonly traceparent: string | undefined;
  /** Type as the sender wrote it. */
  readonly type: string;
  readonly digest: string;
  readonly command: { readonly ok: true; readonly value: Command } | Refusal;
}

/** JSON with sorted keys, so that the order in which a sender writes fields makes no other content. */
const canonical = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  fields.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([key, field]) => `${JSON.stringify(key)}:${canonical(field)}`).join(',')}}`;
};

/** 128 bits of SHA-256 over type and data. */
const digestOf = (content: string | Uint8Array): string =>
  createHash('sha256').update(content).digest('base64url').slice(0, 22);

const text = (value: unknown, max: number): string | undefined =>
  typeof value === 'string' && value.length > 0 && value.length <= max ? value : undefined;

const parseJson = (body: Uint8Array): unknown => {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    return undefined;
  }
};

/** What somebody wrote, for a refusal. Not everything can be made a string of: `{"toString": 1}` throws. */
const shown = (value: unknown, max: number): string =>
  typeof value === 'string' || typeof value === 'number' ? String(value).slice(0, max) : typeof value;

const malformed = (raw: unknown, body: Uint8Array): Refusal | null => {
  if (body.length > commandBytesMax)
    return refuse('COMMAND_TOO_LARGE', `${body.length} bytes; at most ${commandBytesMax}`);
  if (raw === undefined) return refuse('COMMAND_MALFORMED', 'the body is no JSON in UTF-8');
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw))
    return refuse('COMMAND_MALFORMED', 'the body is no JSON object');
  const { type, version = 1 } = raw as { readonly type?: unknown; readonly version?: unknown };
  if (commandTypes.some((known) => known === type) && version === 1) return null;
  const named = shown(type, 100);
  return refuse('COMMAND_UNKNOWN', `there is no command ${named} version ${shown(version, 20)}`, [
    { kind: 'command', id: named },
  ]);
};

const firstIssues = (error: z.ZodError): string =>
  error.issues
    .slice(0, 3)
    .map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`)
    .join('; ');

const parse = (raw: unknown, body: Uint8Array): Intake['command'] => {
  const problem = malformed(raw, body);
  if (problem) return problem;
  const parsed = Command.safeParse(raw);
  if (parsed.success) return { ok: true, value: parsed.data };
  const culprits = parsed.error.issues
    .slice(0, 10)
    .map((issue) => ({ kind: 'field', id: issue.path.join('.') || 'body' }));
  return refuse('COMMAND_MALFORMED', firstIssues(parsed.error), culprits);
};

/** Who sent a message and under which id, without looking at what it asks for. @param actor of its subject */
export const senderOf = (
  message: Message,
  actor: string,
): Pick<Intake, 'sequence' | 'actor' | 'id' | 'correlationid' | 'type'> => {
  const raw = message.body.length > commandBytesMax ? undefined : parseJson(message.body);
  const fields = (typeof raw === 'object' && raw !== null ? raw : {}) as Record<string, unknown>;
  const id = CommandId.safeParse(fields.id);
  return {
    sequence: message.position,
    actor,
    id: id.success ? id.data : commandId(message.recordedMs, `message/${message.position}`),
    correlationid: text(fields.correlationid, 160) ?? (id.success ? id.data : `message/${message.position}`),
    type: text(fields.type, 100) ?? '',
  };
};

/** Of a sender that knows nothing of ours: its NATS library may have put it there. */
const traceOf = (message: Message): string | undefined => {
  const header = message.header('traceparent');
  return header.length <= 64 && isTraceparent(header) ? header : undefined;
};

export const takeIn = (message: Message): Intake => {
  const addressed = parseCommandSubject(message.subject);
  const raw = parseJson(message.body);
  const fields = (typeof raw === 'object' && raw !== null ? raw : {}) as Record<string, unknown>;
  const id = CommandId.safeParse(fields.id);
  const command: Intake['command'] =
    addressed === null
      ? refuse('COMMAND_MALFORMED', `${message.subject.slice(0, 200)} is not cnm.command.ACTOR.HOST with encoded names`)
      : parse(raw, message.body);
  return {
    sequence: message.position,
    actor: addressed?.actor ?? 'unknown',
    host: addressed?.host ?? null,
    id: id.success ? id.data : commandId(message.recordedMs, `message/${message.position}`),
    correlationid: text(fields.correlationid, 160) ?? (id.success ? id.data : `message/${message.position}`),
    traceparent: text(fields.traceparent, 64) ?? traceOf(message),
    type: text(fields.type, 100) ?? '',
    digest: digestOf(command.ok ? canonical({ type: command.value.type, data: command.value.data }) : message.body),
    command,
  };
};
