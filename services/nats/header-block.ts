/**
 * Headers of a delivered message, read from the bytes that came. The library's own list (a map of arrays, every name checked and looked
 * up) costs three times as much as all else about a message, and is asked for whatever is odd.
 */
import type { Msg, MsgHdrs } from '@nats-io/transport-node';

export type HeaderList = readonly (readonly [name: string, value: string])[];

/** As the library decodes them: values of one name stand together, where the first of them stood. */
export const listHeaders = (headers: MsgHdrs | undefined): HeaderList => {
  const list: [string, string][] = [];
  for (const [name, values] of headers ?? []) for (const value of values) list.push([name, value]);
  return list;
};

const END = '\r\n';
/** Each name is compared with those before it. */
const HEADERS_MAX = 32;

/** The version line of messages without a status (ADR-4). */
const beginning = 'NATS/1.0\r\n';

/**
 * Behind the version, lines whose names the library takes as they are, and whose values hold nothing that it would cut off or decode;
 * then an empty one.
 */
const plainBlock = /^NATS\/1\.0\r\n(?:[!-9;-~]+: ?(?:[!-~](?:[ -~]*[!-~])?)?\r\n)*\r\n$/;

/**
 * The lines between version and empty line; null for what is to be read by the library.
 * @param text the block, decoded as Latin-1
 */
export const parseHeaderBlock = (text: string): HeaderList | null => {
  if (!plainBlock.test(text)) return null;
  const list: (readonly [string, string])[] = [];
  for (let at = beginning.length; text.length - at > END.length; ) {
    const end = text.indexOf(END, at);
    const colon = text.indexOf(':', at);
    const name = text.slice(at, colon);
    if (list.length === HEADERS_MAX) return null;
    for (let before = 0; before < list.length; before++) if (list[before]?.[0] === name) return null;
    list.push([name, text.slice(text.charCodeAt(colon + 1) === 32 ? colon + 2 : colon + 1, end)]);
    at = end + END.length;
  }
  return list;
};

/** What came last from the server: dozens of messages lie in the same memory. */
let received = Buffer.alloc(0);

/**
 * Where headers stand is not said: they end where the body begins, in the same memory, and their length is the rest of what the
 * message's size counts. Null where that cannot be.
 */
const blockOf = (msg: Msg, body: Uint8Array): string | null => {
  const { size } = msg as { readonly size?: () => unknown };
  const counted = typeof size === 'function' ? size.call(msg) : null;
  if (typeof counted !== 'number') return null;
  const { subject, reply = '' } = msg;
  const length = counted - subject.length - reply.length - body.length;
  if (!(length >= beginning.length && length <= body.byteOffset)) return null;
  if (received.buffer !== body.buffer) received = Buffer.from(body.buffer as ArrayBuffer);
  return received.toString('latin1', body.byteOffset - length, body.byteOffset);
};

/** All headers of a message in stored order. @param body its `data` */
export const headersOf = (msg: Msg, body: Uint8Array): HeaderList => {
  const block = blockOf(msg, body);
  const list = block === null ? null : parseHeaderBlock(block);
  return list ?? listHeaders(msg.headers);
};
