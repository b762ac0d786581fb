/** Facts as drivers get them: one network of both families, an endpoint of it, and the sandbox that it joins. */
import assert from 'node:assert/strict';
import type { Driver, HostContext, Join, Publication } from '../../drivers/driver.ts';
import type { KernelObject, Tag } from '../../drivers/objects.ts';
import { drivers } from '../../drivers/registry.ts';
import type { EndpointFacts, NetworkFacts, PublishedPort, SandboxFacts } from '../../events/events.ts';

export const host: HostContext = { realm: 'r1', host: 'node-1.example' };

const dns = { servers: null, search: null, options: null };

export const network: NetworkFacts = {
  id: '0123456789ab',
  name: 'web',
  driver: 'bridge',
  ipv4: true,
  ipv6: true,
  internal: false,
  ipam: { driver: 'default', options: {}, overlap: false },
  subnets: [
    { family: 4, subnet: '10.1.0.0/24', range: null, gateway: '10.1.0.1', aux: {}, vni: null, pool: null },
    { family: 6, subnet: 'fd00:1::/64', range: null, gateway: 'fd00:1::1', aux: {}, vni: null, pool: null },
  ],
  mtu: 1450,
  options: {},
  labels: {},
  gc: null,
  configOnly: false,
  configFrom: null,
  ...{ scope: 'host', defaultRoute: 'gateway', outlet: false, tunnel: null, parent: null },
  ...{ owner: null, leaseMs: null, drift: 'repair' },
  dns,
};

/** The network's bridge. */
export const br = 'cb0123456789ab';

export const onlyIpv4: NetworkFacts = {
  ...network,
  ipv6: false,
  subnets: network.subnets.filter(({ family }) => family === 4),
};
export const onlyIpv6: NetworkFacts = {
  ...network,
  ipv4: false,
  subnets: network.subnets.filter(({ family }) => family === 6),
};

export const endpoint: EndpointFacts = {
  id: 'endpoint0001',
  networkId: network.id,
  name: 'a',
  ipv4: '10.1.0.2/24',
  ipv6: 'fd00:1::2/64',
  mac: '02:42:0a:01:00:02',
  wanted: null,
  static: false,
  aliases: [],
  ports: [],
  gatewayPriority: 0,
  interface: null,
  sysctls: {},
  linkLocal: [],
  routes: [],
  links: {},
  services: [],
  options: {},
  labels: {},
  gc: null,
  origin: 'endpoint',
};

export const sandbox: SandboxFacts = {
  id: 's1',
  incarnation: 'sandbox00001',
  key: '/run/cnm/netns/s1',
  owned: true,
  hostname: null,
  domainname: null,
  dns,
  extraHosts: [],
  owner: null,
  leaseMs: null,
  afterReboot: 'recreate',
  ports: [],
  files: '/run/cnm/files/sandbox00001',
};

export const join: Join = { joinId: 'join00000001', network, endpoint, sandbox, interface: 'eth3', plug: null };

/** TCP 8080 of every address of the host to 80. */
export const port = (changes: Partial<PublishedPort> = {}): PublishedPort => ({
  protocol: 'tcp',
  hostAddresses: ['0.0.0.0', '::'],
  hostPort: 8080,
  choice: null,
  port: 80,
  count: 1,
  ...changes,
});

export const publication = (family: 4 | 6, ports: readonly PublishedPort[], on = network): Publication => ({
  family,
  sandbox,
  network: on,
  endpoint,
  ports,
});

export const driver = (name: string): Driver => drivers.get(name) ?? assert.fail(name);

export const tag = (entity: Tag['entity'], id: string): Tag => ({ ...host, entity, id });

/** The elements among objects: `SET { KEY : DATA }`. */
export const elementsOf = (objects: readonly KernelObject[]): readonly string[] =>
  objects.flatMap((object) => {
    if (object.kind !== 'element') return [];
    const data = object.data.length > 0 ? ` : ${object.data.join(' . ')}` : '';
    return [`${object.set} { ${object.key.join(' . ')}${data} }`];
  });
