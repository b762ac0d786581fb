/** What plugins are asked about networks, endpoints and joins: facts of ours as requests of Docker's protocol. Pure. */
import { hash } from 'node:crypto';
import type { EndpointFacts, NetworkFacts, PublishedPort, SandboxFacts, Subnet } from '../../events/events.ts';
import { everywhere } from '../../events/leases.ts';
import type {
  AddressData,
  CreateEndpoint,
  CreateNetwork,
  EndpointRef,
  Join,
  PluginInterface,
  ProgramExternal,
} from '../plugins/network-messages.ts';
import { type NetworkOptions, type Ports, pluginId } from '../plugins/options.ts';

const families = [4, 6] as const;

export const refOf = (realm: string, endpoint: Pick<EndpointFacts, 'id' | 'networkId'>): EndpointRef => ({
  networkId: pluginId(realm, endpoint.networkId),
  endpointId: pluginId(realm, endpoint.id),
});

export const networkOptionsOf = ({ ipv4, ipv6, internal, options }: NetworkFacts): NetworkOptions => ({
  ipv4,
  ipv6,
  internal,
  driver: options,
});

const within = (address: string, { subnet }: Subnet): string => address + subnet.slice(subnet.indexOf('/'));

/** Gateways and auxiliary addresses go with the prefix length of their subnet. */
const dataOf =
  (space: string) =>
  (subnet: Subnet): AddressData => ({
    space,
    pool: subnet.subnet,
    gateway: subnet.gateway === null ? null : within(subnet.gateway, subnet),
    aux: Object.fromEntries(Object.entries(subnet.aux).map(([name, address]) => [name, within(address, subnet)])),
  });

/** A network whose addresses nobody manages, as Docker tells of it. */
const unmanaged = { 4: '0.0.0.0/0', 6: '::/0' } as const;

/** @param space where its subnets come from */
export const createNetworkOf = (realm: string, network: NetworkFacts, space: string): CreateNetwork => {
  const of = (family: 4 | 6): readonly AddressData[] => {
    if (network.ipam.driver !== 'null')
      return network.subnets.filter((subnet) => subnet.family === family).map(dataOf(space));
    return network[`ipv${family}`] ? [{ space: 'null', pool: unmanaged[family], gateway: null, aux: {} }] : [];
  };
  const [ipv4 = [], ipv6 = []] = families.map(of);
  return { networkId: pluginId(realm, network.id), options: networkOptionsOf(network), ipv4, ipv6 };
};

const wildcards: ReadonlySet<string> = new Set(Object.values(everywhere));

/** Addresses of the host as Docker's port map has them: empty for all. */
const hostIpsOf = ({ hostAddresses }: PublishedPort): readonly string[] => [
  ...new Set(hostAddresses.map((address) => (wildcards.has(address) ? '' : address))),
];

/** A range is as many single ports, and what is published is exposed: Docker's rules. */
export const portsOf = (leases: readonly PublishedPort[]): Ports => {
  const published = leases.flatMap((lease) =>
    Array.from({ length: lease.count }, (_, at) => at).flatMap((at) =>
      hostIpsOf(lease).map((hostIp) => ({
        protocol: lease.protocol,
        port: lease.port + at,
        hostIp,
        hostPort: lease.hostPort + at,
        hostPortEnd: lease.hostPort + at,
      })),
    ),
  );
  const exposed = new Map(published.map(({ protocol, port }) => [`${protocol}/${port}`, { protocol, port }] as const));
  return { exposed: [...exposed.values()], published };
};

export const createEndpointOf = (
  realm: string,
  network: NetworkFacts,
  endpoint: EndpointFacts,
  given: PluginInterface,
): CreateEndpoint => ({
  ...refOf(realm, endpoint),
  interface: given,
  options: {
    ports: network.internal ? null : portsOf(endpoint.ports),
    mac: endpoint.mac,
    interface: endpoint.interface,
    driver: endpoint.options,
  },
});

/** All that is to be reached through an endpoint that carries a default route. */
const allPorts = (endpoint: EndpointFacts, sandbox: SandboxFacts): Ports =>
  portsOf([...sandbox.ports, ...endpoint.ports]);

export const joinOf = (realm: string, endpoint: EndpointFacts, sandbox: SandboxFacts): Join => ({
  ...refOf(realm, endpoint),
  sandboxKey: sandbox.key,
  ports: allPorts(endpoint, sandbox),
});

export const programOf = (
  realm: string,
  endpoint: EndpointFacts,
  sandbox: SandboxFacts,
  no6to4: boolean,
): ProgramExternal => ({ ...refOf(realm, endpoint), ports: allPorts(endpoint, sandbox), no6to4 });

/** A MAC for an endpoint that none was asked for: the same each time that it is asked for. Locally administered, of a single station. */
export const macOfId = (id: string): string => {
  const bytes = hash('sha256', id, 'buffer').subarray(0, 6);
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02;
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
};
