/** Our one nftables table: made or adopted by one socket, which owns it, so that nobody else can change it. */
import { type Element, formatTag, objectKey, parseTag, type Tag } from '../objects.ts';
import { NFT, NL } from './constants.ts';
import { expectNone, foreign, KernelFailure, ownership } from './failure.ts';
import { NetlinkSocket, type Refusal } from './netlink.ts';
import {
  beginBatch,
  decodeElements,
  decodeTable,
  delElement,
  delTable,
  dumpElements,
  endBatch,
  getTable,
  ifname,
  newElement,
  newTable,
  type TableRecord,
} from './nftables.ts';
import { encodeRuleset, setNames, tableName, version } from './ruleset.ts';
import { MessageWriter } from './writer.ts';

/** An element to be there, or not; one that is there has to carry one of the tags. */
export interface ElementChange {
  readonly element: Element;
  readonly wanted: boolean;
  readonly tags: readonly Tag[];
}

/** An element as the kernel has it: `label` is its comment. */
interface Held {
  readonly element: Element;
  readonly label: string;
}

/** 100 bytes an element: room for the elements of some ten thousand networks in one transaction. */
const writerBytes = 4 << 20;

/** The best ownership that a kernel knows: PERSIST came with Linux 6.9, OWNER with 5.12. */
const flagChoices: readonly number[] = [NFT.TABLE_OWNER | NFT.TABLE_PERSIST, 0];

/** A longer name would run into the next one. */
const checkKey = ({ key }: Element): void => {
  const bad = key.find((name) => name === '' || name.length >= ifname.bytes);
  if (bad !== undefined) throw new KernelFailure('KERNEL_ERROR', `'${bad}' is no name of an interface`, 'EINVAL');
};

export class Table {
  readonly name: string;
  readonly #realm: string;
  readonly #host: string;
  readonly #socket: NetlinkSocket;
  readonly #writer = new MessageWriter(writerBytes);
  /** Every element; exact, since only our socket can change the table. */
  #held = new Map<string, Held>();
  #ready = false;

  constructor(realm: string, host: string) {
    this.#realm = realm;
    this.#host = host;
    this.name = tableName(realm, host);
    this.#socket = new NetlinkSocket(NL.NETFILTER).widen();
  }

  #commit(encode: (w: MessageWriter) => void): readonly Refusal[] {
    const first = beginBatch(this.#writer);
    encode(this.#writer);
    const last = endBatch(this.#writer);
    return this.#socket.requestBatch(this.#writer, first, last);
  }

  /** The table of our name, whosesoever it is. */
  #find(): TableRecord | null {
    getTable(this.#writer.reset(), this.name);
    let found: TableRecord | null = null;
    const refusals = this.#socket.request(this.#writer, (reader, message) => {
      found = decodeTable(reader, message);
    });
    expectNone(refusals.filter((refusal) => refusal.errno !== 'ENOENT'));
    return found;
  }

  get #owner(): string {
    return `cnm:${this.#realm}:${this.#host}:rules:`;
  }

  /** Makes the table, takes over the one that an earlier process left, or replaces the rules of another version. Idempotent. */
  prepare(): void {
    if (this.#ready) return;
    const found = this.#find();
    if (found === null) {
      this.#make([], false);
      this.#held = new Map();
    } else {
      if (!found.comment.startsWith(this.#owner)) throw foreign('nftables table', `inet ${this.name}`, found.comment);
      this.#adopt(found);
      this.#held = new Map(this.#dump().map((held) => [objectKey(held.element), held]));
      if (found.comment !== this.#owner + version) this.#make([...this.#held.values()], true);
    }
    this.#ready = true;
  }

  /** Becomes the owner of a table whose owner is gone. */
  #adopt(found: TableRecord): void {
    if ((found.flags & (NFT.TABLE_OWNER | NFT.TABLE_PERSIST)) === 0) return;
    const flags = NFT.TABLE_OWNER | NFT.TABLE_PERSIST;
    const [refusal] = this.#commit((w) => newTable(w, this.name, flags, null));
    if (refusal === undefined) return;
    throw new KernelFailure('KERNEL_ERROR', `table inet ${this.name} is held by another process`, refusal.errno);
  }

  /** One transaction: the table with its rules and elements, instead of the one that is there if `replace`. */
  #make(elements: readonly Held[], replace: boolean): void {
    for (const flags of flagChoices) {
      const refusals = this.#commit((w) => {
        if (replace) delTable(w, this.name);
        newTable(w, this.name, flags, this.#owner + version);
        encodeRuleset(w, this.name);
        for (const { element, label } of elements) newElement(w, this.name, element.set, element.key, label);
      });
      if (refusals.length === 0) return;
      if (flags === 0 || refusals[0]?.errno !== 'EOPNOTSUPP') expectNone(refusals);
    }
  }

  /** The elements, read from the kernel. */
  #dump(): readonly Held[] {
    return setNames.flatMap((set) => {
      dumpElements(this.#writer, this.name, set);
      return this.#socket.dump(this.#writer, () => {
        const result: Held[] = [];
        return {
          result,
          visit: (reader, message) => {
            for (const { key, comment } of decodeElements(reader, message)) {
              const tag = parseTag(comment) ?? { realm: '', host: '', entity: 'network', id: '' };
              result.push({ element: { kind: 'element', set, key, tag }, label: comment });
            }
          },
        };
      });
    });
  }

  /** The elements as they are in the kernel, for a census. */
  elements(): readonly Element[] {
    this.prepare();
    return this.#dump().map((held) => held.element);
  }

  /** Makes all the changes in one transaction; answers how to take them back. */
  change(changes: readonly ElementChange[]): () => void {
    this.prepare();
    for (const { element } of changes) checkKey(element);
    const removed: Held[] = [];
    const added: Held[] = [];
    for (const { element, wanted, tags } of changes) {
      const held = this.#held.get(objectKey(element));
      const owner = held && ownership(held.label, tags);
      if (owner === 'foreign' || (owner === 'other' && wanted)) {
        throw foreign('nft element', objectKey(element), held?.label ?? '');
      }
      const label = formatTag(element.tag);
      const replaced = wanted ? held && held.label !== label : owner === 'own';
      if (held && replaced) removed.push(held);
      if (wanted && (!held || replaced)) added.push({ element, label });
    }
    this.#exchange(removed, added);
    return () => this.#exchange(added, removed);
  }

  #exchange(removed: readonly Held[], added: readonly Held[]): void {
    if (removed.length + added.length === 0) return;
    const refusals = this.#commit((w) => {
      for (const { element } of removed) delElement(w, this.name, element.set, element.key);
      for (const { element, label } of added) newElement(w, this.name, element.set, element.key, label);
    });
    expectNone(refusals);
    for (const { element } of removed) this.#held.delete(objectKey(element));
    for (const held of added) this.#held.set(objectKey(held.element), held);
  }

  close(): void {
    this.#socket.close();
  }
}
