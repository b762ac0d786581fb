/** Brings new interfaces inside a namespace into use: inner ends of veth pairs, and devices without a host end. */
import type { Cidr, Veth } from '../objects.ts';
import { expectNone } from './failure.ts';
import type { Host } from './host.ts';
import { addressEntry } from './inside.ts';
import type { NetlinkSocket } from './netlink.ts';
import { newAddress, prepareLink, setLink } from './rtnetlink.ts';
import { type Birth, hasSettings, writeBirth } from './sysctl.ts';

export interface Inner {
  /** Inside the namespace. */
  readonly index: number;
  readonly name: string;
  readonly birth: Birth;
  readonly addresses: readonly Cidr[];
  /** With its tag, where the interface itself carries it: a veth pair's is at its host end. */
  readonly alias?: string;
  /** Where the one that it was made with is not the one that it is to have. */
  readonly mac?: Uint8Array;
  readonly mtu?: number;
}

/** The inner end of a pair. */
export const innerOf = (index: number, { peer, birth }: Veth): Inner => ({
  index,
  name: peer.name,
  birth,
  addresses: peer.addresses,
});

/** What generates link-local addresses: nothing, unless somebody asked for it. */
export const isQuiet = (host: Host, { sysctls }: Birth): boolean =>
  host.ipv6 && !Object.keys(sysctls).includes('net.ipv6.conf.IFNAME.addr_gen_mode');

/**
 * Settings of the interfaces while they are down. They are written as files, which only a thread inside can do: `enter` takes it there,
 * and is called only when there are any.
 */
const giveSettings = (host: Host, socket: NetlinkSocket, inner: readonly Inner[], enter: () => void): void => {
  if (!inner.some(({ birth }) => hasSettings(birth))) return;
  if (host.writer.count > 0) expectNone(socket.request(host.writer));
  host.writer.reset();
  enter();
  for (const { name, birth } of inner) writeBirth(name, birth);
};

/** Leaves messages in the host's writer that bring interfaces up with their addresses, to be sent to the socket. */
export const encodeInner = (host: Host, socket: NetlinkSocket, inner: readonly Inner[], enter: () => void): void => {
  const writer = host.writer.reset();
  for (const { index, birth, alias } of inner) {
    prepareLink(writer, index, { quiet: isQuiet(host, birth), ...(alias !== undefined && { alias }) });
  }
  giveSettings(host, socket, inner, enter);
  for (const { index, addresses, mac, mtu } of inner) {
    if (mac !== undefined) setLink(writer, index, { mac });
    if (mtu !== undefined) setLink(writer, index, { mtu });
    setLink(writer, index, { up: true });
    for (const cidr of addresses) newAddress(writer, addressEntry(index, cidr));
  }
};
