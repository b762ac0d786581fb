/** Commands that say all that can be said, so that mutations reach every field, of things that are there. */

const endpoint = {
  interfaces: [{ ipv4: '10.9.0.10' }],
  aliases: ['www', 'shop'],
  ports: [
    { port: 80, hostPort: 8080, hostAddress: '0.0.0.0', protocol: 'tcp' },
    { port: 53, protocol: 'udp', hostPort: 5300 },
  ],
  gatewayPriority: 3,
  interface: 'lan0',
  sysctls: { 'net.ipv4.conf.IFNAME.arp_notify': '1' },
  linkLocal: ['169.254.7.7'],
  routes: [{ destination: '10.77.0.0/16', gateway: '10.9.0.1' }],
  links: { db: 'database' },
  services: [{ name: 'http', protocol: 'tcp', port: 80 }],
  labels: { team: 'shop' },
};

const sandbox = {
  hostname: 'shop',
  domainname: 'example.com',
  dns: { servers: ['192.0.2.7'], search: ['example.com', 'svc'], options: ['ndots:2', 'rotate'] },
  extraHosts: [
    { name: 'db', address: '10.1.2.3' },
    { name: 'gw', address: 'host-gateway' },
  ],
  owner: 'nomad',
};

const network = {
  ipv6: true,
  internal: false,
  ipam: {
    subnets: [{ subnet: '10.11.0.0/24', gateway: '10.11.0.9', range: '10.11.0.128/25', aux: { router: '10.11.0.2' } }],
  },
  dns: { servers: ['192.0.2.9'], search: ['net.example'], options: ['timeout:1'] },
  options: { 'com.docker.network.driver.mtu': '1400', 'com.docker.network.bridge.name': 'br-shop' },
  labels: { tier: 'front' },
  owner: 'nomad',
};

const of = (type: string, data: object): Record<string, unknown> => ({ id: 'mwppn5sr-rich', type, data });

export const richCommands: readonly Record<string, unknown>[] = [
  of('CreateNetwork', { name: 'rich', ...network }),
  of('CreateNetwork', { name: 'wide', driver: 'macvlan', options: { parent: 'eth0.50', macvlan_mode: 'bridge' } }),
  of('CreateNetwork', { name: 'far', driver: 'overlay', options: { encrypted: 'true' } }),
  of('CreateNetwork', {
    name: 'shape',
    configOnly: true,
    options: { 'com.docker.network.container_iface_prefix': 'eth' },
  }),
  of('CreateEndpoint', { network: 'back', name: 'e1', ...endpoint }),
  of('AttachSandbox', { sandbox: 's1', ...sandbox, networks: [{ network: 'back', ...endpoint }] }),
  of('AttachSandbox', {
    sandbox: 's2',
    ...sandbox,
    networks: [{ network: 'web', aliases: ['a'] }, { network: 'back' }],
    ports: [{ port: 443, hostPort: 8443 }],
  }),
  of('AttachSandbox', { sandbox: 's3', netns: '/run/netns/mine', networks: [{ network: 'web' }] }),
  of('AttachSandbox', { sandbox: 's4', networks: [{ network: 'web' }] }),
  of('JoinEndpoint', { network: 'back', endpoint: 'e1', sandbox: 's5', ...sandbox }),
  of('UpdateEndpoint', {
    network: 'back',
    endpoint: 'e1',
    aliases: ['new'],
    ports: [{ port: 81, hostPort: 8081 }],
    gatewayPriority: 9,
  }),
  of('UpdateNetwork', {
    network: 'web',
    labels: { a: 'b' },
    dns: { search: ['x.example'], options: ['ndots:1'] },
    options: { 'com.docker.network.driver.mtu': '1300' },
  }),
  of('MoveSandbox', { sandbox: 's4', from: 'web', to: { network: 'back', aliases: ['moved'] } }),
  of('DetachSandbox', { sandbox: 's1' }),
  of('DetachSandbox', { sandbox: 's4' }),
  of('LeaveEndpoint', { network: 'back', endpoint: 'e1' }),
  of('DeleteEndpoint', { network: 'back', endpoint: 'e1' }),
  of('DeleteNetwork', { network: 'rich' }),
];
