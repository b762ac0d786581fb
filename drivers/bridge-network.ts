/** What a network of the driver `bridge` is in the kernel: the bridge, and elements that say how it is isolated. */
import type { NetworkFacts } from '../events/events.ts';
import type { Family } from '../events/ip.ts';
import {
  allowsIcc,
  bridgeOf,
  gatewayMode,
  hasFamily,
  inhibitsIpv4,
  masquerades,
  sourceAddress,
  trustedInterfaces,
} from './bridge-options.ts';
import { type HostContext, tagOf } from './driver.ts';
import type { Element, ElementSet, KernelObject, Tag } from './objects.ts';

const families = [4, 6] as const;

/** Whether the host has an address on the bridge: without one it cannot lead anything to the endpoints. */
export const holdsGateway = (network: NetworkFacts, family: Family): boolean =>
  gatewayMode(network, family) !== 'isolated' && !(family === 4 && inhibitsIpv4(network));

const gatewayCidrs = (network: NetworkFacts): readonly string[] =>
  network.subnets.flatMap(({ family, gateway, subnet }) =>
    gateway === null || !holdsGateway(network, family) ? [] : [`${gateway}${subnet.slice(subnet.indexOf('/'))}`],
  );

/** Locally administered and never moving: without it a bridge takes the lowest MAC of its ports (kernel.md section 5). */
const bridgeMac = (network: NetworkFacts): string => {
  const tail = [...network.id].reduce(
    (hash, char) => Math.imul(hash ^ char.charCodeAt(0), 0x01000193) >>> 0,
    0x811c9dc5,
  );
  const bytes = [tail >>> 24, (tail >>> 16) & 255, (tail >>> 8) & 255, tail & 255];
  return ['02', 'cb', ...bytes.map((byte) => byte.toString(16).padStart(2, '0'))].join(':');
};

export const element = (set: ElementSet, key: readonly string[], data: readonly string[], tag: Tag): Element => ({
  kind: 'element',
  set,
  key,
  data,
  tag,
});

/** How traffic of one family gets out of the network, and into it where no port is published. */
const familyElements = (network: NetworkFacts, family: Family, tag: Tag): readonly Element[] => {
  const mode = gatewayMode(network, family);
  if (network.internal || !hasFamily(network, family) || (mode !== 'nat' && mode !== 'nat-unprotected')) return [];
  const name = bridgeOf(network);
  const source = sourceAddress(network, family);
  const out =
    source === null ? element(`masq${family}`, [name], [], tag) : element(`snat${family}`, [name], [source], tag);
  return [
    ...(masquerades(network) ? [out] : []),
    ...(mode === 'nat-unprotected' ? [element(`open${family}`, [name], [], tag)] : []),
  ];
};

export const networkObjects = (host: HostContext, network: NetworkFacts): readonly KernelObject[] => {
  const name = bridgeOf(network);
  const tag = tagOf(host, 'network', network.id);
  return [
    {
      kind: 'bridge',
      name,
      mac: bridgeMac(network),
      mtu: network.mtu ?? 1500,
      addresses: gatewayCidrs(network),
      routed: !network.internal,
      tag,
    },
    element('bridges', [name], [], tag),
    element('own', [name, name], [], tag),
    ...(allowsIcc(network) ? [element('icc', [name, name], [], tag)] : []),
    ...(network.internal ? [element('internal', [name], [], tag)] : []),
    ...families.flatMap((family) => familyElements(network, family, tag)),
    ...trustedInterfaces(network).map((trusted) => element('trusted', [trusted, name], [], tag)),
  ];
};
