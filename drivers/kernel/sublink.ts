/** Encoder of links that stand on another: RTM_NEWLINK of kinds `macvlan`, `ipvlan`, `vlan` (linux/if_link.h). */
import { IFLA, NL, RTM } from './constants.ts';
import type { MessageWriter } from './writer.ts';

export interface NewSublink {
  readonly index: number;
  readonly name: string;
  /** Index of the link that it stands on, in the namespace of the socket. */
  readonly parent: number;
  /** What is not said is the kernel's choice: the parent's MTU, a random MAC. */
  readonly mac?: Uint8Array;
  readonly mtu?: number;
  /** Descriptor of the namespace that it is born in, where it is another one. */
  readonly namespace?: number;
}

/** Numbers as in `MACVLAN`, `IPVLAN`, `IPVLAN_FLAG`. */
export type SublinkKind =
  | { readonly kind: 'macvlan'; readonly mode: number }
  | { readonly kind: 'ipvlan'; readonly mode: number; readonly flags: number }
  | { readonly kind: 'vlan'; readonly id: number };

const kindData = (w: MessageWriter, what: SublinkKind): void => {
  if (what.kind === 'macvlan') w.u32(IFLA.MACVLAN_MODE, what.mode);
  else if (what.kind === 'vlan') w.u16(IFLA.VLAN_ID, what.id);
  else {
    w.u16(IFLA.IPVLAN_MODE, what.mode);
    w.u16(IFLA.IPVLAN_FLAGS, what.flags);
  }
};

export const newSublink = (w: MessageWriter, link: NewSublink, what: SublinkKind): void => {
  // struct ifinfomsg: index at 4.
  w.poke32(w.begin(RTM.NEWLINK, NL.F_CREATE | NL.F_EXCL, 16) + 4, link.index);
  w.text(IFLA.IFNAME, link.name);
  w.u32(IFLA.LINK, link.parent);
  if (link.namespace !== undefined) w.u32(IFLA.NET_NS_FD, link.namespace);
  if (link.mac !== undefined) w.data(IFLA.ADDRESS, link.mac);
  if (link.mtu !== undefined) w.u32(IFLA.MTU, link.mtu);
  w.openNest(IFLA.LINKINFO);
  w.text(IFLA.INFO_KIND, what.kind);
  w.openNest(IFLA.INFO_DATA);
  kindData(w, what);
  w.closeNest();
  w.closeNest();
  w.end();
};
