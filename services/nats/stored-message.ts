/** Messages as JetStream hands them out, decoded only where somebody looks. */
import type { StoredMsg } from '@nats-io/jetstream';
import type { Msg } from '@nats-io/transport-node';
import type { Event } from '../../events/envelope.ts';
import type { Append, Message } from '../lib/stream.ts';
import { type HeaderList, headersOf, listHeaders } from './header-block.ts';

const DOT = 46;
const ZERO = 48;
/** The reply subject counts time in nanoseconds, more than a double holds: the last six digits are left off. */
const NANO_DIGITS = 6;

/**
 * How many characters of a delivery's reply subject come before the delivery count. They are the same for one consumer.
 * `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer sequence>.<nanoseconds>.<pending>`, or with
 * `<domain>.<account hash>` after ACK, and then perhaps one token more at the end (nats-server `js_ack_fc_v2`, ADR-15).
 */
export const ackPrefixLength = (reply: string): number => {
  const tokens = reply.split('.');
  if (tokens[0] !== '$JS' || tokens[1] !== 'ACK') return -1;
  if (tokens.length === 9) return tokens.slice(0, 4).join('.').length + 1;
  return tokens.length >= 11 ? tokens.slice(0, 6).join('.').length + 1 : -1;
};

/** The first value of a name, or empty text. */
const firstValue = (list: HeaderList, name: string): string => {
  for (let at = 0; at < list.length; at++) if (list[at]?.[0] === name) return list[at]?.[1] ?? '';
  return '';
};

/** One delivery of a consumer. The numbers come from the reply subject in a single pass, everything else waits until asked for. */
export class DeliveredMessage implements Message {
  readonly position: number;
  readonly recordedMs: number;
  readonly pending: number;
  /** How many messages the consumer has sent, this one included. */
  readonly delivered: number;
  private readonly msg: Msg;
  private list?: HeaderList;
  private bytes?: Uint8Array;

  constructor(msg: Msg, reply: string, prefixLength: number) {
    this.msg = msg;
    // anybody may send something to an inbox that he has heard of, and with any reply: then the numbers are no numbers, but they end
    const { length } = reply;
    let at = prefixLength;
    while (at < length && reply.charCodeAt(at) !== DOT) at++;
    let number = 0;
    let code = 0;
    for (at++; at < length; at++) {
      code = reply.charCodeAt(at);
      if (code === DOT) break;
      number = number * 10 + code - ZERO;
    }
    this.position = number;
    number = 0;
    for (at++; at < length; at++) {
      code = reply.charCodeAt(at);
      if (code === DOT) break;
      number = number * 10 + code - ZERO;
    }
    this.delivered = number;
    number = 0;
    const end = at < length ? reply.indexOf('.', at + 1) : length;
    for (at++; at < end - NANO_DIGITS; at++) number = number * 10 + reply.charCodeAt(at) - ZERO;
    this.recordedMs = number;
    number = 0;
    for (at = end < 0 ? length : end + 1; at < length; at++) {
      code = reply.charCodeAt(at);
      if (code === DOT) break;
      number = number * 10 + code - ZERO;
    }
    this.pending = number;
  }

  get subject(): string {
    return this.msg.subject;
  }

  /** The library cuts it out anew at every look, which is a fifth of all that a message costs. */
  get body(): Uint8Array {
    this.bytes ??= this.msg.data;
    return this.bytes;
  }

  header(name: string): string {
    return firstValue(this.headers(), name);
  }

  headers(): HeaderList {
    this.list ??= headersOf(this.msg, this.body);
    return this.list;
  }
}

/** What was appended here and acknowledged, as it is stored. When it was recorded is only known from its delivery. */
export class AppendedMessage implements Message {
  readonly pending = 0;
  readonly position: number;
  readonly recordedMs: number;
  readonly subject: string;
  readonly body: Uint8Array;
  decoded?: readonly Event[];
  private readonly list: HeaderList;

  constructor({ subject, body }: Append, list: HeaderList, position: number, recordedMs: number) {
    this.position = position;
    this.recordedMs = recordedMs;
    this.subject = subject;
    this.body = typeof body === 'string' ? Buffer.from(body) : body;
    this.list = list;
  }

  header(name: string): string {
    return firstValue(this.list, name);
  }

  headers(): HeaderList {
    return this.list;
  }
}

/** What the server adds to a stored message's headers when it answers a direct get. */
const ADDED: ReadonlySet<string> = new Set(['Nats-Stream', 'Nats-Subject', 'Nats-Sequence', 'Nats-Time-Stamp']);

/**
 * A message as direct get answers it (ADR-31): the stored bytes and headers, and headers of the server's that say what it is.
 * `pending` is 0: nothing is known of what is behind it.
 */
export class DirectMessage implements Message {
  readonly pending = 0;
  readonly position: number;
  readonly recordedMs: number;
  readonly subject: string;
  readonly body: Uint8Array;
  decoded?: readonly Event[];
  private readonly answer: Msg;

  constructor(answer: Msg) {
    this.answer = answer;
    this.position = Number(this.header('Nats-Sequence'));
    this.subject = this.header('Nats-Subject');
    this.recordedMs = Date.parse(this.header('Nats-Time-Stamp'));
    this.body = answer.data;
  }

  header(name: string): string {
    return this.answer.headers?.get(name) ?? '';
  }

  headers(): HeaderList {
    return listHeaders(this.answer.headers).filter(([name]) => !ADDED.has(name));
  }
}

/** A message fetched by position or subject from the stream's leader. `pending` is 0: nothing is known of what is behind it. */
export class FetchedMessage implements Message {
  readonly pending = 0;
  readonly position: number;
  readonly recordedMs: number;
  readonly subject: string;
  readonly body: Uint8Array;
  private readonly stored: StoredMsg;

  constructor(stored: StoredMsg) {
    this.stored = stored;
    this.position = stored.seq;
    this.subject = stored.subject;
    this.recordedMs = Date.parse(stored.timestamp);
    // the library decodes base64 anew at every look
    this.body = stored.data;
  }

  header(name: string): string {
    return this.stored.header.get(name);
  }

  headers(): HeaderList {
    return listHeaders(this.stored.header);
  }
}
