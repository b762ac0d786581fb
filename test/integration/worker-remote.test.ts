/** Networks that a plugin carries, on a kernel in memory: what it is asked when, what of its answers becomes facts, and what is taken back. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type Device, objectKey } from '../../drivers/objects.ts';
import { pluginId } from '../../services/plugins/options.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { waitFor } from '../support/nats.ts';
import { hangs, type LinkPlugins, linkPlugins } from '../support/plugins/links.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

const err = (words: string) => () => ({ Err: words });

describe('a worker and the plugin of a network', () => {
  let machine = new MemoryMachine();
  let plugins: LinkPlugins;
  let system: System;
  const devices = () => machine.objects().filter((object): object is Device => object.kind === 'device');
  const routes = () =>
    machine.objects().flatMap((object) => (object.kind === 'route' ? [`${object.destination} ${object.device}`] : []));
  const attach = (...networks: string[]) =>
    system.outcomeOf('AttachSandbox', { sandbox: 'box', networks: networks.map((network) => ({ network })) });
  const detach = () => system.run('DetachSandbox', { sandbox: 'box' });
  const bodyOf = (method: string) =>
    plugins.asked.findLast((asked) => asked.method === `NetworkDriver.${method}`)?.body as Record<string, never>;

  beforeEach(async () => {
    machine = new MemoryMachine();
    plugins = linkPlugins(['weave', 'other'], {
      addLink: (name) => machine.addForeign(`link ${name}`),
      removeLink: (name) => machine.removeForeign(`link ${name}`),
    });
    const kernel = memoryKernel(machine, { realm, host });
    system = await new System({ ...memoryStreams(), kernel, plugins, runDir: '/run/cnm' }).start();
    await system.run('CreateNetwork', { name: 'web', driver: 'weave', options: { mode: 'fast' } });
    await system.run('CreateNetwork', { name: 'lan' });
  });
  afterEach(() => system.stop());

  it('asks it in Docker’s order, over the whole life of an endpoint', async () => {
    assert.deepEqual(plugins.methods(), ['CreateNetwork']);
    plugins.answers = { 'NetworkDriver.Join': ({ body }) => joined(body) };
    const outcome = await attach('web');
    assert.equal(outcome.status, 'succeeded', JSON.stringify(outcome.fault));
    const during = ['CreateEndpoint', 'Join', 'ProgramExternalConnectivity', 'EndpointOperInfo'];
    assert.deepEqual(plugins.methods(), ['CreateNetwork', ...during]);
    const [endpoint] = outcome.endpoints;
    assert.equal(endpoint?.interface, 'eth0');
    assert.deepEqual(
      devices().map(({ name, source, addresses }) => [name, source.type, addresses]),
      [['eth0', 'moved', [endpoint?.ipv4]]],
    );
    assert.deepEqual(routes(), ['0.0.0.0/0 eth0']);
    assert.equal(bodyOf('Join').SandboxKey, '/run/cnm/netns/box');
    await system.check();
    plugins.reset();
    await detach();
    assert.deepEqual(plugins.methods(), ['RevokeExternalConnectivity', 'Leave', 'DeleteEndpoint']);
    assert.deepEqual([devices(), machine.foreign], [[], []]);
    await system.run('DeleteNetwork', { network: 'web' });
    assert.deepEqual(plugins.methods().at(-1), 'DeleteNetwork');
    await system.check();
  });

  it('says what it knows of a network and an endpoint, and takes what was left open', async () => {
    const { facts } = [...(await system.state()).networks.values()][0] as never as {
      facts: { id: string; subnets: { subnet: string; gateway: string }[] };
    };
    const [subnet] = facts.subnets;
    assert.deepEqual(bodyOf('CreateNetwork'), {
      NetworkID: pluginId(realm, facts.id),
      Options: {
        'com.docker.network.enable_ipv4': true,
        'com.docker.network.enable_ipv6': false,
        'com.docker.network.generic': { mode: 'fast' },
      },
      IPv4Data: [{ AddressSpace: 'LocalDefault', Gateway: `${subnet?.gateway}/24`, Pool: subnet?.subnet }],
      IPv6Data: [],
    });
    plugins.answers = {
      'NetworkDriver.CreateEndpoint': () => ({ Interface: { MacAddress: '02:00:00:00:00:07' } }),
    };
    const networks = [{ network: 'web', ports: [{ hostPort: 8080, port: 80 }] }];
    const { endpoints } = await system.run('AttachSandbox', { sandbox: 'box', networks });
    assert.deepEqual(bodyOf('CreateEndpoint').Interface, {
      Address: endpoints[0]?.ipv4,
      AddressIPv6: '',
      MacAddress: '',
    });
    assert.deepEqual(bodyOf('Join').Options, {
      'com.docker.network.endpoint.exposedports': [{ Proto: 6, Port: 80 }],
      'com.docker.network.portmap': [{ Proto: 6, IP: '', Port: 80, HostIP: '', HostPort: 8080, HostPortEnd: 8080 }],
    });
    assert.equal(endpoints[0]?.mac, '02:00:00:00:00:07');
    const types = (await system.events()).map(({ type }) => type);
    assert.ok(types.indexOf('EndpointSettled') < types.indexOf('JoinSettled'));
    assert.ok(types.indexOf('JoinSettled') < types.indexOf('EndpointJoined'));
    await detach();
    await system.check();
  });

  it('lets it do without a gateway, but for one that was asked for', async () => {
    plugins.answers = {
      'NetworkDriver.GetCapabilities': () => ({ Scope: 'local', GwAllocChecker: true }),
      'NetworkDriver.GwAllocCheck': () => ({ SkipIPv4: true, SkipIPv6: true }),
    };
    plugins.go('other');
    plugins.come('other');
    const gatewayOfNext = async (name: string, subnet: object) => {
      await system.run('CreateNetwork', { name, driver: 'other', ipam: { subnets: [subnet] } });
      const [data] = (bodyOf('CreateNetwork') as unknown as { IPv4Data: { Gateway?: string }[] }).IPv4Data;
      return data?.Gateway;
    };
    assert.equal(await gatewayOfNext('free', { subnet: '10.71.0.0/24' }), undefined);
    assert.equal(await gatewayOfNext('own', { subnet: '10.72.0.0/24', gateway: '10.72.0.1' }), '10.72.0.1/24');
    await system.check();
  });

  it('tells it when its endpoint begins and ends to carry the default route of a sandbox', async () => {
    plugins.answers = { 'NetworkDriver.Join': ({ body }) => joined(body) };
    await attach('web', 'lan');
    // Its interface is named when it is known: the other one has the first number by then.
    assert.deepEqual([routes(), devices().map(({ name }) => name)], [['0.0.0.0/0 eth1'], ['eth1']]);
    assert.ok(plugins.methods().includes('ProgramExternalConnectivity'));
    await detach();
    await attach('web');
    plugins.reset();
    await system.run('CreateEndpoint', { network: 'lan', name: 'e', gatewayPriority: 5 });
    await system.run('JoinEndpoint', { network: 'lan', endpoint: 'e', sandbox: 'box' });
    assert.deepEqual(routes(), ['0.0.0.0/0 eth1']);
    assert.deepEqual(plugins.methods(), ['RevokeExternalConnectivity']);
    await system.run('LeaveEndpoint', { network: 'lan', endpoint: 'e' });
    assert.deepEqual(routes(), ['0.0.0.0/0 eth0']);
    assert.deepEqual(plugins.methods(), ['RevokeExternalConnectivity', 'ProgramExternalConnectivity']);
    await system.check();
  });

  it('does not wait for what it says of an endpoint that has joined', async () => {
    plugins.answers = { 'NetworkDriver.EndpointOperInfo': hangs };
    plugins.reset();
    assert.equal((await attach('web')).status, 'succeeded');
    assert.equal(plugins.methods().at(-1), 'EndpointOperInfo');
    await system.check();
  });

  const failures = [
    { at: 'CreateEndpoint', asked: ['CreateEndpoint'] },
    { at: 'Join', asked: ['CreateEndpoint', 'Join', 'DeleteEndpoint'] },
    {
      at: 'ProgramExternalConnectivity',
      asked: ['CreateEndpoint', 'Join', 'ProgramExternalConnectivity', 'Leave', 'DeleteEndpoint'],
    },
  ];
  for (const { at, asked } of failures) {
    it(`takes back what was done when it says no to ${at}`, async () => {
      plugins.answers = {
        'NetworkDriver.Join': ({ body }) => joined(body),
        [`NetworkDriver.${at}`]: err('out of links'),
      };
      plugins.reset();
      const before = machine.objects();
      const outcome = await attach('web', 'lan');
      assert.equal(outcome.status, 'failed');
      assert.equal(outcome.fault?.code, 'PLUGIN_ERROR');
      assert.match(outcome.fault?.text ?? '', /remote: out of links/);
      assert.deepEqual(plugins.methods(), asked);
      assert.deepEqual([machine.objects(), machine.foreign], [before, []]);
      const { endpoints, sandboxes } = await system.state();
      assert.deepEqual([endpoints.size, sandboxes.size], [0, 0]);
      plugins.answers = {};
      assert.equal((await attach('web', 'lan')).status, 'succeeded');
      await system.check();
    });
  }

  const lies = [
    { what: 'another address', method: 'CreateEndpoint', answer: { Interface: { Address: '10.9.9.9/24' } } },
    { what: 'a MAC of a group', method: 'CreateEndpoint', answer: { Interface: { MacAddress: '01:00:00:00:00:07' } } },
    { what: 'a route with host bits', method: 'Join', answer: { StaticRoutes: [{ Destination: '10.9.9.9/24' }] } },
    { what: 'a gateway that is none', method: 'Join', answer: { Gateway: 'here' } },
    { what: 'a gateway without an interface', method: 'Join', answer: { Gateway: '203.0.113.9' } },
    {
      what: 'a link that is not there',
      method: 'Join',
      answer: { InterfaceName: { SrcName: 'nolink0' } },
      words: 'NetworkDriver.Join of plugin weave: InterfaceName.SrcName "nolink0": no interface nolink0',
    },
    {
      what: 'a gateway in nobody’s subnet',
      method: 'Join',
      answer: { InterfaceName: { SrcName: 'theirs0' }, Gateway: '203.0.113.9' },
      words: 'NetworkDriver.Join of plugin weave: Gateway 203.0.113.9: Nexthop has invalid gateway',
    },
    {
      what: 'a route by nobody’s address',
      method: 'Join',
      answer: {
        InterfaceName: { SrcName: 'theirs0' },
        StaticRoutes: [{ Destination: '10.77.0.0/16', RouteType: 0, NextHop: '203.0.113.9' }],
      },
      words:
        'the answer of plugin weave: ROUTE_INVALID: no route to 10.77.0.0/16: the gateway is in none of the endpoint’s subnets',
    },
  ];
  for (const { what, method, answer, words } of lies) {
    it(`does not take ${what} for an answer`, async () => {
      machine.addForeign('link theirs0');
      plugins.answers = { [`NetworkDriver.${method}`]: () => answer };
      plugins.reset();
      const outcome = await attach('web');
      assert.equal(outcome.status, 'failed');
      assert.equal(outcome.fault?.code, 'PLUGIN_INVALID', outcome.fault?.text);
      if (words !== undefined) assert.equal(`${outcome.fault?.step}: ${outcome.fault?.text}`, words);
      const taken = method === 'Join' ? ['CreateEndpoint', 'Join', 'Leave'] : ['CreateEndpoint'];
      assert.deepEqual(plugins.methods(), [...taken, 'DeleteEndpoint']);
      assert.deepEqual(
        (await system.check()).filter(({ kind }) => kind === 'netns' || kind === 'device'),
        [],
      );
    });
  }

  it('refuses an answer that is somebody else’s already, in the words of the refusal', async () => {
    const mac = '02:00:00:00:00:07';
    plugins.answers = { 'NetworkDriver.CreateEndpoint': () => ({ Interface: { MacAddress: mac } }) };
    await system.run('CreateEndpoint', { network: 'web', name: 'one' });
    plugins.reset();
    const outcome = await system.outcomeOf('CreateEndpoint', { network: 'web', name: 'two' });
    assert.equal(outcome.fault?.code, 'PLUGIN_INVALID');
    assert.match(outcome.fault?.text ?? '', /MAC_IN_USE/);
    assert.deepEqual(plugins.methods(), ['CreateEndpoint', 'DeleteEndpoint']);
    await system.check();
  });

  it('removes although it complains, or is not there; and tells it what it has missed when it is back', async () => {
    await attach('web');
    plugins.answers = { 'NetworkDriver.Leave': err('no'), 'NetworkDriver.DeleteEndpoint': err('never heard of it') };
    await detach();
    plugins.answers = {};
    await attach('web');
    plugins.go('weave');
    await detach();
    await system.check();
    plugins.reset();
    plugins.come('weave');
    await system.run('CreateEndpoint', { network: 'web', name: 'e' });
    assert.deepEqual([...plugins.methods()].sort(), ['CreateEndpoint', 'DeleteEndpoint', 'Leave']);
    plugins.go('weave');
    await system.run('DeleteEndpoint', { network: 'web', endpoint: 'e' });
    await system.run('DeleteNetwork', { network: 'web' });
    await system.check();
  });

  it('tells it what it has missed of an endpoint before that joins again, though it is being told of others', async () => {
    for (const name of ['one', 'two']) {
      await system.run('CreateEndpoint', { network: 'web', name });
      await system.run('JoinEndpoint', { network: 'web', endpoint: name, sandbox: name });
    }
    plugins.go('weave');
    for (const endpoint of ['one', 'two']) await system.run('LeaveEndpoint', { network: 'web', endpoint });
    const { promise, resolve } = Promise.withResolvers<undefined>();
    plugins.answers = { 'NetworkDriver.Leave': () => promise };
    plugins.reset();
    plugins.come('weave');
    await system.run('CreateEndpoint', { network: 'web', name: 'three' });
    await waitFor(async () => plugins.methods().length === 2, { what: 'the first to be told of' });
    assert.deepEqual([...plugins.methods()].sort(), ['CreateEndpoint', 'Leave']);
    const joining = system.run('JoinEndpoint', { network: 'web', endpoint: 'two', sandbox: 'two' });
    await waitFor(async () => plugins.methods().length > 2, { what: 'the second to be asked about' });
    assert.equal(plugins.methods()[2], 'Leave');
    resolve(undefined);
    await joining;
    assert.equal(plugins.methods().filter((method) => method === 'Leave').length, 2);
    await system.check();
  });

  it('fails at once what needs a plugin that is not there, and the rest goes on', async () => {
    plugins.go('weave');
    const outcome = await attach('web');
    assert.equal(outcome.fault?.code, 'PLUGIN_UNREACHABLE');
    assert.equal((await attach('lan')).status, 'succeeded');
    assert.equal(await system.refusal('CreateNetwork', { name: 'next', driver: 'weave' }), 'DRIVER_NOT_FOUND');
    await system.check();
  });

  it('states the names of plugins at once when they change', async () => {
    const stated = async () =>
      (await system.events()).flatMap(({ type, data }) => (type === 'HostFacts' ? [data.drivers.join()] : [])).at(-1);
    assert.equal(await stated(), 'other,weave');
    plugins.come('third');
    await waitFor(async () => (await stated()) === 'other,third,weave', { what: 'the new name to be stated' });
    await system.run('CreateNetwork', { name: 'next', driver: 'third' });
  });

  it('tells one that reaches over hosts which hosts there are, and no other', async () => {
    const reach = (scope: string) => ({ 'NetworkDriver.GetCapabilities': () => ({ Scope: scope }) });
    const bodies = () => plugins.asked.flatMap(({ method, body }) => (/Discover/.test(method) ? [[method, body]] : []));
    assert.deepEqual(bodies(), []);
    const underlay = { address: '10.99.0.1', device: 'up0', mtu: 1500 };
    machine.facts = { ...machine.facts, underlay };
    await system.stopWorker();
    await system.startWorker();
    plugins.answers = reach('global');
    await system.run('CreateNetwork', { name: 'wide', driver: 'other' });
    plugins.go('weave');
    plugins.come('weave');
    plugins.answers = reach('local');
    await system.run('CreateNetwork', { name: 'next', driver: 'weave' });
    const own = { Address: '10.99.0.1', BindAddress: '10.99.0.1', Self: true };
    assert.deepEqual(bodies(), [['NetworkDriver.DiscoverNew', { DiscoveryType: 1, DiscoveryData: own }]]);
    machine.facts = { ...machine.facts, underlay: { ...underlay, address: '10.99.0.2' } };
    plugins.come('third');
    await waitFor(() => bodies().length === 3, { what: 'the change to be told' });
    assert.deepEqual(
      bodies().map(([method]) => method),
      ['NetworkDriver.DiscoverNew', 'NetworkDriver.DiscoverDelete', 'NetworkDriver.DiscoverNew'],
    );
  });

  it('has it make a link again that was lost, and holds up nothing else that was lost with it', async () => {
    plugins.answers = { 'NetworkDriver.Join': ({ body }) => joined(body) };
    await attach('web', 'lan');
    const before = machine.objects().map(objectKey).sort();
    await system.stopWorker();
    for (const object of machine.objects()) machine.tamper(objectKey(object), null);
    machine.removeNamespace('/run/cnm/netns/box');
    plugins.reset();
    plugins.answers = { 'NetworkDriver.Join': err('not yet') };
    await system.startWorker();
    const inside = () => machine.objects().flatMap((object) => (object.kind === 'veth' ? [object.peer.name] : []));
    assert.deepEqual([inside(), devices()], [['eth0'], []]);
    plugins.answers = { 'NetworkDriver.Join': ({ body }) => joined(body) };
    await system.check();
    assert.deepEqual(machine.objects().map(objectKey).sort(), before);
    assert.deepEqual(plugins.methods().slice(-3), ['Leave', 'Join', 'ProgramExternalConnectivity']);
  });

  it('moves a sandbox to a network of a plugin, and away from one', async () => {
    await attach('web');
    plugins.reset();
    const moved = await system.outcomeOf('MoveSandbox', { sandbox: 'box', from: 'web', to: { network: 'lan' } });
    assert.equal(moved.status, 'succeeded', JSON.stringify(moved.fault));
    assert.deepEqual(plugins.methods(), ['Leave', 'DeleteEndpoint']);
    plugins.reset();
    plugins.answers = { 'NetworkDriver.Join': err('no') };
    const failed = await system.outcomeOf('MoveSandbox', { sandbox: 'box', from: 'lan', to: { network: 'web' } });
    assert.equal(failed.status, 'failed');
    assert.deepEqual(plugins.methods(), ['CreateEndpoint', 'Join', 'DeleteEndpoint']);
    await system.check();
  });

  /** A link, and the gateway of the network's subnet. */
  const joined = (body: unknown) => {
    const { EndpointID } = body as { EndpointID: string };
    const link = `pv${EndpointID.slice(0, 12)}`;
    machine.addForeign(`link ${link}`);
    return { InterfaceName: { SrcName: link, DstPrefix: 'eth' }, Gateway: gatewayOf() };
  };
  const gatewayOf = (): string => {
    const asked = plugins.asked.find(({ method }) => method === 'NetworkDriver.CreateNetwork')?.body;
    const [data] = (asked as { IPv4Data: { Gateway: string }[] }).IPv4Data;
    return data?.Gateway.split('/')[0] ?? '';
  };
});
