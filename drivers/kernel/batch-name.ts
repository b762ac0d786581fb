/** What a batch of netlink messages changes, as a failpoint is called: `rtnetlink.NEWLINK+SETLINK`, `nft.NEWSETELEM`. */
import { NFT, NL, RTM, XFRM } from './constants.ts';
import type { MessageWriter } from './writer.ts';

/** Types of messages by their numbers; what only reads is left out. */
const changes = (numbers: Readonly<Record<string, number>>): ReadonlyMap<number, string> =>
  new Map(
    Object.entries(numbers).flatMap(([name, number]) => (/^(?:NEW|DEL|SET)[A-Z]/.test(name) ? [[number, name]] : [])),
  );

/** nfnetlink.h: the subsystem stands in the upper byte. IPCTNL_MSG_CT_DELETE is 2. */
const CONNTRACK = 1;
const subsystems: ReadonlyMap<number, { readonly name: string; readonly types: ReadonlyMap<number, string> }> = new Map(
  [
    [NFT.SUBSYSTEM, { name: 'nft', types: changes({ ...NFT, SET_MAP: -1 }) }],
    [CONNTRACK, { name: 'conntrack', types: new Map([[2, 'DELETE']]) }],
  ],
);
const protocols: ReadonlyMap<number, { readonly name: string; readonly types: ReadonlyMap<number, string> }> = new Map([
  [NL.ROUTE, { name: 'rtnetlink', types: changes(RTM) }],
  [NL.XFRM, { name: 'xfrm', types: changes(XFRM) }],
]);

/** Each type once, in the order of its first message. Null when nothing is changed. */
export const batchName = (protocol: number, { bytes, length }: MessageWriter): string | null => {
  const view = new DataView(bytes.buffer, 0, length);
  const found = new Set<string>();
  let family = '';
  // struct nlmsghdr: length at 0, type at 4; native byte order, which is little-endian on what we run on.
  for (let at = 0; at + 16 <= length; at += (view.getUint32(at, true) + 3) & ~3) {
    const type = view.getUint16(at + 4, true);
    const known = protocol === NL.NETFILTER ? subsystems.get(type >> 8) : protocols.get(protocol);
    const name = known?.types.get(protocol === NL.NETFILTER ? type & 0xff : type);
    if (known === undefined || name === undefined) continue;
    family = known.name;
    found.add(name);
  }
  return found.size === 0 ? null : `${family}.${[...found].join('+')}`;
};
