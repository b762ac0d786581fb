/** Encoders and decoders of nf_tables messages: bytes, no policy. Layout: linux/netfilter/nf_tables.h; all numbers are big-endian. */
import type { ElementField } from '../objects.ts';
import { NFT, NL } from './constants.ts';
import { type Expression, putExpression, putValue, wordBytes } from './expressions.ts';
import { typeOf, widthOf } from './fields.ts';
import type { Message, MessageReader } from './reader.ts';
import type { MessageWriter } from './writer.ts';

/** struct nfgenmsg: family u8, version u8, resource be16. */
const begin = (w: MessageWriter, type: number, flags: number, family: number, resource = 0): void => {
  const at = w.begin(type, flags, 4);
  w.poke8(at, family);
  w.poke8(at + 2, resource >> 8);
  w.poke8(at + 3, resource & 255);
};

const message = (w: MessageWriter, operation: number, flags: number): void =>
  begin(w, (NFT.SUBSYSTEM << 8) | operation, flags, NFT.INET);

/** Starts a transaction: all that follows until `endBatch` is done, or none of it. Answers its sequence number. */
export const beginBatch = (w: MessageWriter): number => {
  begin(w.reset(), NFT.BATCH_BEGIN, 0, 0, NFT.SUBSYSTEM);
  w.end();
  return w.sequence;
};

/** Ends a transaction; answers the sequence number of its last change, which is the one that is acknowledged. */
export const endBatch = (w: MessageWriter): number => {
  const last = w.sequence;
  w.flag(NL.F_ACK);
  begin(w, NFT.BATCH_END, 0, 0, NFT.SUBSYSTEM);
  w.end();
  return last;
};

/** A comment as libnftnl keeps it (udata.h): type 0, length, text and a zero byte. */
const commentBytes = (comment: string): Uint8Array => {
  const bytes = new Uint8Array(comment.length + 3);
  bytes[1] = comment.length + 1;
  for (let at = 0; at < comment.length; at++) bytes[at + 2] = comment.charCodeAt(at);
  return bytes;
};

const readComment = (reader: MessageReader, start: number, end: number): string => {
  for (let at = start; at + 2 <= end; at += 2 + reader.u8(at + 1)) {
    if (reader.u8(at) === 0) return reader.text(at + 2, Math.min(end, at + 2 + reader.u8(at + 1)));
  }
  return '';
};

const TABLE = { NAME: 1, FLAGS: 2, USERDATA: 6 } as const;

/** `comment` null leaves the one that is there: it can only be given to a new table. */
export const newTable = (w: MessageWriter, name: string, flags: number, comment: string | null): void => {
  message(w, NFT.NEWTABLE, NL.F_CREATE);
  w.text(TABLE.NAME, name);
  w.be32(TABLE.FLAGS, flags);
  if (comment !== null) w.data(TABLE.USERDATA, commentBytes(comment));
  w.end();
};

export const delTable = (w: MessageWriter, name: string): void => {
  message(w, NFT.DELTABLE, 0);
  w.text(TABLE.NAME, name);
  w.end();
};

export const getTable = (w: MessageWriter, name: string): void => {
  message(w, NFT.GETTABLE, 0);
  w.text(TABLE.NAME, name);
  w.end();
};

export interface TableRecord {
  readonly flags: number;
  readonly comment: string;
}

export const decodeTable = (reader: MessageReader, { start, end }: Message): TableRecord => {
  let [flags, comment] = [0, ''];
  reader.attributes(start + 4, end, (type, from, to) => {
    if (type === TABLE.FLAGS && to - from === 4) flags = reader.be32(from);
    else if (type === TABLE.USERDATA) comment = readComment(reader, from, to);
  });
  return { flags, comment };
};

/** What elements of a set are: fields of the key, and of what it leads to if it is a map. */
export interface SetShape {
  readonly key: readonly ElementField[];
  readonly data: readonly ElementField[];
}

/** A hash set or map. `id` names it within the transaction. */
export const newSet = (w: MessageWriter, table: string, name: string, { key, data }: SetShape, id: number): void => {
  message(w, NFT.NEWSET, NL.F_CREATE | NL.F_EXCL);
  w.text(1, table);
  w.text(2, name);
  w.be32(3, data.length > 0 ? NFT.SET_MAP : 0);
  w.be32(4, typeOf(key));
  w.be32(5, widthOf(key));
  if (data.length > 0) {
    w.be32(6, typeOf(data));
    w.be32(7, widthOf(data));
  }
  w.be32(10, id);
  // For `nft` only, which prints names of a plain set reversed otherwise: type KEYBYTEORDER 0, host order 1 (libnftnl udata.h).
  if (key.length === 1) w.data(13, Uint8Array.of(0, 4, ...wordBytes(1)));
  w.end();
};

/** Where a base chain hangs: `number` is NF_INET_*, the policy is to accept. */
export interface Hook {
  readonly type: 'filter' | 'nat';
  readonly number: number;
  readonly priority: number;
}

/** A chain; with a hook, a base chain. */
export const newChain = (w: MessageWriter, table: string, name: string, hook?: Hook): void => {
  message(w, NFT.NEWCHAIN, NL.F_CREATE);
  w.text(1, table);
  w.text(3, name);
  if (hook) {
    w.openNest(4);
    w.be32(1, hook.number);
    w.be32(2, hook.priority);
    w.closeNest();
    w.be32(5, 1);
    w.text(7, hook.type);
  }
  w.end();
};

const RULE_USERDATA = 7;

export const newRule = (
  w: MessageWriter,
  table: string,
  chain: string,
  steps: readonly Expression[],
  comment = '',
): void => {
  message(w, NFT.NEWRULE, NL.F_CREATE | NL.F_APPEND);
  w.text(1, table);
  w.text(2, chain);
  w.openNest(4);
  for (const step of steps) putExpression(w, step);
  w.closeNest();
  if (comment !== '') w.data(RULE_USERDATA, commentBytes(comment));
  w.end();
};

export const dumpRules = (w: MessageWriter, table: string): void => {
  message(w.reset(), NFT.GETRULE, NL.F_DUMP);
  w.text(1, table);
  w.end();
};

/** The comment of a rule; empty where it has none. */
export const decodeRule = (reader: MessageReader, { start, end }: Message): string => {
  let comment = '';
  reader.attributes(start + 4, end, (type, from, to) => {
    if (type === RULE_USERDATA) comment = readComment(reader, from, to);
  });
  return comment;
};

/** Chain and handle of a rule. */
export const decodeRulePlace = (reader: MessageReader, { start, end }: Message): string => {
  let [chain, handle] = ['', ''];
  reader.attributes(start + 4, end, (type, from, to) => {
    if (type === 2) chain = reader.text(from, to);
    else if (type === 3 && to - from === 8) handle = `${reader.be32(from)}.${reader.be32(from + 4)}`;
  });
  return `${chain} ${handle}`;
};

/** An element as its bytes. */
export interface ElementRecord {
  readonly key: Uint8Array;
  /** Empty where the set is no map. */
  readonly data: Uint8Array;
  readonly comment: string;
}

/** Of one message's elements: its nest may have 64 KB, and a message that is refused is refused whole. */
const elementsMax = 32 << 10;

const putElement = (w: MessageWriter, { key, data, comment }: ElementRecord): void => {
  w.openNest(1);
  putValue(w, 1, key);
  if (data.length > 0) putValue(w, 2, data);
  if (comment !== '') w.data(6, commentBytes(comment));
  w.closeNest();
};

/** As many messages as it takes. */
const elements = (
  w: MessageWriter,
  [operation, flags]: readonly [number, number],
  [table, set]: readonly [string, string],
  records: readonly ElementRecord[],
): void => {
  for (let at = 0; at < records.length; ) {
    message(w, operation, flags);
    w.text(1, table);
    w.text(2, set);
    w.openNest(3);
    const limit = w.length + elementsMax;
    for (; at < records.length && w.length < limit; at++) putElement(w, records[at] as ElementRecord);
    w.closeNest();
    w.end();
  }
};

export const newElements = (w: MessageWriter, table: string, set: string, records: readonly ElementRecord[]): void =>
  elements(w, [NFT.NEWSETELEM, NL.F_CREATE | NL.F_EXCL], [table, set], records);

const none = new Uint8Array(0);

export const delElements = (w: MessageWriter, table: string, set: string, keys: readonly Uint8Array[]): void => {
  const records = keys.map((key) => ({ key, data: none, comment: '' }));
  elements(w, [NFT.DELSETELEM, 0], [table, set], records);
};

export const dumpElements = (w: MessageWriter, table: string, set: string): void => {
  message(w.reset(), NFT.GETSETELEM, NL.F_DUMP);
  w.text(1, table);
  w.text(2, set);
  w.end();
};

const readElement = (reader: MessageReader, start: number, end: number): ElementRecord => {
  let [key, data, comment]: [Uint8Array, Uint8Array, string] = [none, none, ''];
  reader.attributes(start, end, (type, at, until) => {
    if (type === 6) comment = readComment(reader, at, until);
    if (type !== 1 && type !== 2) return;
    reader.attributes(at, until, (inner, first, last) => {
      if (inner !== 1) return;
      if (type === 1) key = reader.slice(first, last);
      else data = reader.slice(first, last);
    });
  });
  return { key, data, comment };
};

/** The elements of one message of a dump: ELEMENTS { LIST_ELEM { KEY { VALUE }, DATA { VALUE }, USERDATA } }. */
export const decodeElements = (reader: MessageReader, { start, end }: Message): readonly ElementRecord[] => {
  const records: ElementRecord[] = [];
  reader.attributes(start + 4, end, (type, from, to) => {
    if (type === 3) reader.attributes(from, to, (_, at, until) => records.push(readElement(reader, at, until)));
  });
  return records;
};
