/** Our one nftables table: made or adopted by one socket, which owns it, so that nobody else can change it. */
import { type Element, type ElementSet, elementSets, formatTag, objectKey, parseTag, type Tag } from '../objects.ts';
import { NFT, NL } from './constants.ts';
import { expectNone, foreign, KernelFailure, ownership } from './failure.ts';
import { decodeFields, encodeFields } from './fields.ts';
import { SystemError } from './libc.ts';
import { NetlinkSocket, type Refusal } from './netlink.ts';
import {
  beginBatch,
  decodeElements,
  decodeRulePlace,
  decodeTable,
  delElements,
  delTable,
  dumpElements,
  dumpRules,
  type ElementRecord,
  endBatch,
  getTable,
  newElements,
  newTable,
  type TableRecord,
} from './nftables.ts';
import { encodeRuleset, type Rule, rules, setNames, tableName, versionOf } from './ruleset.ts';
import { MessageWriter } from './writer.ts';

/** An element to be there, or not; one that is there has to carry one of the tags. */
export interface ElementChange {
  readonly element: Element;
  readonly wanted: boolean;
  readonly tags: readonly Tag[];
}

/** Elements that were exchanged for others in one transaction. */
export interface Exchange {
  readonly removed: readonly Element[];
  readonly added: readonly Element[];
}

/** An element as the kernel has it: `label` is its comment. */
interface Held {
  readonly element: Element;
  readonly label: string;
}

/** Some 120 bytes an element: room for ten thousand of them, and more is made where a transaction needs it. */
const writerBytes = 4 << 20;
const elementBytesMax = 256;

/** linux/netfilter/nf_tables.h: its rules are there, and see no packet. */
const TABLE_DORMANT = 1;

/** The best ownership that a kernel knows: PERSIST came with Linux 6.9, OWNER with 5.12. */
const flagChoices: readonly number[] = [NFT.TABLE_OWNER | NFT.TABLE_PERSIST, 0];

const keyOf = ({ set, key }: Element): Uint8Array => encodeFields(elementSets[set].key, key);

const recordOf = ({ element, label }: Held): ElementRecord => ({
  key: keyOf(element),
  data: encodeFields(elementSets[element.set].data, element.data),
  comment: label,
});

/** Null for one that another version of us has made, and that fits none of our sets. */
const heldOf = (set: ElementSet, { key, data, comment }: ElementRecord): Held | null => {
  const shape = elementSets[set];
  const [texts, target] = [decodeFields(shape.key, key), decodeFields(shape.data, data)];
  if (texts === null || target === null) return null;
  const tag = parseTag(comment) ?? { realm: '', host: '', entity: 'network', id: '' };
  return { element: { kind: 'element', set, key: texts, data: target, tag }, label: comment };
};

/** What changes at a key; null: nothing is there. */
interface Difference {
  readonly key: string;
  readonly from: Held | null;
  readonly to: Held | null;
}

const isSame = (a: Held | null, b: Held | null): boolean =>
  a === b || (a !== null && b !== null && a.label === b.label && a.element.data.join() === b.element.data.join());

const present = <T>(value: T | null): value is T => value !== null;

const bySet = <T>(elements: readonly T[], setOf: (element: T) => ElementSet): ReadonlyMap<ElementSet, readonly T[]> =>
  Map.groupBy(elements, setOf);

export class Table {
  readonly name: string;
  readonly #realm: string;
  readonly #host: string;
  readonly #rules: readonly Rule[];
  readonly #socket: NetlinkSocket;
  #writer = new MessageWriter(writerBytes);
  /** Every element; exact, since only our socket can change the table. */
  #held = new Map<string, Held>();
  #exchanges: Exchange[] = [];
  #ready = false;

  /** Whether nobody else can change it. */
  #isOwned = false;
  /** Handles of the rules as they were made, where others can change them. */
  #handles: readonly string[] = [];
  readonly #flagChoices: readonly number[];

  /** @param owned false: as on a kernel that knows no owners */
  constructor(realm: string, host: string, chosen: readonly Rule[] = rules, owned = true) {
    this.#flagChoices = owned ? flagChoices : [0];
    this.#realm = realm;
    this.#host = host;
    this.#rules = chosen;
    this.name = tableName(realm, host);
    this.#socket = new NetlinkSocket(NL.NETFILTER).widen();
  }

  #commit(elements: number, encode: (w: MessageWriter) => void): readonly Refusal[] {
    const bytes = writerBytes + elements * elementBytesMax;
    if (elements > writerBytes / elementBytesMax / 2 && this.#writer.capacity < bytes) {
      this.#writer = new MessageWriter(bytes);
    }
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

  get #comment(): { readonly owner: string; readonly version: string } {
    const owner = `cnm:${this.#realm}:${this.#host}:rules:`;
    return { owner, version: owner + versionOf(this.#rules) };
  }

  /** Makes the table, takes over the one that an earlier process left, or replaces the rules of another version. Idempotent. */
  prepare(): void {
    if (this.#ready) return;
    const found = this.#find();
    if (found === null) {
      this.#make([], false);
      this.#held = new Map();
    } else {
      const { owner, version } = this.#comment;
      if (!found.comment.startsWith(owner)) throw foreign('nftables table', `inet ${this.name}`, found.comment);
      this.#adopt(found);
      this.#held = new Map(this.#dump().map((held) => [objectKey(held.element), held]));
      // What others could change while nobody watched may be anything.
      if (found.comment !== version || !this.#isOwned) this.#make([...this.#held.values()], true);
    }
    this.#ready = true;
  }

  /** Becomes the owner of a table whose owner is gone. */
  #adopt(found: TableRecord): void {
    if ((found.flags & (NFT.TABLE_OWNER | NFT.TABLE_PERSIST)) === 0) return;
    this.#isOwned = true;
    const flags = NFT.TABLE_OWNER | NFT.TABLE_PERSIST;
    const [refusal] = this.#commit(0, (w) => newTable(w, this.name, flags, null));
    if (refusal === undefined) return;
    throw new KernelFailure('KERNEL_ERROR', `table inet ${this.name} is held by another process`, refusal.errno);
  }

  /** One transaction: the table with its rules and elements, instead of the one that is there if `replace`. */
  #make(elements: readonly Held[], replace: boolean): void {
    for (const flags of this.#flagChoices) {
      const refusals = this.#commit(elements.length, (w) => {
        if (replace) delTable(w, this.name);
        newTable(w, this.name, flags, this.#comment.version);
        encodeRuleset(w, this.name, this.#rules);
        this.#encodeNew(w, elements);
      });
      if (refusals.length === 0) {
        this.#isOwned = flags !== 0;
        this.#handles = this.#isOwned ? [] : this.#listRules();
        return;
      }
      if (flags === 0 || refusals[0]?.errno !== 'EOPNOTSUPP') expectNone(refusals);
    }
  }

  #encodeNew(w: MessageWriter, elements: readonly Held[]): void {
    for (const [set, held] of bySet(elements, ({ element }) => element.set)) {
      newElements(w, this.name, set, held.map(recordOf));
    }
  }

  /** The elements, read from the kernel. */
  #dump(): readonly Held[] {
    return setNames.flatMap((set) => {
      dumpElements(this.#writer, this.name, set);
      try {
        return this.#socket.dump(this.#writer, () => {
          const result: Held[] = [];
          return {
            result,
            visit: (reader, message) => {
              result.push(...decodeElements(reader, message).flatMap((record) => heldOf(set, record) ?? []));
            },
          };
        });
      } catch (error) {
        // A table of another version may lack the set.
        if (error instanceof SystemError && error.code === 'ENOENT') return [];
        throw error;
      }
    });
  }

  /** Names and places of the rules; a rule that is changed gets another handle. */
  #listRules(): readonly string[] {
    dumpRules(this.#writer, this.name);
    return this.#socket
      .dump(this.#writer, () => {
        const result: string[] = [];
        return { result, visit: (reader, message) => result.push(decodeRulePlace(reader, message)) };
      })
      .sort();
  }

  /** What is to be seen of what others have done to it; null where it is as it was made. */
  #damage(): string | null {
    const found = this.#find();
    if (found === null) return 'gone';
    const { version } = this.#comment;
    if (found.comment !== version) return 'another one';
    if ((found.flags & TABLE_DORMANT) !== 0) return 'dormant';
    const [now, before] = [this.#listRules(), this.#handles];
    return now.length === before.length && now.every((rule, at) => rule === before[at]) ? null : 'other rules';
  }

  /**
   * Makes the table as it was, if others have changed anything but its elements. Only where they can.
   * @returns what they had done to it; null: nothing
   */
  mend(): string | null {
    this.prepare();
    if (this.#isOwned) return null;
    const damage = this.#damage();
    if (damage === null) return null;
    if (damage === 'another one') throw foreign('nftables table', `inet ${this.name}`, '');
    this.#make([...this.#held.values()], damage !== 'gone');
    return damage;
  }

  /** The elements as they are in the kernel, for a census. */
  elements(): readonly Element[] {
    this.prepare();
    const found = this.#dump();
    if (!this.#isOwned) this.#held = new Map(found.map((held) => [objectKey(held.element), held]));
    return found.map((held) => held.element);
  }

  /** Names the socket by which it is changed. */
  get port(): number {
    return this.#socket.port;
  }

  /** The element with this key that is in the table, without a look at the kernel. */
  find(set: ElementSet, key: readonly string[]): Element | null {
    return this.#held.get(`element ${set} ${key.join(' . ')}`)?.element ?? null;
  }

  /** All elements, without a look at the kernel. */
  held(): readonly Element[] {
    return Array.from(this.#held.values(), ({ element }) => element);
  }

  /** What changes, by key: what is there, and what is wanted (null: nothing). Those that stay as they are, are left out. */
  #compare(changes: readonly ElementChange[]): readonly Difference[] {
    const after = new Map<string, Held | null>();
    for (const { element, wanted, tags } of changes) {
      const key = objectKey(element);
      const current = after.has(key) ? after.get(key) : this.#held.get(key);
      const owner = current && ownership(current.label, tags);
      if (owner === 'foreign' || (owner === 'other' && wanted)) throw foreign('nft element', key, current?.label ?? '');
      if (wanted) after.set(key, { element, label: formatTag(element.tag) });
      else if (owner === 'own') after.set(key, null);
    }
    return [...after]
      .map(([key, to]) => ({ key, from: this.#held.get(key) ?? null, to }))
      .filter(({ from, to }) => !isSame(from, to));
  }

  /**
   * Makes all the changes in one transaction. `check` sees the elements whose keys are new, before anything is done, and may throw;
   * `begin` is told how to take them back, before they are made: whether they were may be known to nobody afterwards.
   */
  change(
    changes: readonly ElementChange[],
    check: (added: readonly Element[]) => void,
    begin: (takeBack: () => void) => void,
  ): void {
    this.prepare();
    const differences = this.#compare(changes);
    check(differences.flatMap(({ from, to }) => (from === null && to !== null ? [to.element] : [])));
    begin(() => this.#restore(differences));
    this.#exchange(differences);
  }

  /** Makes elements be as they were. */
  #restore(differences: readonly Difference[]): void {
    this.prepare();
    const back = differences.map(({ key, from }) => ({ key, from: this.#held.get(key) ?? null, to: from }));
    this.#exchange(back.filter(({ from, to }) => !isSame(from, to)));
  }

  /** As `#commit`. What is there has to be read anew when nobody answers. */
  #commitKnown(elements: number, encode: (w: MessageWriter) => void): readonly Refusal[] {
    this.#ready = false;
    const refusals = this.#commit(elements, encode);
    this.#ready = true;
    return refusals;
  }

  #exchange(differences: readonly Difference[]): void {
    const removed = differences.map(({ from }) => from).filter(present);
    const added = differences.map(({ to }) => to).filter(present);
    if (removed.length + added.length === 0) return;
    const refusals = this.#commitKnown(removed.length + added.length, (w) => {
      for (const [set, held] of bySet(removed, ({ element }) => element.set)) {
        delElements(
          w,
          this.name,
          set,
          held.map(({ element }) => keyOf(element)),
        );
      }
      this.#encodeNew(w, added);
    });
    expectNone(refusals);
    for (const { element } of removed) this.#held.delete(objectKey(element));
    for (const held of added) this.#held.set(objectKey(held.element), held);
    const elementOf = ({ element }: Held): Element => element;
    this.#exchanges.push({ removed: removed.map(elementOf), added: added.map(elementOf) });
  }

  /** What was exchanged since this was last asked. */
  takeExchanges(): readonly Exchange[] {
    return this.#exchanges.splice(0);
  }

  close(): void {
    this.#socket.close();
  }
}
