/** What there is to see of a tunnel, and whether it is as it should be. */
import { formatTag, type Tag, type Vxlan } from '../objects.ts';
import { formatAddress } from './address.ts';
import type { Host } from './host.ts';
import { samePort } from './port-flags.ts';
import { type LinkRecord, type PortFlags, plainPort } from './records.ts';

/** Nothing is learnt from frames, and none goes out on suspicion; broadcasts do, since the tunnel answers them itself. */
export const tunnelPort: PortFlags = { ...plainPort, learning: false, unicastFlood: false };

/** A vxlan as it is; `names` are those of the host's links. One that does not do as a tunnel of ours is shown without its bridge. */
export const describeVxlan = (link: LinkRecord, names: ReadonlyMap<number, string>, tag: Tag): Vxlan => {
  const { tunnel, up, port } = link;
  const works = up && samePort(port, tunnelPort) && tunnel?.proxy === true && !tunnel.learning;
  return {
    kind: 'vxlan',
    name: link.name,
    bridge: works ? (names.get(link.master) ?? '') : '',
    vni: tunnel?.vni ?? 0,
    local: tunnel?.local.length === 4 ? formatAddress(tunnel.local) : '',
    port: tunnel?.port ?? 0,
    mtu: link.mtu,
    tag,
  };
};

export interface Observed {
  readonly vxlan: Vxlan;
  readonly alias: string;
}

/** As it is, for undoing: on its bridge, whether it worked or not. The tag is in the alias. */
export const observe = (link: LinkRecord, bridge: string): Observed => {
  const nobody: Tag = { realm: '', host: '', entity: 'network', id: '' };
  return { vxlan: { ...describeVxlan(link, new Map(), nobody), bridge }, alias: link.alias };
};

/** What cannot be changed in a tunnel that is there: it takes another one. */
export const isSameTunnel = ({ tunnel }: LinkRecord, vxlan: Vxlan): boolean =>
  tunnel !== null &&
  tunnel.vni === vxlan.vni &&
  tunnel.port === vxlan.port &&
  tunnel.local.length === 4 &&
  formatAddress(tunnel.local) === vxlan.local &&
  tunnel.proxy &&
  !tunnel.learning;

/** Every join looks whether its tunnel is there, and it is: to find that out is all that it costs. */
export const isAsWanted = (host: Host, link: LinkRecord, vxlan: Vxlan): boolean =>
  link.up &&
  link.mtu === vxlan.mtu &&
  link.alias === formatTag(vxlan.tag) &&
  link.master === host.bridges.get(vxlan.bridge) &&
  samePort(link.port, tunnelPort) &&
  isSameTunnel(link, vxlan);
