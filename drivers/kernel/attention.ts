/**
 * What of all that is heard may be a change of ours by somebody else: something that was there is gone, or what was up is down. What we make
 * ourselves comes up and stays, and what we remove is marked as dead first, so of our own doing next to nothing is left here; and whoever is
 * told only looks.
 */
import { parseTag, type Tag } from '../objects.ts';
import type { Notice } from '../port.ts';
import { commandOf } from './command-name.ts';
import { IFLA, NFT, RT, RTM } from './constants.ts';
import type { Message, MessageReader } from './reader.ts';
import { decodeLink, type LinkRecord } from './records.ts';
import { entityOf } from './route.ts';
import { isDead } from './transaction.ts';

interface Own {
  readonly link: LinkRecord;
  readonly tag: Tag;
  /** Of the namespace that its other end is in. */
  readonly namespace: number | null;
}

/** An interface inside a namespace that leads to one of ours. */
type Inner = Pick<LinkRecord, 'up' | 'mtu' | 'name'> & { readonly mac: string; readonly tag: Tag | null };

/** Of the sender of a message, struct nlmsghdr: port u32 at 12, before the payload. */
const senderOf = (reader: MessageReader, { start }: Message): number => reader.u32(start - 4);

/** The first socket of a process has the process id for its port (netlink_autobind); the kernel itself has 0. */
const suspectOf = (port: number): string => {
  if (port === 0 || port === process.pid) return '';
  const command = port > 0x7fffffff ? '' : commandOf(port);
  return `netlink port ${port}${command === '' ? '' : ` (${command})`}`;
};

const macText = (mac: Uint8Array): string => Buffer.from(mac).toString('hex');

export const namespaceOf = (reader: MessageReader, { start, end }: Message): number | null => {
  let found: number | null = null;
  reader.attributes(start + 16, end, (type, from, to) => {
    if (type === IFLA.LINK_NETNSID && to - from === 4) found = reader.i32(from);
  });
  return found;
};

const isWorse = (before: LinkRecord, after: LinkRecord): boolean =>
  (before.up && !after.up) ||
  (before.master !== 0 && before.master !== after.master) ||
  (before.routeLocalnet && !after.routeLocalnet) ||
  (before.forwarding && !after.forwarding) ||
  before.mtu !== after.mtu ||
  before.name !== after.name ||
  macText(before.mac) !== macText(after.mac);

/** One that is only brought up may get another name, size and address on the way. */
const isInnerWorse = (before: Inner, after: LinkRecord): boolean =>
  before.up &&
  (!after.up || before.mtu !== after.mtu || before.name !== after.name || before.mac !== macText(after.mac));

export interface AttentionOptions {
  readonly realm: string;
  readonly host: string;
  /** Name of our table of the packet filter. */
  readonly table: string;
  /** Port of the socket that changes it; 0 before it is known. */
  readonly tablePort: () => number;
}

export class Attention {
  readonly #options: AttentionOptions;
  /** Links of ours in the host's namespace, by index. */
  readonly #own = new Map<number, Own>();
  /** Which endpoints' interfaces are in a namespace, by its number. */
  readonly #inmates = new Map<number, Set<string>>();
  readonly #inner = new Map<string, Inner>();
  /** Namespaces that were there before anybody listened: how what is in them was, nobody knows. */
  #unseen: ReadonlySet<number> = new Set();
  #notices = new Map<string, Notice>();
  /** Whether our table was changed in the transaction that is being told of. */
  #isTableTouched = false;

  constructor(options: AttentionOptions) {
    this.#options = options;
  }

  /** What is there when it begins, or after some was not heard. */
  begin(links: readonly { readonly link: LinkRecord; readonly namespace: number | null }[]): void {
    this.#own.clear();
    this.#inmates.clear();
    this.#inner.clear();
    for (const { link, namespace } of links) this.#learn(link, namespace);
    this.#unseen = new Set(this.#inmates.keys());
  }

  /** What to look at, since this was last asked. */
  take(): readonly Notice[] {
    const notices = [...this.#notices.values()];
    this.#notices = new Map();
    return notices;
  }

  lost(): void {
    this.#note({ of: 'everything', id: '', suspect: '' });
  }

  /** A message of rtnetlink. @param namespace where it happened; null for the host's own */
  route(reader: MessageReader, message: Message, namespace: number | null): void {
    switch (message.type) {
      case RTM.NEWLINK:
      case RTM.DELLINK:
        if (namespace === null) this.#hostLink(reader, message);
        else this.#innerLink(reader, message, namespace);
        return;
      case RTM.DELADDR: {
        // struct ifaddrmsg: index at 4.
        const suspect = suspectOf(senderOf(reader, message));
        const index = reader.u32(message.start + 4);
        const inner = namespace === null ? undefined : this.#inner.get(`${namespace} ${index}`);
        if (namespace === null) this.#noteOwn(index, suspect);
        else if (inner?.tag) this.#noteTag(inner.tag, suspect);
        else this.#noteInside(namespace, suspect);
        return;
      }
      case RTM.DELROUTE:
        this.#route(reader, message, namespace);
        return;
      default:
    }
  }

  /** A message of nf_tables. Those of one transaction are followed by NEWGEN, which says whose it was. */
  filter(reader: MessageReader, message: Message, namespace: number | null): void {
    const kind = message.type & 0xff;
    if (message.type >> 8 !== NFT.SUBSYSTEM) return;
    if (namespace !== null) {
      // In sandboxes is nothing of ours but the way to the resolver, which is made before the namespace has a number.
      if (kind === NFT.DELTABLE || kind === NFT.DELCHAIN || kind === NFT.DELRULE) this.#noteInside(namespace, '');
      return;
    }
    const sender = senderOf(reader, message);
    if (sender === this.#options.tablePort()) return;
    if (kind !== NFT.NEWGEN) {
      reader.attributes(message.start + 4, message.end, (type, from, to) => {
        if (type === 1 && reader.text(from, to) === this.#options.table) this.#isTableTouched = true;
      });
      return;
    }
    if (!this.#isTableTouched) return;
    this.#isTableTouched = false;
    let [pid, name] = [0, ''];
    reader.attributes(message.start + 4, message.end, (type, from, to) => {
      if (type === 2 && to - from === 4) pid = reader.be32(from);
      else if (type === 3) name = reader.text(from, to);
    });
    this.#note({ of: 'table', id: '', suspect: pid === 0 ? '' : `pid ${pid} (${name})` });
  }

  #hostLink(reader: MessageReader, message: Message): void {
    const link = decodeLink(reader, message);
    if (link === null) return;
    const before = this.#own.get(link.index);
    const suspect = suspectOf(senderOf(reader, message));
    if (message.type === RTM.DELLINK || isDead(this.#options, link)) {
      this.#forget(link.index);
      // What is dead was removed by us.
      if (before && !isDead(this.#options, link)) this.#noteTag(before.tag, suspect);
      return;
    }
    this.#learn(link, namespaceOf(reader, message));
    const after = this.#own.get(link.index);
    if (before && (!after || isWorse(before.link, link))) this.#noteTag(before.tag, suspect);
  }

  #learn(link: LinkRecord, namespace: number | null): void {
    const tag = this.#ownTag(link.alias);
    const known = this.#own.get(link.index);
    // Told of again, for the most part.
    if (known && tag?.id === known.tag.id && known.namespace === namespace) {
      this.#own.set(link.index, { ...known, link });
      return;
    }
    this.#forget(link.index);
    if (tag === null) return;
    this.#own.set(link.index, { link, tag, namespace });
    if (tag.entity !== 'endpoint' || namespace === null || namespace < 0) return;
    const inmates = this.#inmates.get(namespace);
    if (inmates) inmates.add(tag.id);
    else this.#inmates.set(namespace, new Set([tag.id]));
  }

  #forget(index: number): void {
    const own = this.#own.get(index);
    this.#own.delete(index);
    if (!own || own.namespace === null) return;
    const inmates = this.#inmates.get(own.namespace);
    inmates?.delete(own.tag.id);
    if (inmates?.size !== 0) return;
    this.#inmates.delete(own.namespace);
    for (const key of this.#inner.keys()) if (key.startsWith(`${own.namespace} `)) this.#inner.delete(key);
  }

  #innerLink(reader: MessageReader, message: Message, namespace: number): void {
    const link = decodeLink(reader, message);
    if (link === null || link.loopback) return;
    const key = `${namespace} ${link.index}`;
    const before = this.#inner.get(key);
    const tag = this.#ownTag(link.alias);
    const isGone = message.type === RTM.DELLINK;
    if (isGone || isDead(this.#options, link)) this.#inner.delete(key);
    else if (tag || this.#inmates.has(namespace))
      this.#inner.set(key, { up: link.up, mtu: link.mtu, name: link.name, mac: macText(link.mac), tag });
    if (isDead(this.#options, link)) return;
    const isBad = before ? isGone || isInnerWorse(before, link) : this.#unseen.has(namespace) && (isGone || !link.up);
    if (!isBad) return;
    const suspect = suspectOf(senderOf(reader, message));
    const owner = tag ?? before?.tag;
    if (owner) this.#noteTag(owner, suspect);
    else this.#noteInside(namespace, suspect);
  }

  #ownTag(alias: string): Tag | null {
    const tag = parseTag(alias);
    return tag && tag.realm === this.#options.realm && tag.host === this.#options.host ? tag : null;
  }

  /** struct rtmsg: protocol at 5. Ours inside and those that come with addresses, and of the host those that lead over our links. */
  #route(reader: MessageReader, message: Message, namespace: number | null): void {
    const suspect = suspectOf(senderOf(reader, message));
    if (namespace !== null) {
      const protocol = reader.u8(message.start + 5);
      if (protocol === RT.PROTOCOL_KERNEL || entityOf(protocol) !== undefined) this.#noteInside(namespace, suspect);
      return;
    }
    reader.attributes(message.start + 12, message.end, (type, from, to) => {
      if (type === RT.OIF && to - from === 4) this.#noteOwn(reader.u32(from), suspect);
    });
  }

  #noteOwn(index: number, suspect: string): void {
    const own = this.#own.get(index);
    if (own) this.#noteTag(own.tag, suspect);
  }

  #noteInside(namespace: number, suspect: string): void {
    for (const id of this.#inmates.get(namespace) ?? []) this.#note({ of: 'endpoint', id, suspect });
  }

  #noteTag({ entity, id }: Tag, suspect: string): void {
    this.#note({ of: entity, id, suspect });
  }

  #note(notice: Notice): void {
    const key = `${notice.of} ${notice.id}`;
    const known = this.#notices.get(key);
    this.#notices.set(key, known && notice.suspect === '' ? known : notice);
  }
}
