/**
 * Links that stand on another, as messages: RTM_NEWLINK of kinds `macvlan`, `ipvlan`, `vlan` (linux/if_link.h). And links that go
 * elsewhere.
 */
import type { DeviceSource } from '../objects.ts';
import { IFF, IFLA, IPVLAN, IPVLAN_FLAG, MACVLAN, NL, RTM } from './constants.ts';
import type { LinkRecord } from './records.ts';
import type { MessageWriter } from './writer.ts';

export interface NewSublink {
  readonly index: number;
  readonly name: string;
  /** Index of the link that it stands on. */
  readonly parent: number;
  /** Number that the socket's namespace has for the one of its parent, where that is another. */
  readonly parentNamespace?: number;
  /** What is not said is the kernel's choice: the parent's MTU, a random MAC. */
  readonly mac?: Uint8Array;
  readonly mtu?: number;
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
  if (link.parentNamespace !== undefined) w.u32(IFLA.LINK_NETNSID, link.parentNamespace);
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

export interface Move {
  /** Descriptor of the namespace where it goes. */
  readonly namespace: number;
  readonly name: string;
  /** Empty for none. */
  readonly alias: string;
}

/** Moves a link, which is down afterwards, and names it as it is there. */
export const moveLink = (w: MessageWriter, index: number, { namespace, name, alias }: Move): void => {
  const at = w.begin(RTM.NEWLINK, 0, 16);
  w.poke32(at + 4, index);
  w.poke32(at + 12, IFF.UP);
  w.u32(IFLA.NET_NS_FD, namespace);
  w.text(IFLA.IFNAME, name);
  // Text of no length takes an alias away; a zero byte would be one.
  if (alias === '') w.data(IFLA.IFALIAS, new Uint8Array(0));
  else w.text(IFLA.IFALIAS, alias);
  w.end();
};

/** A device as its maker says it. */
export const kindOf = (source: Exclude<DeviceSource, { type: 'moved' }>): SublinkKind =>
  source.type === 'macvlan'
    ? { kind: 'macvlan', mode: MACVLAN[source.mode] }
    : { kind: 'ipvlan', mode: IPVLAN[source.mode], flags: IPVLAN_FLAG[source.flag] };

const nameOf = <T extends string>(names: Readonly<Record<T, number>>, value: number): T | undefined =>
  (Object.keys(names) as T[]).find((name) => names[name] === value);

/** What a link is as a device; one of a mode that is none of ours was made by somebody else. */
export const sourceOf = ({ kind, sublink }: Pick<LinkRecord, 'kind' | 'sublink'>, parent: string): DeviceSource => {
  if (kind === 'macvlan') {
    const mode = nameOf(MACVLAN, sublink.mode);
    if (mode !== undefined) return { type: kind, parent, mode };
  }
  if (kind === 'ipvlan') {
    const [mode, flag] = [nameOf(IPVLAN, sublink.mode), nameOf(IPVLAN_FLAG, sublink.flags)];
    if (mode !== undefined && flag !== undefined) return { type: kind, parent, mode, flag };
  }
  return { type: 'moved' };
};
