/** Files and names of sandboxes on a kernel in memory: there with the first join, changed with what they say, gone with the last leave. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { KernelObject } from '../../drivers/objects.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

describe('a worker, files and names', () => {
  let machine = new MemoryMachine();
  let system: System;
  const kernel = () => memoryKernel(machine, { realm, host });
  const of = <K extends KernelObject['kind']>(kind: K) =>
    machine.objects().filter((object): object is Extract<KernelObject, { kind: K }> => object.kind === kind);
  const file = (name: string): string => of('file').find(({ path }) => path.endsWith(`/${name}`))?.content ?? '';
  const addresses = (): readonly string[] => file('hosts').trimEnd().split('\n').slice(6);

  beforeEach(async () => {
    machine = new MemoryMachine();
    system = await new System({ ...memoryStreams(), kernel: kernel(), runDir: '/run/cnm' }).start();
    for (const [index, name] of ['a', 'b'].entries()) {
      await system.run('CreateNetwork', { name, ipam: { subnets: [{ subnet: `10.${index + 1}.0.0/24` }] } });
    }
  });
  afterEach(() => system.stop());

  it('makes files with the first join, follows members and gateway, and removes them with the last leave', async () => {
    for (const network of ['a', 'b']) await system.run('CreateEndpoint', { network, name: 'e' });
    const extraHosts = [{ name: 'outside', address: 'host-gateway' }];
    const settings = { sandbox: 'box', hostname: 'web', domainname: 'shop.example', extraHosts };
    await system.run('JoinEndpoint', { network: 'a', endpoint: 'e', ...settings });
    const [row] = [...(await system.state()).sandboxes.values()];
    const directory = row?.facts.files;
    assert.deepEqual(
      of('file')
        .map(({ path }) => path)
        .sort(),
      ['hostname', 'hosts', 'resolv.conf'].map((name) => `${directory}/${name}`),
    );
    assert.deepEqual(addresses(), ['10.1.0.1\toutside', '10.1.0.2\tweb.shop.example web']);
    await system.run('JoinEndpoint', { network: 'b', endpoint: 'e', sandbox: 'box' });
    assert.deepEqual(addresses().slice(1), ['10.1.0.2\tweb.shop.example web', '10.2.0.2\tweb.shop.example web']);
    await system.run('LeaveEndpoint', { network: 'a', endpoint: 'e' });
    assert.deepEqual(addresses(), ['10.2.0.1\toutside', '10.2.0.2\tweb.shop.example web']);
    assert.equal(of('resolver').length, 1);
    await system.check();
    await system.run('LeaveEndpoint', { network: 'b', endpoint: 'e' });
    assert.deepEqual([of('file'), of('resolver')], [[], []]);
    await system.check();
  });

  it('changes the files of all sandboxes of a network whose settings change, and puts them back if that fails', async () => {
    for (const sandbox of ['one', 'two']) await system.run('AttachSandbox', { sandbox, networks: [{ network: 'a' }] });
    await system.run('AttachSandbox', { sandbox: 'three', networks: [{ network: 'b' }] });
    const before = machine.objects();
    const changed = {
      network: 'a',
      dns: { search: ['net.example'] },
      options: { 'com.docker.network.driver.mtu': '1400' },
    };
    machine.fail({ when: ({ op, object }) => op === 'update' && object.kind === 'veth', once: true });
    const failed = await system.outcomeOf('UpdateNetwork', changed);
    assert.equal(failed.fault?.code, 'KERNEL_ERROR');
    assert.deepEqual(machine.objects(), before);
    await system.check();
    await system.run('UpdateNetwork', changed);
    assert.equal(of('file').filter(({ content }) => content.includes('search net.example')).length, 2);
    assert.deepEqual([...of('bridge'), ...of('veth')].map(({ mtu }) => mtu).sort(), [1400, 1400, 1400, 1500, 1500]);
    await system.check();
  });

  it('separates the endpoints of a network, and joins them again', async () => {
    await system.run('AttachSandbox', { sandbox: 'one', networks: [{ network: 'a' }] });
    const icc = (allowed: boolean) => ({ 'com.docker.network.bridge.enable_icc': String(allowed) });
    const before = machine.objects();
    const [network] = [...(await system.state()).networks.values()];
    await system.run('UpdateNetwork', { network: 'a', options: icc(false) });
    assert.deepEqual(
      [of('veth')[0]?.isolated, of('element').some(({ set, tag }) => set === 'icc' && tag.id === network?.facts.id)],
      [true, false],
    );
    await system.run('UpdateNetwork', { network: 'a', options: icc(true) });
    assert.deepEqual(
      new Set(machine.objects().map((object) => JSON.stringify(object))),
      new Set(before.map((object) => JSON.stringify(object))),
    );
    await system.check();
  });

  it('makes no files and no resolver for sandboxes that are the host, and no resolver where there are no addresses', async () => {
    await system.run('CreateNetwork', { name: 'h', driver: 'host' });
    await system.run('CreateNetwork', { name: 'n', driver: 'null' });
    await system.run('AttachSandbox', { sandbox: 'same', networks: [{ network: 'h' }] });
    assert.deepEqual([of('file'), of('resolver')], [[], []]);
    await system.run('AttachSandbox', { sandbox: 'alone', networks: [{ network: 'n' }] });
    assert.deepEqual([of('file').length, of('resolver')], [3, []]);
    assert.match(file('resolv.conf'), /^nameserver 192\.0\.2\.53$/m);
    for (const sandbox of ['same', 'alone']) await system.run('DetachSandbox', { sandbox });
    assert.deepEqual([of('file'), of('netns')], [[], []]);
    await system.check();
  });

  it('has names of its sandboxes open before a join is reported, and again before it goes on after a start', async () => {
    const order: string[] = [];
    const watched = () => {
      const inner = kernel();
      return {
        ...inner,
        apply: async (...args: Parameters<typeof inner.apply>) => {
          const results = await inner.apply(...args);
          order.push('apply');
          return results;
        },
        openResolver: async (...args: Parameters<typeof inner.openResolver>) => {
          const sockets = await inner.openResolver(...args);
          order.push(`open ${args[0]}`);
          return sockets;
        },
      };
    };
    await system.stopWorker();
    await system.startWorker({ kernel: watched() });
    order.length = 0;
    await system.run('AttachSandbox', { sandbox: 'one', networks: [{ network: 'a' }] });
    await system.run('JoinEndpoint', { network: 'b', endpoint: (await endpointIn('b')).id, sandbox: 'one' });
    assert.deepEqual(order, ['apply', 'open /run/cnm/netns/one', 'apply'], 'once for a sandbox');
    await system.stopWorker();
    order.length = 0;
    await system.startWorker({ kernel: watched() });
    assert.deepEqual(order, ['open /run/cnm/netns/one']);
    await system.run('DetachSandbox', { sandbox: 'one' });
    await system.check();
  });

  it('fails a join whose names cannot be answered, with nothing left', async () => {
    const before = machine.objects();
    const inner = kernel();
    const fault = {
      code: 'KERNEL_ERROR',
      step: 'bind',
      errno: 'EADDRINUSE',
      text: 'in use',
      retryable: false,
    } as const;
    const deaf = { ...inner, openResolver: async () => ({ ok: false, fault: { ...fault, undoFaults: [] } }) as const };
    await system.stopWorker();
    await system.startWorker({ kernel: deaf });
    const outcome = await system.outcomeOf('AttachSandbox', { sandbox: 'one', networks: [{ network: 'a' }] });
    assert.equal(outcome.fault?.errno, 'EADDRINUSE');
    assert.deepEqual(machine.objects(), before);
    await system.check();
  });

  const endpointIn = async (network: string) => {
    await system.run('CreateEndpoint', { network, name: 'more' });
    const { endpoints } = await system.state();
    const row = [...endpoints.values()].find(({ facts }) => facts.name === 'more');
    return row?.facts ?? assert.fail('no endpoint');
  };
});
