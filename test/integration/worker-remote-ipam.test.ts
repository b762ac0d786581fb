/** Addresses that a plugin gives, for networks of driver bridge and of plugins, on a kernel in memory. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Bridge } from '../../drivers/objects.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { waitFor } from '../support/nats.ts';
import type { FakeAsked } from '../support/plugins/fake.ts';
import { type Answers, type LinkPlugins, linkPlugins } from '../support/plugins/links.ts';
import { host, memoryStreams, realm, type Streams, System } from '../support/system.ts';

interface PoolBody {
  readonly Pool: string;
  readonly SubPool: string;
}
interface AddressBody {
  readonly PoolID: string;
  readonly Address: string;
}

describe('a worker and the plugin of addresses', () => {
  let machine = new MemoryMachine();
  let streams: Streams;
  let plugins: LinkPlugins;
  let system: System;
  /** Free third bytes of pools, and free last bytes of addresses. */
  let nextPool = 0;
  let given = new Set<string>();

  const requestPool = ({ body }: FakeAsked) => {
    const { Pool } = body as PoolBody;
    const subnet = Pool === '' ? `10.250.${nextPool++}.0/24` : Pool;
    return { PoolID: `p/${subnet}`, Pool: subnet, Data: {} };
  };
  const requestAddress = ({ body }: FakeAsked) => {
    const { PoolID, Address } = body as AddressBody;
    const base = PoolID.slice('p/'.length).split('.').slice(0, 3).join('.');
    let last = 1;
    while (Address === '' && given.has(`${base}.${last}`)) last += 1;
    const address = Address === '' ? `${base}.${last}` : Address;
    if (given.has(address)) return { Error: `${address} is given` };
    given.add(address);
    return { Address: `${address}/24`, Data: {} };
  };
  const usual: Answers = {
    'IpamDriver.RequestPool': requestPool,
    'IpamDriver.RequestAddress': requestAddress,
    'IpamDriver.ReleaseAddress': ({ body }) => void given.delete((body as AddressBody).Address),
  };
  const ask = (answers: Answers = {}): LinkPlugins =>
    linkPlugins(
      ['phone'],
      {
        addLink: (name) => machine.addForeign(`link ${name}`),
        removeLink: (name) => machine.removeForeign(`link ${name}`),
      },
      { ...usual, ...answers },
    );
  const ipam = { driver: 'phone', options: { io: '1' } };
  const bodies = (method: string) =>
    plugins.asked.filter((asked) => asked.method === `IpamDriver.${method}`).map(({ body }) => body as AddressBody);
  const bridges = () => machine.objects().filter((object): object is Bridge => object.kind === 'bridge');
  const networks = [{ network: 'far' }];

  beforeEach(async () => {
    machine = new MemoryMachine();
    streams = memoryStreams();
    nextPool = 0;
    given = new Set();
    plugins = ask();
    const kernel = memoryKernel(machine, { realm, host });
    system = await new System({ ...streams, kernel, plugins, runDir: '/run/cnm' }).start();
  });
  afterEach(() => system.stop());

  it('asks it as Docker does for a bridge network of its pool, and gives everything back', async () => {
    await system.run('CreateNetwork', { name: 'far', ipam });
    assert.deepEqual(plugins.methods(), [
      'GetDefaultAddressSpaces',
      'GetDefaultAddressSpaces',
      'RequestPool',
      'RequestAddress',
    ]);
    assert.deepEqual(bodies('RequestPool')[0], {
      AddressSpace: 'here',
      Pool: '',
      SubPool: '',
      Options: { io: '1' },
      V6: false,
    });
    assert.deepEqual(bridges()[0]?.addresses, ['10.250.0.1/24']);
    plugins.reset();
    const { endpoints } = await system.run('AttachSandbox', { sandbox: 'box', networks });
    assert.equal(endpoints[0]?.ipv4, '10.250.0.2/24');
    assert.match(endpoints[0]?.mac ?? '', /^02:/);
    await system.run('DetachSandbox', { sandbox: 'box' });
    await system.run('DeleteNetwork', { network: 'far' });
    const released = ['ReleaseAddress', 'ReleaseAddress', 'ReleasePool'];
    assert.deepEqual(plugins.methods(), ['RequestAddress', ...released]);
    assert.deepEqual(
      bodies('ReleaseAddress').map(({ Address }) => Address),
      ['10.250.0.2', '10.250.0.1'],
    );
    assert.equal(given.size, 0);
    assert.deepEqual(await system.check(), []);
  });

  it('asks for what the user asked for, and serves plugins’ networks too', async () => {
    const subnets = [
      { subnet: '10.32.0.0/24', range: '10.32.0.64/26', gateway: '10.32.0.1', aux: { rtr: '10.32.0.5' } },
    ];
    await system.run('CreateNetwork', { name: 'far', driver: 'phone', ipam: { ...ipam, subnets } });
    const asked = bodies('RequestAddress').map(({ Address }) => Address);
    assert.deepEqual(asked, ['10.32.0.1', '10.32.0.5']);
    const created = plugins.asked.find(({ method }) => method === 'NetworkDriver.CreateNetwork')?.body;
    assert.deepEqual((created as { IPv4Data: unknown }).IPv4Data, [
      {
        AddressSpace: 'here',
        AuxAddresses: { rtr: '10.32.0.5/24' },
        Gateway: '10.32.0.1/24',
        Pool: '10.32.0.0/24',
      },
    ]);
    const at = { network: 'far', name: 'e', interfaces: [{ ipv4: '10.32.0.70' }] };
    await system.run('CreateEndpoint', at as never);
    assert.equal(bodies('RequestAddress').at(-1)?.Address, '10.32.0.70');
    plugins.reset();
    await system.run('DeleteEndpoint', { network: 'far', endpoint: 'e' });
    await system.run('DeleteNetwork', { network: 'far' });
    assert.deepEqual(plugins.methods(), [
      'DeleteEndpoint',
      'ReleaseAddress',
      'ReleaseAddress',
      'ReleaseAddress',
      'ReleasePool',
      'DeleteNetwork',
    ]);
    assert.equal(given.size, 0);
  });

  it('holds pools that overlap until it has one that does not, and releases them then', async () => {
    for (const at of [0, 1]) {
      const subnets = [{ subnet: `10.250.${at}.0/24` }];
      await system.run('CreateNetwork', { name: `own${at}`, ipam: { subnets } });
    }
    await system.run('CreateNetwork', { name: 'far', ipam });
    assert.equal(bodies('RequestPool').length, 3);
    assert.deepEqual(
      bodies('ReleasePool').map(({ PoolID }) => PoolID),
      ['p/10.250.0.0/24', 'p/10.250.1.0/24'],
    );
    assert.deepEqual([...given], ['10.250.2.1']);
    await system.check();
  });

  it('gives up after eight, and releases all of them', async () => {
    plugins.answers = {
      ...usual,
      'IpamDriver.RequestPool': () => ({ PoolID: `q${nextPool++}`, Pool: '10.9.0.0/24', Data: {} }),
      'IpamDriver.RequestAddress': () => ({ Address: '10.9.0.1/24', Data: {} }),
    };
    await system.run('CreateNetwork', { name: 'own', ipam: { subnets: [{ subnet: '10.9.0.0/16' }] } });
    const outcome = await system.outcomeOf('CreateNetwork', { name: 'far', ipam });
    assert.equal(outcome.fault?.code, 'PLUGIN_INVALID');
    assert.match(outcome.fault?.text ?? '', /SUBNET_OVERLAPS/);
    assert.deepEqual([bodies('RequestPool').length, bodies('ReleasePool').length], [8, 8]);
    assert.equal((await system.state()).networks.size, 1);
    await system.check();
  });

  it('takes back what failed: no address, no pool stays with it', async () => {
    plugins.answers = { ...usual, 'IpamDriver.RequestAddress': () => ({ Error: 'none left' }) };
    const failed = await system.outcomeOf('CreateNetwork', { name: 'far', ipam });
    assert.equal(failed.fault?.text, 'remote: none left');
    assert.equal(plugins.methods().at(-1), 'ReleasePool');
    plugins.answers = usual;
    await system.run('CreateNetwork', { name: 'far', ipam });
    machine.fail({ when: ({ object }) => object.kind === 'veth', once: true });
    const outcome = await system.outcomeOf('AttachSandbox', { sandbox: 'box', networks });
    assert.equal(outcome.status, 'failed');
    assert.equal(plugins.methods().at(-1), 'ReleaseAddress');
    assert.deepEqual([...given], ['10.250.1.1']);
    await system.check();
  });

  it('gives back what it was given and cannot use', async () => {
    plugins.answers = {
      ...usual,
      'IpamDriver.RequestPool': () => ({ PoolID: 'odd', Pool: '10.9.0.7/24', Data: {} }),
    };
    const pool = await system.outcomeOf('CreateNetwork', { name: 'far', ipam });
    assert.match(pool.fault?.text ?? '', /10\.9\.0\.7\/24" is not a subnet/);
    assert.deepEqual(bodies('ReleasePool'), [{ PoolID: 'odd' }]);
    plugins.answers = { ...usual, 'IpamDriver.RequestAddress': () => ({ Address: '10.77.0.9/24', Data: {} }) };
    plugins.reset();
    const gateway = await system.outcomeOf('CreateNetwork', { name: 'far', ipam });
    assert.match(gateway.fault?.text ?? '', /10\.77\.0\.9\/24 is not in the pool/);
    assert.deepEqual(plugins.methods().slice(-2), ['ReleaseAddress', 'ReleasePool']);
    assert.deepEqual(bodies('ReleaseAddress').at(-1), { PoolID: 'p/10.250.0.0/24', Address: '10.77.0.9' });
    plugins.answers = usual;
    await system.run('CreateNetwork', { name: 'far', ipam });
    plugins.answers = { ...usual, 'IpamDriver.RequestAddress': () => ({ Address: '10.250.1.9', Data: {} }) };
    plugins.reset();
    const endpoint = await system.outcomeOf('CreateEndpoint', { network: 'far', name: 'e' });
    assert.equal(endpoint.fault?.code, 'PLUGIN_INVALID');
    assert.deepEqual(plugins.methods(), ['RequestAddress', 'ReleaseAddress']);
    assert.deepEqual(bodies('ReleaseAddress').at(-1), { PoolID: 'p/10.250.1.0/24', Address: '10.250.1.9' });
    // What belongs to somebody stays theirs, whatever it is given as.
    plugins.answers = { ...usual, 'IpamDriver.RequestAddress': () => ({ Address: '10.250.1.1', Data: {} }) };
    plugins.reset();
    await system.outcomeOf('CreateEndpoint', { network: 'far', name: 'e' });
    assert.deepEqual(plugins.methods(), ['RequestAddress']);
    await system.check();
  });

  it('releases no pool of another network that it was given once more', async () => {
    await system.run('CreateNetwork', { name: 'far', ipam });
    let tries = 0;
    plugins.answers = {
      ...usual,
      'IpamDriver.RequestPool': (asked) =>
        tries++ < 2 ? { PoolID: 'p/10.250.0.0/24', Pool: '10.250.0.0/24', Data: {} } : requestPool(asked),
      'IpamDriver.RequestAddress': (asked) =>
        tries < 3 ? { Address: '10.250.0.1/24', Data: {} } : requestAddress(asked),
    };
    plugins.reset();
    await system.run('CreateNetwork', { name: 'next', ipam });
    assert.equal(plugins.methods().filter((method) => method === 'RequestPool').length, 3);
    assert.deepEqual(
      plugins.methods().filter((method) => /Release/.test(method)),
      [],
    );
    await system.check();
  });

  it('refuses an address that it has given before', async () => {
    await system.run('CreateNetwork', { name: 'far', ipam });
    plugins.answers = { ...usual, 'IpamDriver.RequestAddress': () => ({ Address: '10.250.0.9/24', Data: {} }) };
    await system.run('CreateEndpoint', { network: 'far', name: 'one' });
    plugins.reset();
    const outcome = await system.outcomeOf('CreateEndpoint', { network: 'far', name: 'two' });
    assert.equal(outcome.fault?.code, 'PLUGIN_INVALID');
    assert.match(outcome.fault?.text ?? '', /ADDRESS_IN_USE/);
    await system.check();
    // It is the first one's still.
    assert.deepEqual(plugins.methods(), ['RequestAddress']);
    await system.run('DeleteEndpoint', { network: 'far', endpoint: 'one' });
    assert.deepEqual(plugins.methods(), ['RequestAddress', 'ReleaseAddress']);
  });

  it('releases nothing late that a network has again', async () => {
    const subnets = [{ subnet: '10.32.0.0/24', gateway: '10.32.0.1', aux: { rtr: '10.32.0.5' } }];
    await system.run('CreateNetwork', { name: 'far', ipam: { ...ipam, subnets } });
    const stated = async () => (await system.events()).filter(({ type }) => type === 'HostFacts').length;
    const before = await stated();
    plugins.go('phone');
    await system.run('DeleteNetwork', { network: 'far' });
    await waitFor(async () => (await stated()) === before + 1, { what: 'the plugin to be missed' });
    given = new Set();
    const { promise, resolve } = Promise.withResolvers<undefined>();
    plugins.answers = { ...usual, 'IpamDriver.ReleaseAddress': () => promise };
    plugins.reset();
    plugins.come('phone');
    await waitFor(async () => (await stated()) === before + 2, { what: 'the plugin to be there' });
    await system.run('CreateNetwork', { name: 'far', ipam: { ...ipam, subnets } });
    // Under way before anybody had it again.
    assert.deepEqual(
      bodies('ReleaseAddress').map(({ Address }) => Address),
      ['10.32.0.1'],
    );
    resolve(undefined);
    plugins.answers = usual;
    await system.run('DeleteNetwork', { network: 'far' });
    const released = ['ReleaseAddress', 'ReleaseAddress', 'ReleasePool'];
    assert.deepEqual(plugins.methods().slice(-4), ['RequestAddress', ...released]);
    assert.equal(plugins.methods().filter((method) => /Release/.test(method)).length, 4);
    assert.equal(given.size, 0);
  });

  it('makes a MAC where it has to name one, and it is the endpoint’s', async () => {
    await system.stopWorker();
    plugins = ask({ 'IpamDriver.GetCapabilities': () => ({ RequiresMACAddress: true, RequiresRequestReplay: true }) });
    await system.startWorker({ plugins });
    await system.run('CreateNetwork', { name: 'far', ipam });
    const { endpoints } = await system.run('AttachSandbox', { sandbox: 'box', networks });
    const { mac, ipv4 } = endpoints[0] ?? {};
    assert.deepEqual((bodies('RequestAddress').at(-1) as never as { Options: unknown }).Options, {
      'com.docker.network.endpoint.macaddress': mac,
    });
    // A worker that starts anew tells it all once more before it asks for anything.
    await system.stopWorker();
    given = new Set();
    plugins = ask({ 'IpamDriver.GetCapabilities': () => ({ RequiresMACAddress: true, RequiresRequestReplay: true }) });
    await system.startWorker({ plugins });
    const next = await system.run('AttachSandbox', { sandbox: 'next', networks });
    assert.notEqual(next.endpoints[0]?.ipv4, ipv4);
    assert.deepEqual(
      bodies('RequestAddress').map(({ Address }) => Address),
      ['10.250.0.1', '10.250.0.2', ''],
    );
    assert.equal(bodies('RequestPool').length, 1);
    await system.check();
  });
});
