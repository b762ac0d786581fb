/**
 * DNS messages (RFC 1035 4, EDNS: RFC 6891). Queries come from programs that nobody here knows, so no more is decoded of one than its
 * question and its EDNS record, after its counts were looked at: how long that takes does not depend on what somebody wrote.
 */
import packet, { type Answer as WireAnswer } from 'dns-packet';
import type { LocalAnswer, Question, Resource } from './lookup.ts';

export const rcodes = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;
export type Rcode = keyof typeof rcodes;

const headerBytes = 12;
/** Without EDNS, over UDP (RFC 1035 2.3.4). */
const plainBytesMax = 512;
const tcpBytesMax = 65_535;
/** What we announce: fits into every path's MTU (DNS flag day 2020). */
const announcedBytes = 1232;
/** EDNS, a cookie and a signature at most. */
const additionalsMax = 4;

/** Second 16 bits of a header. */
const flag = { response: 0x8000, opcode: 0x7800, authoritative: 0x400, truncated: 0x200, recursion: 0x100 } as const;
const recursionAvailable = 0x80;
const checkingDisabled = 0x10;

/**
 * Nothing is answered here (a record's lifetime ends with an event, not with a time), so nobody may keep it: seconds.
 * A name is gone when the leave is on the log.
 */
const ttl = 0;

export interface Query {
  readonly id: number;
  readonly flags: number;
  readonly question: Question;
  /** Where the question ends in the message. */
  readonly questionEnd: number;
  /** What the sender can take over UDP, and its EDNS version; null when it speaks no EDNS. */
  readonly edns: { readonly bytesMax: number; readonly version: number } | null;
  readonly message: Buffer;
}

export type Parsed =
  | { readonly ok: true; readonly query: Query }
  /** Reply null: nothing that could be answered. */
  | { readonly ok: false; readonly reply: Buffer | null };

/** A reply of nothing but a header, for a message of which nothing more may be readable. */
const bare = (message: Buffer, rcode: Rcode): Buffer => {
  const reply = Buffer.alloc(headerBytes);
  reply.writeUInt16BE(message.readUInt16BE(0), 0);
  const asked = message.readUInt16BE(2) & (flag.opcode | flag.recursion | checkingDisabled);
  reply.writeUInt16BE(flag.response | asked | recursionAvailable | rcodes[rcode], 2);
  return reply;
};

interface Edns {
  readonly udpPayloadSize: number;
  readonly ednsVersion: number;
}

interface ScannedName {
  /** Where it ends in the message. */
  readonly end: number;
  /** Plain ASCII without dots inside of labels: its text says all of it. */
  readonly isText: boolean;
}

/** Walks over the name of the question. There is nothing before it that it could point to. */
const scanName = (message: Buffer): ScannedName => {
  let isText = true;
  let at = headerBytes;
  for (let length = message.readUInt8(at); length > 0; length = message.readUInt8(at)) {
    if (length > 63) throw new RangeError('a label of more than 63 bytes, or a pointer');
    const label = message.subarray(at + 1, at + 1 + length);
    if (label.some((byte) => byte >= 0x7f || byte <= 0x20 || byte === 0x2e)) isText = false;
    at += 1 + length;
    if (at - headerBytes > 254) throw new RangeError('a name of more than 255 bytes');
  }
  return { end: at + 1, isText };
};

const parseBody = (message: Buffer): Query => {
  const { end, isText } = scanName(message);
  const decoded = packet.decode(message);
  const [question] = decoded.questions ?? [];
  if (!question) throw new RangeError('no question');
  const edns = (decoded.additionals ?? []).filter((record) => record.type === 'OPT') as unknown as readonly Edns[];
  if (edns.length > 1) throw new RangeError('more than one EDNS record');
  const text = question.name === '.' ? '' : question.name;
  return {
    id: message.readUInt16BE(0),
    flags: message.readUInt16BE(2),
    question: { name: isText ? text : null, type: question.type, class: question.class ?? 'IN' },
    questionEnd: end + 4,
    edns: edns[0] ? { bytesMax: edns[0].udpPayloadSize, version: edns[0].ednsVersion } : null,
    message,
  };
};

/** Reads a query. What is none, is answered with what is wrong with it; a reply, or less than a header, with nothing: no loops. */
export const parseQuery = (message: Buffer): Parsed => {
  if (message.length < headerBytes || (message.readUInt16BE(2) & flag.response) !== 0)
    return { ok: false, reply: null };
  if ((message.readUInt16BE(2) & flag.opcode) !== 0) return { ok: false, reply: bare(message, 'NOTIMP') };
  const [questions, answers, authorities, additionals] = [4, 6, 8, 10].map((offset) => message.readUInt16BE(offset));
  // One question, as everybody sends it (RFC 9619). Counts are limited before anything is decoded that many times.
  if (questions !== 1 || answers !== 0 || authorities !== 0 || (additionals ?? 0) > additionalsMax) {
    return { ok: false, reply: bare(message, 'FORMERR') };
  }
  try {
    return { ok: true, query: parseBody(message) };
  } catch {
    return { ok: false, reply: bare(message, 'FORMERR') };
  }
};

/** What the sender of a query can take. */
export const bytesMaxOf = ({ edns }: Query, protocol: 'udp' | 'tcp'): number =>
  protocol === 'tcp' ? tcpBytesMax : Math.max(edns?.bytesMax ?? plainBytesMax, plainBytesMax);

const wireRecord = (record: Resource): WireAnswer => ({ ...record, class: 'IN', ttl }) as WireAnswer;

/** The EDNS record of a reply; version 1 and later are not spoken (BADVERS, RFC 6891 6.1.3). */
const ednsReply = ({ edns }: Query): readonly WireAnswer[] => {
  if (!edns) return [];
  const opt = {
    type: 'OPT',
    name: '.',
    udpPayloadSize: announcedBytes,
    extendedRcode: edns.version > 0 ? 1 : 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  };
  return [opt as unknown as WireAnswer];
};

const replyFlags = (query: Query, rcode: Rcode, more: number): number =>
  (query.flags & (flag.recursion | checkingDisabled)) | recursionAvailable | rcodes[rcode] | more;

/** The question stands in every reply as it came, whatever bytes it is made of. */
const withQuestion = ({ message, questionEnd }: Query, reply: Buffer): Buffer => {
  const question = message.subarray(headerBytes, questionEnd);
  const whole = Buffer.concat([reply.subarray(0, headerBytes), question, reply.subarray(headerBytes)]);
  whole.writeUInt16BE(1, 4);
  return whole;
};

const encode = (query: Query, rcode: Rcode, flags: number, records: Pick<LocalAnswer, 'answers' | 'additionals'>) =>
  withQuestion(
    query,
    packet.encode({
      type: 'response',
      id: query.id,
      flags: replyFlags(query, rcode, flags),
      answers: records.answers.map(wireRecord),
      additionals: [...records.additionals.map(wireRecord), ...ednsReply(query)],
    }),
  );

/** A reply without records: an error, or that there is more than fits. */
export const encodeEmpty = (query: Query, rcode: Rcode, truncated = false): Buffer =>
  encode(query, rcode, truncated ? flag.truncated : 0, { answers: [], additionals: [] });

const bytesOf = (record: Resource): number => packet.encodingLength({ answers: [wireRecord(record)] }) - headerBytes;

/** As many as fit, from the first on: what is behind them is not looked at. */
const fitting = (records: readonly Resource[], bytesMax: number): readonly Resource[] => {
  let left = bytesMax;
  const beyond = records.findIndex((record) => {
    left -= bytesOf(record);
    return left < 0;
  });
  return beyond < 0 ? records : records.slice(0, beyond);
};

/** A reply to a query: at most so many bytes, and marked as truncated when answers had to be left out for that (RFC 2181 9). */
export const encodeAnswer = (query: Query, local: LocalAnswer, bytesMax: number): Buffer => {
  if (query.edns && query.edns.version > 0) return encodeEmpty(query, 'NOERROR');
  const authoritative = local.authoritative ? flag.authoritative : 0;
  const all = [...local.answers, ...local.additionals];
  // Header, question and EDNS record stand in every reply.
  const besides = query.questionEnd - headerBytes + packet.encodingLength({ additionals: [...ednsReply(query)] });
  const answers = fitting(all, bytesMax - besides);
  if (answers.length === all.length) return encode(query, local.rcode, authoritative, local);
  const kept = answers.slice(0, local.answers.length);
  const isWhole = kept.length === local.answers.length;
  const flags = authoritative | (isWhole ? 0 : flag.truncated);
  return encode(query, local.rcode, flags, { answers: kept, additionals: [] });
};

/** The same message under another id. */
export const withId = (message: Buffer, id: number): Buffer => {
  const copy = Buffer.from(message);
  copy.writeUInt16BE(id, 0);
  return copy;
};

export const rcodeOf = (reply: Buffer): number => reply.readUInt16BE(2) & 0xf;

/**
 * Whether a message is the reply to what was sent: same id, same question but for its case. An error may come without the question, as
 * from servers that could not read it.
 */
export const isReply = (reply: Buffer, sent: Buffer, questionEnd: number): boolean => {
  if (reply.length < headerBytes || reply.readUInt16BE(0) !== sent.readUInt16BE(0)) return false;
  if ((reply.readUInt16BE(2) & flag.response) === 0) return false;
  if (reply.readUInt16BE(4) === 0) return rcodeOf(reply) !== rcodes.NOERROR;
  const question = (message: Buffer) => message.toString('latin1', headerBytes, questionEnd).toLowerCase();
  return reply.readUInt16BE(4) === 1 && reply.length >= questionEnd && question(reply) === question(sent);
};
