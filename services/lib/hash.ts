/** The chain: every commit carries the hash of the previous stored message on its subject. */
import { hash } from 'node:crypto';
import { recordedHeader } from './recorded.ts';
import type { Message } from './stream.ts';

/**
 * Headers that are not part of what was stored first: servers put them on when they hand a message out (direct get, pinned and
 * headers-only consumers, mirrors and sources), and an import when it stores a message again. Measured on nats-server 2.15.1: what
 * an ordinary append sends, `Nats-Msg-Id` and `Nats-Expected-*` included, is stored as sent, and nothing is added to it.
 */
const ADDED_LATER: ReadonlySet<string> = new Set([
  recordedHeader,
  'Nats-Stream',
  'Nats-Subject',
  'Nats-Sequence',
  'Nats-Time-Stamp',
  'Nats-Last-Sequence',
  'Nats-Num-Pending',
  'Nats-UpTo-Sequence',
  'Nats-Stream-Source',
  'Nats-Msg-Size',
  'Nats-Pin-Id',
]);

/** The headers as they were stored first, in their order. */
export const originalHeaders = (message: Pick<Message, 'headers'>): ReturnType<Message['headers']> =>
  message.headers().filter(([name]) => !ADDED_LATER.has(name));

/** Beyond so many, which none of ours has, sorting in place takes too long. */
const INSERTED_MAX = 16;

/** By insertion, which keeps the order of equal names: there are a handful. */
const sortedByName = (headers: ReturnType<Message['headers']>): ReturnType<Message['headers']> => {
  if (headers.length > INSERTED_MAX) return headers.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const sorted = [...headers];
  for (const [index, header] of headers.entries()) {
    let at = index;
    for (let before = sorted[at - 1]; before && before[0] > header[0]; before = sorted[--at - 1]) sorted[at] = before;
    sorted[at] = header;
  }
  return sorted;
};

/** Of one UTF-16 code unit. */
const UTF8_BYTES_MAX = 3;
/** What is hashed is put together here: verifying a log hashes a million messages in one go. */
let scratch = Buffer.allocUnsafeSlow(64 * 1024);
/** The same memory: a stretch of it costs a tenth of what one of a Buffer does. */
let scratchBytes = new Uint8Array(scratch.buffer);

/**
 * Hash of a stored message: SHA-256 over its canonical form, as base64url without padding (43 characters).
 *
 * Canonical form, UTF-8, where CRLF is the two bytes 0D 0A:
 *
 *     subject CRLF
 *     name ": " value CRLF      one line per header
 *     CRLF
 *     body                      the stored bytes, unchanged, to the end
 *
 * Headers are taken as written, except those of `ADDED_LATER`, sorted by name (UTF-16 code units, not a locale); values of
 * one name keep their stored order. A value has no white space at its ends: NATS drops it on reading. Neither subject, name nor
 * value can hold CRLF (the protocol ends them with it) and a name holds no colon, so two different messages never share a
 * canonical form. Position and time are left out: the chain itself orders a subject, and an export keeps them beside it.
 */
export const chainHash = (message: Pick<Message, 'subject' | 'headers' | 'body'>): string => {
  let head = `${message.subject}\r\n`;
  for (const [name, value] of sortedByName(originalHeaders(message))) head += `${name}: ${value}\r\n`;
  head += '\r\n';
  const { body } = message;
  const most = head.length * UTF8_BYTES_MAX + body.length;
  if (scratch.length < most) {
    scratch = Buffer.allocUnsafeSlow(2 * most);
    scratchBytes = new Uint8Array(scratch.buffer);
  }
  const start = scratch.write(head);
  scratchBytes.set(body, start);
  return hash('sha256', scratchBytes.subarray(0, start + body.length), 'base64url');
};
