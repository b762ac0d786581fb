/**
 * What a network of the driver `overlay` is on a host where one of its endpoints is joined: a bridge without an address, and a tunnel
 * to the other hosts as one of its ports. Nothing is routed into it or out of it here; where it leads out is another network's matter.
 */
import type { NetworkFacts } from '../events/events.ts';
import { networkObjects } from './bridge-network.ts';
import { bridgeOf } from './bridge-options.ts';
import { type HostContext, tagOf } from './driver.ts';
import type { KernelObject } from './objects.ts';

/** Empty where the host has no address that others reach it at, or the network no segment: then nothing can be joined. */
export const presenceObjects = (host: HostContext, network: NetworkFacts): readonly KernelObject[] => {
  const vni = network.subnets.find((subnet) => subnet.vni !== null)?.vni ?? null;
  if (vni === null || !host.underlay || network.mtu === null || network.tunnel === null) return [];
  const bridge = bridgeOf(network);
  // Its own frames pass where bridge-netfilter looks at them, and nothing else does.
  return [
    ...networkObjects(host, { ...network, internal: true, subnets: [] }),
    {
      kind: 'vxlan',
      name: `cx${network.id}`,
      bridge,
      vni,
      local: host.underlay.address,
      port: network.tunnel.port,
      mtu: network.mtu,
      tag: tagOf(host, 'network', network.id),
    },
  ];
};
