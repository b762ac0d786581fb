/** Encoders and decoders of nf_tables messages: bytes, no policy. Layout: linux/netfilter/nf_tables.h; all numbers are big-endian. */
import { NFT, NL } from './constants.ts';
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

const words = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer);

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

/** Bytes of an interface name in a register (IFNAMSIZ), and the number of the type in nft (datatype.h). */
export const ifname = { bytes: 16, type: 41 } as const;

/** A hash set whose key is `names` interface names, one after the other. `id` names the set within the transaction. */
export const newSet = (w: MessageWriter, table: string, name: string, names: number, id: number): void => {
  // Types of a concatenation are 6 bits each.
  const keyType = Array.from({ length: names }).reduce<number>((type) => (type << 6) | ifname.type, 0);
  message(w, NFT.NEWSET, NL.F_CREATE | NL.F_EXCL);
  w.text(1, table);
  w.text(2, name);
  w.be32(3, 0);
  w.be32(4, keyType);
  w.be32(5, names * ifname.bytes);
  w.be32(10, id);
  // For `nft` only, which prints names of a plain set reversed otherwise: type KEYBYTEORDER 0, host order 1 (libnftnl udata.h).
  if (names === 1) w.data(13, Uint8Array.of(0, 4, ...words(1)));
  w.end();
};

/** A chain; with a hook, a base chain of type filter whose policy is to accept. */
export const newChain = (
  w: MessageWriter,
  table: string,
  name: string,
  hook?: { readonly number: number; readonly priority: number },
): void => {
  message(w, NFT.NEWCHAIN, NL.F_CREATE);
  w.text(1, table);
  w.text(3, name);
  if (hook) {
    w.openNest(4);
    w.be32(1, hook.number);
    w.be32(2, hook.priority);
    w.closeNest();
    w.be32(5, 1);
    w.text(7, 'filter');
  }
  w.end();
};

/** One step of a rule. Registers 1 and 2 are 16 bytes each and adjacent. */
export type Expression =
  | { readonly name: 'meta'; readonly key: number; readonly register: number }
  | { readonly name: 'ct'; readonly key: number }
  | { readonly name: 'lookup'; readonly set: string }
  /** Register 1 and `mask` is not zero. */
  | { readonly name: 'any'; readonly mask: number }
  | { readonly name: 'verdict'; readonly code: number; readonly chain?: string };

/** A nest that holds one value. */
const value = (w: MessageWriter, type: number, data: Uint8Array): void => {
  w.openNest(type);
  w.data(1, data);
  w.closeNest();
};

const expression = (w: MessageWriter, name: string, body: () => void): void => {
  w.openNest(1);
  w.text(1, name);
  w.openNest(2);
  body();
  w.closeNest();
  w.closeNest();
};

const putVerdict = (w: MessageWriter, code: number, chain: string | undefined): void =>
  expression(w, 'immediate', () => {
    w.be32(1, 0);
    w.openNest(2);
    w.openNest(2);
    w.be32(1, code);
    if (chain !== undefined) w.text(2, chain);
    w.closeNest();
    w.closeNest();
  });

const putAny = (w: MessageWriter, mask: number): void => {
  expression(w, 'bitwise', () => {
    w.be32(1, 1);
    w.be32(2, 1);
    w.be32(3, 4);
    value(w, 4, words(mask));
    value(w, 5, words(0));
  });
  expression(w, 'cmp', () => {
    w.be32(1, 1);
    w.be32(2, 1);
    value(w, 3, words(0));
  });
};

const putExpression = (w: MessageWriter, step: Expression): void => {
  switch (step.name) {
    case 'meta':
    case 'ct':
      expression(w, step.name, () => {
        w.be32(1, step.name === 'meta' ? step.register : 1);
        w.be32(2, step.key);
      });
      return;
    case 'lookup':
      expression(w, 'lookup', () => {
        w.text(1, step.set);
        w.be32(2, 1);
      });
      return;
    case 'any':
      putAny(w, step.mask);
      return;
    case 'verdict':
      putVerdict(w, step.code, step.chain);
      return;
    default:
      step satisfies never;
  }
};

export const newRule = (w: MessageWriter, table: string, chain: string, steps: readonly Expression[]): void => {
  message(w, NFT.NEWRULE, NL.F_CREATE | NL.F_APPEND);
  w.text(1, table);
  w.text(2, chain);
  w.openNest(4);
  for (const step of steps) putExpression(w, step);
  w.closeNest();
  w.end();
};

/** Interface names as a key: each in a register of its own, padded with zeros. */
const keyBytes = (names: readonly string[]): Uint8Array => {
  const bytes = new Uint8Array(names.length * ifname.bytes);
  names.forEach((name, at) => {
    for (let index = 0; index < name.length; index++) bytes[at * ifname.bytes + index] = name.charCodeAt(index);
  });
  return bytes;
};

const element = (
  w: MessageWriter,
  operation: number,
  flags: number,
  [table, set]: readonly [string, string],
  key: readonly string[],
  comment: string,
): void => {
  message(w, operation, flags);
  w.text(1, table);
  w.text(2, set);
  w.openNest(3);
  w.openNest(1);
  value(w, 1, keyBytes(key));
  if (comment !== '') w.data(6, commentBytes(comment));
  w.closeNest();
  w.closeNest();
  w.end();
};

export const newElement = (
  w: MessageWriter,
  table: string,
  set: string,
  key: readonly string[],
  comment: string,
): void => element(w, NFT.NEWSETELEM, NL.F_CREATE | NL.F_EXCL, [table, set], key, comment);

export const delElement = (w: MessageWriter, table: string, set: string, key: readonly string[]): void =>
  element(w, NFT.DELSETELEM, 0, [table, set], key, '');

export const dumpElements = (w: MessageWriter, table: string, set: string): void => {
  message(w.reset(), NFT.GETSETELEM, NL.F_DUMP);
  w.text(1, table);
  w.text(2, set);
  w.end();
};

export interface ElementRecord {
  readonly key: readonly string[];
  readonly comment: string;
}

/** The elements of one message of a dump: ELEMENTS { LIST_ELEM { KEY { VALUE }, USERDATA } }. */
export const decodeElements = (reader: MessageReader, { start, end }: Message): readonly ElementRecord[] => {
  const records: ElementRecord[] = [];
  const one = (from: number, to: number): void => {
    const key: string[] = [];
    let comment = '';
    reader.attributes(from, to, (type, at, until) => {
      if (type === 6) comment = readComment(reader, at, until);
      if (type !== 1) return;
      reader.attributes(at, until, (_, first, last) => {
        for (let name = first; name + ifname.bytes <= last; name += ifname.bytes) {
          key.push(reader.text(name, name + ifname.bytes));
        }
      });
    });
    records.push({ key, comment });
  };
  reader.attributes(start + 4, end, (type, from, to) => {
    if (type === 3) reader.attributes(from, to, (_, at, until) => one(at, until));
  });
  return records;
};
