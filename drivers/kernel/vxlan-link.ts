/** Encoder of tunnels: RTM_NEWLINK of kind `vxlan` (linux/if_link.h). */
import { IFLA, NL, RTM } from './constants.ts';
import type { MessageWriter } from './writer.ts';

export interface NewVxlan {
  readonly index: number;
  readonly name: string;
  readonly mtu: number;
  readonly vni: number;
  /** IPv4 address of this host. */
  readonly local: Uint8Array;
  readonly port: number;
}

/** Hops that its packets may take. */
const ttl = 64;

/**
 * A tunnel that learns no addresses, leads nowhere that it is not told of, and answers for the neighbours that it is told of (proxy). The
 * rest is what a kernel does by itself.
 */
export const newVxlan = (w: MessageWriter, { index, name, mtu, vni, local, port }: NewVxlan): void => {
  // struct ifinfomsg: index at 4.
  w.poke32(w.begin(RTM.NEWLINK, NL.F_CREATE | NL.F_EXCL, 16) + 4, index);
  w.text(IFLA.IFNAME, name);
  w.u32(IFLA.MTU, mtu);
  w.openNest(IFLA.LINKINFO);
  w.text(IFLA.INFO_KIND, 'vxlan');
  w.openNest(IFLA.INFO_DATA);
  w.u32(IFLA.VXLAN_ID, vni);
  w.data(IFLA.VXLAN_LOCAL, local);
  w.u8(IFLA.VXLAN_TTL, ttl);
  w.u8(IFLA.VXLAN_LEARNING, 0);
  w.u8(IFLA.VXLAN_PROXY, 1);
  w.data(IFLA.VXLAN_PORT, Uint8Array.of(port >> 8, port & 255));
  w.closeNest();
  w.closeNest();
  w.end();
};
