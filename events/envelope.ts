/**
 * The envelope: each event is a CloudEvent 1.0 in JSON, a commit is the standard JSON batch of them
 * (CloudEvents 1.0.2, json-format.md section 4), stored as one message on its boundary's subject.
 */
import { z } from 'zod';
import { type EventType, eventData, type Fact, isConstructive, isIntent } from './events.ts';
import { type ForeignReports, foreignReports, isOwn } from './foreign-reports.ts';
import { isChunk } from './names.ts';
import { laterVersions, upcasts } from './upcasts.ts';

/** Content type of a commit's message. */
export const batchType = 'application/cloudevents-batch+json';

/** Header names of a commit's message. */
export const commitHeaders = {
  contentType: 'Content-Type',
  /** Hash of the commit before on the same subject, empty for the first (services/lib/hash.ts). */
  prevHash: 'Cnm-Prev-Hash',
  /**
   * Of decisions: `FROM-THROUGH`, positions in the command stream. Every command before FROM is decided, on any boundary;
   * THROUGH is the last one that is decided with this commit.
   */
  commands: 'Cnm-Commands',
  /**
   * Of admissions that stand ahead of what they admit: `SUBJECT=POSITION`, with commas. What is admitted is created by the next commit on
   * SUBJECT, guarded by POSITION, or never.
   */
  awaits: 'Cnm-Awaits',
  /**
   * Of commits of decisions that begin a controller's term: its number, larger than all before on that subject. Whoever has read of a later
   * term than its own decides nothing.
   */
  term: 'Cnm-Term',
} as const;

/** Attributes that an event carries beside what happened. */
export const Meta = z.object({
  /** `COMMIT.INDEX`: unique in the log. */
  id: z.string(),
  source: z.string(),
  /**
   * What it is about: `network/ID`, `endpoint/ID`, `sandbox/ID`, `host/NAME`, `command/ACTOR/ID`, `driver/NAME`, `keys/GENERATION`,
   * `realm/NAME`, `parked/SEQ.INDEX`, `hold/NAME`, `subject/NAME`,
   * `segment/NUMBER`.
   */
  subject: z.string(),
  /** When it happened, RFC 3339 in UTC with milliseconds. */
  time: z.string(),
  /** Who sent the command that led to it; empty for what a service noticed by itself. */
  actor: z.string(),
  /**
   * Who vouches for the actor: `nats`: the server lets each user publish under its own actor only; `claim`: nobody, it is what the sender
   * says. Left out in events of before, and where there is no actor: as `claim`.
   */
  actorproof: z.enum(['nats', 'claim']).optional(),
  commandid: z.string(),
  correlationid: z.string(),
  /** The command's id for decisions, the intent's event id for outcomes. */
  causationid: z.string(),
  /** Of decisions: type of the command that led to it. */
  commandtype: z.string().optional(),
  /** Of decisions: position of the command in the command stream. */
  commandseq: z.int().optional(),
  /** Of decisions: digest of the command's type and data, so that a reused id with other content is seen. */
  commanddigest: z.string().optional(),
  /** Of intents: hosts that must execute it, separated by commas; empty: nobody has to, it is done with its decision. */
  executors: z.string().optional(),
  /** Of intents: when the command ends as timed out, RFC 3339. */
  deadline: z.string().optional(),
  /** Of intents of a command that both makes and takes away: it is done as a whole, or everything is as it was. */
  revertible: z.boolean().optional(),
  traceparent: z.string().optional(),
});
export type Meta = z.infer<typeof Meta>;

/** An event as the rest of the code sees it: what happened, and its envelope. */
export type Event = Fact & { readonly version: number; readonly meta: Meta };
export type EventOf<T extends EventType> = Extract<Event, { type: T }>;

/** Whether some host has to act on it: an intent without executors is done with its decision. */
export const needsExecution = ({ type, meta }: Event): boolean => isIntent(type) && meta.executors !== '';

const takesAway: ReadonlySet<EventType> = new Set(['EndpointLeaveRequested', 'EndpointDeleteRequested']);

/** Whether facts of one command both make something and take something away. */
export const isMixed = (facts: readonly Fact[]): boolean =>
  facts.some(({ type }) => isConstructive(type)) && facts.some(({ type }) => takesAway.has(type));

/** Whether an intent is one of a command that is done as a whole or reverted. Before there was a mark for it only moves were. */
export const isRevertible = ({ meta }: Event): boolean =>
  meta.revertible === true || meta.commandtype === 'MoveSandbox';

/** Whether an event stands beside others that tell what becomes of its command: an admission, what other hosts are to forget, or a way out that is made with its first endpoint. */
export const isBeside = ({ type, data }: Event): boolean =>
  type === 'EndpointAdmitted' ||
  type === 'PeersForgotten' ||
  (type === 'NetworkCreateRequested' && data.network.outlet);

/** Current version of every event type; writers write these. */
export const eventVersions: Readonly<Record<EventType, number>> = Object.fromEntries(
  Object.keys(eventData).map((type) => [type, laterVersions[type] ?? 1]),
) as Record<EventType, number>;

const typePrefix = 'cnm.';

/** `cnm.EndpointJoined.v1`. */
export const cloudType = (type: EventType, version: number): string => `${typePrefix}${type}.v${version}`;

/** One event as a CloudEvent object, in the order in which it is stored. */
export const toCloudEvent = (event: Event): Record<string, unknown> => {
  const { id, source, subject, time, ...extensions } = event.meta;
  return {
    specversion: '1.0',
    id,
    type: cloudType(event.type, event.version),
    source,
    subject,
    time,
    ...extensions,
    data: event.data,
  };
};

/** One event as stored. Asserts on the way out that it has the shape that its version promises. */
export const encodeEvent = (event: Event): string => {
  const checked = eventData[event.type].safeParse(event.data);
  if (!checked.success) throw new Error(`event ${event.type} breaks its schema: ${z.prettifyError(checked.error)}`);
  return JSON.stringify(toCloudEvent(event));
};

/** A commit's body out of its encoded events. */
export const joinCommit = (encoded: readonly string[]): string => `[${encoded.join(',')}]`;

export const encodeCommit = (events: readonly Event[]): string => joinCommit(events.map(encodeEvent));

/**
 * `newer`: of a type or version that this version does not know, so that the reader stops and says so. `malformed`: poison, which no
 * version reads: somebody else has written to the log. Readers park it and go on (docs/adr/0025).
 */
export type UnreadableKind = 'newer' | 'malformed';

/** The log holds what this version of the code cannot read. */
export class UnreadableCommit extends Error {
  override name = 'UnreadableCommit';
  readonly code = 'LOG_UNREADABLE';
  readonly kind: UnreadableKind;

  constructor(message: string, kind: UnreadableKind) {
    super(message);
    this.kind = kind;
  }
}

/** An event, or a whole commit, that nobody can read. */
export interface Malformed {
  /** Why. */
  readonly malformed: string;
  /** As it is stored, such as `cnm.EndpointJoined.v3`; empty where it says none. */
  readonly type: string;
  /** What it is about, as `Meta.subject`; empty where it does not say. */
  readonly subject: string;
}
/** What stands at one place of a commit. */
export type CommitPart = Event | Malformed;
export const isMalformed = (part: CommitPart): part is Malformed => 'malformed' in part;

interface Readable {
  /** As stored: `cnm.EndpointJoined.v1`. */
  readonly name: string;
  readonly type: EventType;
  /** Lead from the version that is stored to the current one. */
  readonly steps: readonly ((data: unknown) => unknown)[];
}

const readableAs = (type: EventType, version: number): Readable => {
  const versions = Array.from({ length: eventVersions[type] - version }, (_, n) => version + n);
  return { name: cloudType(type, version), type, steps: versions.flatMap((from) => upcasts[`${type}.v${from}`] ?? []) };
};

/**
 * What this version reads, by length of name: to compare a name with the two or three of its length takes less than to hash it. The type
 * is the one text that the code has of it, so that all who compare types compare two pointers.
 */
const readable = Map.groupBy(
  (Object.keys(eventData) as EventType[]).flatMap((type) =>
    Array.from({ length: eventVersions[type] }, (_, n) => readableAs(type, n + 1)),
  ),
  ({ name }) => name.length,
);

const readableOf = (name: string): Readable | undefined => {
  for (const known of readable.get(name.length) ?? []) if (known.name === name) return known;
  return undefined;
};

const unreadable = (text: string): UnreadableCommit => {
  const [, type = '', version] = /^cnm\.([A-Za-z]+)\.v([0-9]+)$/.exec(text) ?? [];
  const current = Object.hasOwn(eventVersions, type) ? eventVersions[type as EventType] : Number.POSITIVE_INFINITY;
  const problem =
    Number(version) > current
      ? `event ${text} is newer than v${current}, which this version of cnmbus reads`
      : `event type ${text} is unknown to this version of cnmbus`;
  return new UnreadableCommit(`${problem}: upgrade before reading on`, 'newer');
};

const malformed = (why: string): UnreadableCommit =>
  new UnreadableCommit(`${why}: somebody else has written to the log`, 'malformed');

interface CloudEvent extends Meta {
  readonly type: string;
  readonly data: unknown;
}

const datePattern = /^[12][0-9]{3}-[01][0-9]-[0-3][0-9]T/;

/** Whether all that is looked at in every event is there. Not what the schemas say: those were asked when it was written. */
const hasShape = ({
  id,
  source,
  subject,
  time,
  actor,
  commandid,
  correlationid,
  causationid,
  data,
}: CloudEvent): boolean =>
  typeof id === 'string' &&
  typeof source === 'string' &&
  typeof subject === 'string' &&
  typeof time === 'string' &&
  datePattern.test(time) &&
  typeof actor === 'string' &&
  typeof commandid === 'string' &&
  typeof correlationid === 'string' &&
  typeof causationid === 'string' &&
  typeof data === 'object' &&
  data !== null;

const upcast = ({ steps }: Readable, stored: unknown, name: string): unknown => {
  let data = stored;
  try {
    for (const step of steps) data = step(data);
  } catch (error) {
    throw malformed(`event ${name} has none of the data of its version (${String(error)})`);
  }
  return data;
};

const decodeEvent = (cloud: CloudEvent): Event => {
  if (typeof cloud?.type !== 'string') throw malformed('an event must be an object with a type');
  const known = readableOf(cloud.type);
  if (!known) throw unreadable(cloud.type);
  if (!hasShape(cloud)) throw malformed(`event ${cloud.type} lacks attributes or data of an event`);
  const { type } = known;
  const data = upcast(known, cloud.data, cloud.type);
  // The CloudEvent itself serves as meta: its attributes are the same, and a copy per event would be half the cost of a cold read.
  return { type, version: eventVersions[type], data, meta: cloud } as Event;
};

const decoder = new TextDecoder();

const parseBatch = (text: string): readonly CloudEvent[] => {
  let batch: unknown;
  try {
    batch = JSON.parse(text);
  } catch {
    throw malformed('a commit must be JSON');
  }
  if (!Array.isArray(batch)) throw malformed('a commit must be a JSON batch of CloudEvents');
  return batch;
};

const outcomePrefix = 'cnm.outcome.';

type Reports = { readonly own: readonly CloudEvent[] } | { readonly own: null; readonly foreign: ForeignReports };

/** What a commit on the subject of a host's reports holds, whoever wrote it. */
const reportsIn = (text: string, subject: string): Reports => {
  let batch: unknown;
  try {
    batch = JSON.parse(text);
  } catch {
    return { own: null, foreign: { ok: false, problem: 'no JSON' } };
  }
  if (isOwn(batch)) return { own: batch as CloudEvent[] };
  return { own: null, foreign: foreignReports(batch, subject, (cloud) => decodeEvent(cloud as CloudEvent)) };
};

/** Why a commit counts for nothing; null when it does count. */
export const unfitReports = (body: Uint8Array, subject: string): string | null => {
  const reports = subject.startsWith(outcomePrefix) ? reportsIn(decoder.decode(body), subject) : null;
  return reports === null || reports.own !== null || reports.foreign.ok ? null : reports.foreign.problem;
};

/** @throws UnreadableCommit as `read` does, and for what is no batch */
const readParts = <Part>(
  body: Uint8Array,
  subject: string,
  read: (cloud: CloudEvent) => Part,
): readonly (Part | Event)[] => {
  const text = decoder.decode(body);
  if (!subject.startsWith(outcomePrefix)) return parseBatch(text).map(read);
  const reports = reportsIn(text, subject);
  if (reports.own !== null) return reports.own.map(read);
  return reports.foreign.ok ? reports.foreign.events : [];
};

/**
 * The choke point: every read of the log passes here. Old versions are upcast; an unknown or newer one throws UnreadableCommit.
 * Data of a known version was checked when it was written and is covered by the chain, so it is not checked again; only reports of
 * programs that are not ours are, and have no events where they do not fit (events/foreign-reports.ts).
 */
export const decodeCommit = (body: Uint8Array, subject = ''): readonly Event[] =>
  isChunk(subject) ? [] : readParts(body, subject, decodeEvent);

const longestSubject = 300;

const textOf = (value: unknown): string => (typeof value === 'string' && value.length <= longestSubject ? value : '');

/** What is left of one that cannot be read. @throws what says that it is newer */
const malformedPart = (error: unknown, cloud: Partial<CloudEvent> | null = null): Malformed => {
  if (!(error instanceof UnreadableCommit) || error.kind === 'newer') throw error;
  return { malformed: error.message, type: textOf(cloud?.type), subject: textOf(cloud?.subject) };
};

const decodePart = (cloud: CloudEvent): CommitPart => {
  try {
    return decodeEvent(cloud);
  } catch (error) {
    return malformedPart(error, cloud);
  }
};

/** The same commit place by place, with what is malformed in its place. @throws UnreadableCommit for what is newer */
export const decodeParts = (body: Uint8Array, subject: string): readonly CommitPart[] => {
  try {
    return readParts(body, subject, decodePart);
  } catch (error) {
    return [malformedPart(error)];
  }
};
