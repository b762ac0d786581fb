/** Brings the inner ends of new veth pairs into use. */
import type { Veth } from '../objects.ts';
import { expectNone } from './failure.ts';
import type { Host } from './host.ts';
import { addressEntry } from './inside.ts';
import type { NetlinkSocket } from './netlink.ts';
import { newAddress, prepareLink, setLink } from './rtnetlink.ts';
import { hasSettings, writeBirth } from './sysctl.ts';

export interface Peer {
  /** Inside the namespace. */
  readonly index: number;
  readonly veth: Veth;
}

/** What generates link-local addresses: nothing, unless somebody asked for it. */
export const isQuiet = (host: Host, veth: Veth): boolean =>
  host.ipv6 && !Object.keys(veth.birth.sysctls).includes('net.ipv6.conf.IFNAME.addr_gen_mode');

/**
 * Settings of the peers while they are down. They are written as files, which only a thread inside can do: `enter` takes it there, and is
 * called only when there are any.
 */
const giveSettings = (host: Host, socket: NetlinkSocket, peers: readonly Peer[], enter: () => void): void => {
  if (!peers.some(({ veth }) => hasSettings(veth))) return;
  if (host.writer.count > 0) expectNone(socket.request(host.writer));
  host.writer.reset();
  enter();
  for (const { veth } of peers) writeBirth(veth);
};

/** Leaves messages in the host's writer that bring peers up with their addresses, to be sent to the socket. */
export const encodePeers = (host: Host, socket: NetlinkSocket, peers: readonly Peer[], enter: () => void): void => {
  const writer = host.writer.reset();
  for (const { index, veth } of peers) prepareLink(writer, index, { quiet: isQuiet(host, veth) });
  giveSettings(host, socket, peers, enter);
  for (const { index, veth } of peers) {
    setLink(writer, index, { up: true });
    for (const cidr of veth.peer.addresses) newAddress(writer, addressEntry(index, cidr));
  }
};
