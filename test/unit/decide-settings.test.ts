// Specifications of what a sandbox and its interfaces are to have beside addresses: names, DNS, hosts, files, routes, sysctls.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CommandInput } from '../../events/commands.ts';
import { did, endpoint, given, joined, network, type Step } from '../support/specification.ts';
import { hostFacts } from '../support/world.ts';

const web = network('web', { ipam: { subnets: [{ subnet: '10.1.0.0/24' }] } });
const dual = network('dual', { ipv6: true });
const created = { type: 'EndpointCreateRequested' } as const;
const join = { type: 'EndpointJoinRequested' } as const;
type Request = Partial<CommandInput<'CreateEndpoint'>>;
const asked = (more: Request, ...steps: readonly Step[]) =>
  given(web, dual, ...steps).when('CreateEndpoint', { network: 'dual', name: 'a', ...more });

// ---------------------------------------------------------------- interfaces

test('interface names: asked for, or the first free number behind the prefix of the network', () => {
  const prefixed = network('p', { options: { 'com.docker.network.container_iface_prefix': 'net' } });
  given(web, dual, prefixed)
    .when('AttachSandbox', {
      sandbox: 's1',
      networks: [{ network: 'web' }, { network: 'dual', interface: 'eth0' }, { network: 'p' }],
    })
    .records(
      created,
      { ...join, data: { interface: 'eth1' } },
      created,
      { ...join, data: { interface: 'eth0' } },
      created,
      { ...join, data: { interface: 'net0' } },
    );
});

test('interface names: each once in a sandbox', () => {
  const named = (name: string, device: string) => endpoint('web', name, { interface: device });
  const joining = (...steps: readonly Step[]) =>
    given(web, ...steps).when('JoinEndpoint', { network: 'web', endpoint: 'b', sandbox: 's1' });
  const first = [named('a', 'net7'), joined('web', 'a', 's1')];
  joining(...first, named('b', 'net7')).refuses('INTERFACE_IN_USE', { kind: 'endpoint', name: 'a', detail: 'net7' });
  joining(...first, named('b', 'net8')).records({ ...join, data: { interface: 'net8' } });
  joining(endpoint('web', 'a'), joined('web', 'a', 's1'), named('b', 'eth0')).refuses('INTERFACE_IN_USE', {
    name: 'a',
  });
  for (const id of ['lo', 'all', 'default'])
    joining(named('b', id)).refuses('INTERFACE_IN_USE', { kind: 'interface', id });
});

test('link-local addresses get the prefix length of their kind', () => {
  const { world } = given(dual, endpoint('dual', 'a', { linkLocal: ['169.254.7.7', 'FE80:0::7'] }));
  assert.deepEqual(world.endpoint('a').facts.linkLocal, ['169.254.7.7/16', 'fe80::7/64']);
  const taken = endpoint('dual', 'b', { linkLocal: ['fe80::7'] });
  asked({ linkLocal: ['fe80::7'] }, taken).refuses('ADDRESS_IN_USE', { name: 'b' });
  for (const id of ['10.1.0.7', 'fec0::1', 'xy', '169.254.7.7/16'])
    asked({ linkLocal: [id] }).refuses('LINK_LOCAL_INVALID', { kind: 'address', id });
  asked({ linkLocal: ['fe80::1', 'fe80:0::1'] }).refuses('LINK_LOCAL_INVALID', { id: 'fe80:0::1' });
  asked({ network: 'web', linkLocal: ['fe80::1'] }).refuses('LINK_LOCAL_INVALID', { id: 'fe80::1' });
});

test('sysctls are those of the interface, and of nothing else', () => {
  const good = {
    'net.ipv4.conf.IFNAME.arp_notify': '1',
    'net.ipv6.neigh.IFNAME.base_reachable_time_ms': '30000',
    'net.mpls.conf.IFNAME.input': '1',
    'net.ipv6.conf.IFNAME.disable_ipv6': '0',
  };
  asked({ sysctls: good }).records({ ...created, data: { endpoint: { sysctls: good } } });
  for (const id of [
    'net.ipv4.conf.eth0.arp_notify',
    'net.ipv4.ip_forward',
    'net.core.conf.IFNAME.x',
    'net.ipv4.conf.IFNAME.x/../../y',
    'net.ipv4.route.IFNAME.x',
    'net.ipv4.conf.IFNAME.',
    'kernel.conf.IFNAME.x',
  ])
    asked({ sysctls: { [id]: '1' } }).refuses('SYSCTL_INVALID', { kind: 'sysctl', id });
  for (const value of ['', '1\n2', '\u00e9'])
    asked({ sysctls: { 'net.ipv4.conf.IFNAME.arp_notify': value } }).refuses('SYSCTL_INVALID');
  asked({ sysctls: { 'net.ipv6.conf.IFNAME.disable_ipv6': '1' } }).refuses('SYSCTL_INVALID');
  asked({ network: 'web', sysctls: { 'net.ipv6.conf.IFNAME.disable_ipv6': '1' } }).records(created);
});

test('routes are written canonically, and lead somewhere', () => {
  const route = (destination: string, gateway?: string): Request => ({
    network: 'web',
    routes: [{ destination, ...(gateway === undefined ? {} : { gateway }) }],
  });
  asked(route('10.9.0.0/16', '10.1.0.9')).records({
    ...created,
    data: { endpoint: { routes: [{ destination: '10.9.0.0/16', gateway: '10.1.0.9' }] } },
  });
  asked(route('10.9.0.0/16')).records({ ...created, data: { endpoint: { routes: [{ gateway: null }] } } });
  asked({ routes: [{ destination: 'FD99::/32' }] }).records({
    ...created,
    data: { endpoint: { routes: [{ destination: 'fd99::/32' }] } },
  });
  for (const id of ['10.9.0.1/16', '10.9.0.0', 'xx/8', '10.9.0.0/33'])
    asked(route(id, '10.1.0.9')).refuses('ROUTE_INVALID', { kind: 'route', id });
  asked(route('10.9.0.0/16', 'fd00::1')).refuses('ROUTE_INVALID', { id: '10.9.0.0/16' });
  asked(route('10.9.0.0/16', '10.2.0.9')).refuses('ROUTE_INVALID', { id: '10.9.0.0/16' });
});

test('two interfaces of a sandbox do not lead to one destination', () => {
  const a = endpoint('web', 'a', { routes: [{ destination: '10.9.0.0/16' }] });
  const joining = (destination: string) =>
    given(web, dual, a, joined('web', 'a', 's1'), endpoint('dual', 'b', { routes: [{ destination }] })).when(
      'JoinEndpoint',
      { network: 'dual', endpoint: 'b', sandbox: 's1' },
    );
  joining('10.9.0.0/16').refuses('ROUTE_INVALID', { kind: 'endpoint', name: 'a', detail: '10.9.0.0/16' });
  joining('10.1.0.0/24').refuses('ROUTE_INVALID', { detail: '10.1.0.0/24' });
  joining('10.8.0.0/16').records(join);
});

// ---------------------------------------------------------------- sandboxes

const joining = (more: Partial<CommandInput<'JoinEndpoint'>>, ...steps: readonly Step[]) =>
  given(web, endpoint('web', 'a'), ...steps).when('JoinEndpoint', {
    network: 'web',
    endpoint: 'a',
    sandbox: 's1',
    ...more,
  });

test('a sandbox has its settings from the first join, and a directory for its files', () => {
  const dns = { servers: ['10.0.0.53', 'FD00:0::53'], search: ['lan', '.'], options: ['ndots:2'] };
  const extraHosts = [
    { name: 'db', address: '10.9.9.9' },
    { name: 'host.docker.internal', address: 'host-gateway' },
  ];
  const [fact] = joining({ hostname: 'www', domainname: 'example.org', dns, extraHosts }).records({
    ...join,
    data: {
      sandbox: {
        ...{ hostname: 'www', domainname: 'example.org', extraHosts, ports: [] },
        dns: { ...dns, servers: ['10.0.0.53', 'fd00::53'] },
      },
    },
  });
  assert.ok(fact?.type === 'EndpointJoinRequested');
  const { files, incarnation } = fact.data.sandbox;
  assert.equal(files, `${hostFacts('h1').runDir}/files/${incarnation}`);
});

test("the host's own namespace has no files of ours; a namespace that a caller brought has", () => {
  const host = network('host', { driver: 'host' });
  given(host)
    .when('AttachSandbox', { sandbox: 's1', networks: [{ network: 'host' }] })
    .records(created, { ...join, data: { sandbox: { files: null, owned: false } } });
  const [fact] = joining({ netns: '/run/netns/x' }).records({ ...join, data: { sandbox: { owned: false } } });
  assert.ok(fact?.type === 'EndpointJoinRequested' && fact.data.sandbox.files?.startsWith('/run/cnm/h1/files/'));
});

test('what is no name or address is refused: these go into files line by line', () => {
  const newline = 'a\n10.0.0.1 bank.example';
  for (const id of ['', newline, 'a b', '-a']) {
    joining({ hostname: id }).refuses('NAME_INVALID', { kind: 'name', id, detail: 'host name' });
    joining({ domainname: id }).refuses('NAME_INVALID', { kind: 'name', id, detail: 'domain name' });
  }
  joining({ extraHosts: [{ name: newline, address: '10.0.0.1' }] }).refuses('NAME_INVALID', { id: newline });
  joining({ extraHosts: [{ name: 'db', address: 'gateway' }] }).refuses('ADDRESS_INVALID', { id: 'gateway' });
  joining({ dns: { search: [newline] } }).refuses('NAME_INVALID', { id: newline });
  joining({ dns: { servers: ['dns.example'] } }).refuses('DNS_INVALID', { id: 'dns.example' });
  joining({ dns: { options: ['ndots:1\nnameserver'] } }).refuses('DNS_INVALID', { kind: 'option' });
});

test('a sandbox that is there has the settings that it has', () => {
  const said = { hostname: 'www', dns: { servers: ['10.0.0.53'] }, extraHosts: [{ name: 'db', address: '10.9.9.9' }] };
  const there = did('JoinEndpoint', { network: 'web', endpoint: 'a', sandbox: 's1', ...said });
  const again = (more: Partial<CommandInput<'JoinEndpoint'>>) =>
    joining({ endpoint: 'b', ...more }, there, endpoint('web', 'b'));
  again({}).records(join);
  again(said).records(join);
  const refused = (more: Partial<CommandInput<'JoinEndpoint'>>) =>
    again(more).refuses('SANDBOX_CONFLICT', { kind: 'sandbox', id: 's1' });
  refused({ hostname: 'other' });
  refused({ dns: { servers: ['10.0.0.54'] } });
  refused({ extraHosts: [] });
});
