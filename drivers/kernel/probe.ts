/** Finds out what this kernel lets us do, by doing it: once, in a namespace that is thrown away. */
import type { KernelFacts } from '../port.ts';
import { IPVLAN, IPVLAN_FLAG, MACVLAN, NL } from './constants.ts';
import { goHome, type Host } from './host.ts';
import { addressEntry } from './inside.ts';
import { SystemError } from './libc.ts';
import { NetlinkSocket } from './netlink.ts';
import { beginBatch, endBatch, newTable } from './nftables.ts';
import { deleteLink, newAddress, newBridge, newVeth, setLink } from './rtnetlink.ts';
import { encodeRuleset } from './ruleset.ts';
import { leave } from './spare.ts';
import { newSublink } from './sublink.ts';
import { newVxlan } from './vxlan-link.ts';
import type { MessageWriter } from './writer.ts';
import { newState } from './xfrm.ts';

type Capabilities = KernelFacts['capabilities'];

const nothing: Capabilities = {
  netAdmin: false,
  sysAdmin: false,
  bridge: false,
  veth: false,
  nftables: false,
  netns: false,
  ipv6: false,
  vxlan: false,
  macvlan: false,
  ipvlan: false,
  vlan: false,
  esp: false,
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

/** The veth of the namespace, which links are tried on. */
const parent = 11;

type LinkCapability = 'vxlan' | 'macvlan' | 'ipvlan' | 'vlan';

/** Kinds of links that not every kernel has, each in its simplest form. */
const links: readonly { readonly name: LinkCapability; readonly encode: (w: MessageWriter, index: number) => void }[] =
  [
    {
      name: 'vxlan',
      encode: (w, index) =>
        newVxlan(w, { index, name: 'probe2', mtu: 1450, vni: 1, local: Uint8Array.of(127, 0, 0, 1), port: 4789 }),
    },
    {
      name: 'macvlan',
      encode: (w, index) => newSublink(w, { index, name: 'probe2', parent }, { kind: 'macvlan', mode: MACVLAN.bridge }),
    },
    {
      name: 'ipvlan',
      encode: (w, index) =>
        newSublink(
          w,
          { index, name: 'probe2', parent },
          { kind: 'ipvlan', mode: IPVLAN.l2, flags: IPVLAN_FLAG.bridge },
        ),
    },
    {
      name: 'vlan',
      encode: (w, index) => newSublink(w, { index, name: 'probe2', parent }, { kind: 'vlan', id: 1 }),
    },
  ];

/** One after the other, each removed before the next: a macvlan's parent can be no ipvlan's. */
const probeLinks = (host: Host): Record<LinkCapability, boolean> => {
  const found = { vxlan: false, macvlan: false, ipvlan: false, vlan: false };
  links.forEach(({ name, encode }, at) => {
    const index = parent + 1 + at;
    found[name] = takes(host, (w) => encode(w, index));
    if (found[name]) takes(host, (w) => deleteLink(w, index));
  });
  return found;
};

const addressOf = (last: number): Uint8Array => Uint8Array.of(192, 0, 2, last);

const probeEsp = (host: Host): boolean =>
  withSocket(NL.XFRM, (socket) => {
    newState(host.writer.reset(), {
      source: addressOf(1),
      destination: addressOf(2),
      spi: 256,
      reqid: 1,
      key: new Uint8Array(36),
    });
    return socket.request(host.writer).length === 0;
  });

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
      veth: takes(host, (w) => newVeth(w, { index: parent, name: 'probe0', mtu: 1500, peer })),
      ipv6: takes(host, (w) => newAddress(w, addressEntry(1, 'fd00::1/128'))),
      nftables: probeNftables(host),
      ...probeLinks(host),
      esp: probeEsp(host),
    };
  } finally {
    goHome(host);
  }
};
