/**
 * Tells the neighbours of a new interface which hardware address it has: those who knew its address at another one would
 * send into the void for 35 seconds (kernel.md, section 5). A frame out of a bridge goes to all of its ports, so only those addresses are
 * announced that may have been somebody else's.
 */
import type { Veth } from '../objects.ts';
import { formatMac, parseCidr, parseMac } from './address.ts';
import { AF, SOCK } from './constants.ts';
import { close, sendto, socket } from './libc.ts';

export interface Announcement {
  readonly bridge: string;
  readonly mac: Uint8Array;
  readonly addresses: readonly Uint8Array[];
}

export const announcementOf = ({ bridge, peer }: Veth): Announcement => ({
  bridge,
  mac: parseMac(peer.mac),
  addresses: peer.addresses.map((cidr) => parseCidr(cidr).address),
});

const etherType = { arp: [0x08, 0x06], ipv6: [0x86, 0xdd] } as const;

/** A gratuitous request (RFC 5227): it corrects the caches that hold an entry, and makes none. */
const arpFrame = (mac: Uint8Array, address: Uint8Array): Uint8Array =>
  Uint8Array.of(
    ...[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, ...mac, ...etherType.arp],
    // Ethernet, IPv4, lengths of their addresses, request.
    ...[0, 1, 0x08, 0, 6, 4, 0, 1],
    ...[...mac, ...address, 0, 0, 0, 0, 0, 0, ...address],
  );

/** The internet checksum (RFC 1071) of an even number of bytes. */
const checksum = (bytes: Uint8Array): number => {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
};

const [icmpv6, hopLimit] = [58, 255];

/** All nodes of a link, and the hardware address that goes with it. */
const allNodes = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
const allNodesMac = [0x33, 0x33, 0, 0, 0, 1] as const;

/** An unsolicited neighbour advertisement that overrides (RFC 4861, 7.2.6). */
const neighbourFrame = (mac: Uint8Array, address: Uint8Array): Uint8Array => {
  // Type 136; the flag to override; the target, and its hardware address as option 2 of 8 bytes.
  const message = Uint8Array.of(136, 0, 0, 0, 0x20, 0, 0, 0, ...address, 2, 1, ...mac);
  const pseudo = Uint8Array.of(...address, ...allNodes, 0, 0, 0, message.length, 0, 0, 0, icmpv6);
  const sum = checksum(Uint8Array.of(...pseudo, ...message));
  message.set([sum >> 8, sum & 255], 2);
  return Uint8Array.of(
    ...[...allNodesMac, ...mac, ...etherType.ipv6],
    ...[0x60, 0, 0, 0, 0, message.length, icmpv6, hopLimit, ...address, ...allNodes, ...message],
  );
};

export const frameOf = (mac: Uint8Array, address: Uint8Array): Uint8Array =>
  address.length === 4 ? arpFrame(mac, address) : neighbourFrame(mac, address);

/** struct sockaddr_ll: family u16, protocol be16, index i32, hardware type u16, packet type u8, length u8, address of 8 bytes. */
const linkAddress = (index: number): Uint8Array => {
  const bytes = new Uint8Array(20);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF.PACKET, true);
  view.setInt32(4, index, true);
  return bytes;
};

/** Who had which address on a bridge. */
interface Past {
  /** Known since the bridge was made: an address that is not in it was nobody's. */
  readonly complete: boolean;
  readonly macs: Map<string, string>;
}

/** More addresses of one bridge are not kept in mind. */
const addressesMax = 65_536;

export class Announcer {
  readonly #pasts = new Map<string, Past>();
  /** A packet socket of the host's namespace, once it was needed: closing one takes the kernel 7 ms. -1: not permitted. */
  #socket: number | null = null;

  /** A bridge is made: nobody was on it before. */
  begin(bridge: string): void {
    this.#pasts.set(bridge, { complete: true, macs: new Map() });
  }

  /** A bridge is removed. */
  forget(bridge: string): void {
    this.#pasts.delete(bridge);
  }

  /** Those of the addresses that a neighbour may know at another hardware address; from now on at this one. */
  stale({ bridge, mac, addresses }: Announcement): readonly Uint8Array[] {
    const text = formatMac(mac);
    let past = this.#pasts.get(bridge);
    if (past === undefined || past.macs.size > addressesMax) {
      past = { complete: false, macs: new Map() };
      this.#pasts.set(bridge, past);
    }
    const { complete, macs } = past;
    return addresses.filter((address) => {
      const key = address.join('.');
      const before = macs.get(key) ?? (complete ? text : '');
      macs.set(key, text);
      return before !== text;
    });
  }

  /** Sends a frame out of a bridge; the thread stands in the host's namespace. That one is down or gone is no matter: nobody is there to be told. */
  send(bridge: number, frame: Uint8Array): void {
    // Protocol 0: it receives nothing.
    this.#socket ??= socket(AF.PACKET, SOCK.RAW | SOCK.CLOEXEC, 0);
    // Without CAP_NET_RAW, neighbours find out by themselves.
    if (this.#socket < 0) return;
    const address = linkAddress(bridge);
    sendto(this.#socket, frame, frame.length, 0, address, address.length);
  }

  close(): void {
    if (this.#socket !== null && this.#socket >= 0) close(this.#socket);
    this.#socket = null;
  }
}
