/** What the kernel in memory says of itself where nobody says otherwise. */
import type { KernelFacts } from '../../drivers/port.ts';

export const defaultFacts: KernelFacts = {
  kernel: '6.18.0-memory',
  bootId: '00000000-0000-4000-8000-000000000000',
  routes: ['192.168.0.0/24'],
  capabilities: {
    netAdmin: true,
    sysAdmin: true,
    bridge: true,
    veth: true,
    nftables: true,
    netns: true,
    ipv6: true,
    vxlan: true,
    macvlan: true,
    ipvlan: true,
    vlan: true,
    esp: true,
  },
  vlans: [],
  linkRoutes: { eth0: ['192.168.0.0/24'] },
  mtu: 1500,
  underlay: null,
  underlayAsked: null,
};
