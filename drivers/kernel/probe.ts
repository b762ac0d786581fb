/** Finds out what this kernel lets us do, by doing it: once, in a namespace that is thrown away. */
import type { KernelFacts } from '../port.ts';
import { NL } from './constants.ts';
import { goHome, type Host } from './host.ts';
import { addressEntry } from './inside.ts';
import { SystemError } from './libc.ts';
import { NetlinkSocket } from './netlink.ts';
import { beginBatch, endBatch, newTable } from './nftables.ts';
import { newAddress, newBridge, newVeth, setLink } from './rtnetlink.ts';
import { encodeRuleset } from './ruleset.ts';
import { leave } from './spare.ts';

type Capabilities = KernelFacts['capabilities'];

const nothing: Capabilities = {
  netAdmin: false,
  sysAdmin: false,
  bridge: false,
  veth: false,
  nftables: false,
  netns: false,
  ipv6: false,
};

/** Whether a system call went through; other failures are bugs. */
const works = (call: () => boolean): boolean => {
  try {
    return call();
  } catch (error) {
    if (error instanceof SystemError) return false;
    throw error;
  }
};

const withSocket = (protocol: number, use: (socket: NetlinkSocket) => boolean): boolean =>
  works(() => {
    const socket = new NetlinkSocket(protocol);
    try {
      return use(socket);
    } finally {
      socket.close();
    }
  });

/** Whether the kernel takes a message. */
const takes = (host: Host, encode: (w: Host['writer']) => void): boolean =>
  withSocket(NL.ROUTE, (socket) => {
    encode(host.writer.reset());
    return socket.request(host.writer).length === 0;
  });

const probeNftables = (host: Host): boolean =>
  withSocket(NL.NETFILTER, (socket) => {
    const first = beginBatch(host.writer);
    newTable(host.writer, 'probe', 0, null);
    encodeRuleset(host.writer, 'probe');
    return socket.requestBatch(host.writer, first, endBatch(host.writer)).length === 0;
  });

const mac = Uint8Array.of(2, 0x42, 0, 0, 0, 1);

export const probe = (host: Host): Capabilities => {
  const entered = works(() => {
    leave(host);
    return true;
  });
  if (!entered) return nothing;
  try {
    const peer = { index: 0, name: 'probe1', mac };
    return {
      // A namespace takes CAP_SYS_ADMIN to make, its links CAP_NET_ADMIN to change.
      netns: true,
      sysAdmin: true,
      netAdmin: takes(host, (w) => setLink(w, 1, { up: true })),
      bridge: takes(host, (w) => newBridge(w, { index: 10, name: 'probe', mac, mtu: 1500 })),
      veth: takes(host, (w) => newVeth(w, { index: 11, name: 'probe0', mtu: 1500, peer })),
      ipv6: takes(host, (w) => newAddress(w, addressEntry(1, 'fd00::1/128'))),
      nftables: probeNftables(host),
    };
  } finally {
    goHome(host);
  }
};
