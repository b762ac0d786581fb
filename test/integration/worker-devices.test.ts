/** Networks of macvlan and ipvlan from the command to the kernel in memory: parents, VLANs that several want, routes, refusals. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type KernelObject, objectKey } from '../../drivers/objects.ts';
import { byKey } from '../support/kernel-objects.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

describe('devices, from the command to the kernel', () => {
  let machine: MemoryMachine;
  let system: System;
  const vlans = (): readonly (readonly [string, string])[] =>
    machine.objects().flatMap((object) => (object.kind === 'vlan' ? [[object.name, object.tag.id] as const] : []));
  const create = async (name: string, driver: string, options: Record<string, string>, more: object = {}) => {
    const outcome = await system.run('CreateNetwork', { name, driver, options, ...more });
    return outcome.network?.id ?? '';
  };
  const ofKind = async <K extends KernelObject['kind']>(kind: K) =>
    (await system.check()).filter((object): object is Extract<KernelObject, { kind: K }> => object.kind === kind);

  beforeEach(async () => {
    machine = new MemoryMachine();
    machine.addForeign('link eth0');
    system = await new System({
      ...memoryStreams(),
      kernel: memoryKernel(machine, { realm, host }),
      runDir: '/run/cnm',
    }).start();
  });
  afterEach(() => system.stop());

  it('keeps a VLAN as long as a network wants it, whichever goes first', async () => {
    const options = { parent: 'eth0.50' };
    for (const first of [0, 1] as const) {
      const names = ['a', 'b'];
      const ids = [await create('a', 'macvlan', options), await create('b', 'macvlan', options)];
      assert.deepEqual(vlans(), [['eth0.50', ids[1]]]);
      await system.check();
      await system.run('DeleteNetwork', { network: names[first] ?? '' });
      assert.deepEqual(vlans(), [['eth0.50', ids[1 - first]]]);
      await system.stopWorker();
      await system.startWorker();
      await system.check();
      assert.deepEqual(vlans(), [['eth0.50', ids[1 - first]]]);
      await system.run('DeleteNetwork', { network: names[1 - first] ?? '' });
      assert.deepEqual(await system.check(), []);
    }
  });

  it('makes again what somebody has removed', async () => {
    await create('a', 'macvlan', { parent: 'eth0.50' });
    await create('b', 'macvlan', {});
    await system.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a' }, { network: 'b' }] });
    const before = await system.check();
    for (const object of machine.objects()) {
      if (['vlan', 'stub', 'device'].includes(object.kind)) machine.tamper(objectKey(object), null);
    }
    await system.stopWorker();
    await system.startWorker();
    assert.deepEqual(byKey(await system.check()), byKey(before));
  });

  it('fails a network whose parent is missing, with nothing made, and takes it when it is there', async () => {
    for (const parent of ['eth9', 'eth9.7']) {
      const data = { name: 'lan', driver: 'macvlan', options: { parent } };
      const outcome = await system.outcomeOf('CreateNetwork', data);
      assert.deepEqual(
        [outcome.status, outcome.fault?.errno, outcome.fault?.text],
        ['failed', 'ENODEV', 'no interface eth9'],
      );
      assert.deepEqual(await system.check(), []);
    }
    machine.addForeign('link eth9');
    await create('lan', 'macvlan', { parent: 'eth9' });
  });

  it('leads out over the link on layer 3 of ipvlan, over a given gateway on layer 2, and else not', async () => {
    const subnets = (third: number, gateway: object) => ({
      ipam: { subnets: [{ subnet: `10.9.${third}.0/24`, ...gateway }] },
    });
    machine.addForeign('link eth1');
    machine.addForeign('link eth2');
    await create('l3', 'ipvlan', { parent: 'eth0', ipvlan_mode: 'l3' }, subnets(1, {}));
    await create('l2', 'ipvlan', { parent: 'eth1' }, subnets(2, { gateway: '10.9.2.254' }));
    await create('none', 'ipvlan', { parent: 'eth2' }, subnets(3, {}));
    for (const [network, gateways] of [
      ['l3', ['']],
      ['l2', ['10.9.2.254']],
      ['none', []],
    ] as const) {
      const { endpoints } = await system.run('AttachSandbox', { sandbox: network, networks: [{ network }] });
      assert.equal(endpoints[0]?.mac, null);
      assert.deepEqual(
        (await ofKind('route')).map(({ destination, gateway }) => [destination, gateway]),
        gateways.map((one) => ['0.0.0.0/0', one]),
      );
      await system.run('DetachSandbox', { sandbox: network });
    }
  });

  it('moves the default route between a bridge and a parent’s gateway', async () => {
    await create(
      'lan',
      'macvlan',
      { parent: 'eth0' },
      { ipam: { subnets: [{ subnet: '10.9.1.0/24', gateway: '10.9.1.254' }] } },
    );
    await system.run('CreateNetwork', { name: 'home', driver: 'bridge' });
    await system.run('AttachSandbox', {
      sandbox: 'box',
      networks: [
        { network: 'home', name: 'ep' },
        { network: 'lan', name: 'ep', gatewayPriority: 1 },
      ],
    });
    const over = async () => (await ofKind('route')).map(({ device, gateway }) => `${device} ${gateway}`);
    assert.deepEqual(await over(), ['eth1 10.9.1.254']);
    await system.run('LeaveEndpoint', { network: 'lan', endpoint: 'ep' });
    assert.match(String(await over()), /^eth0 /);
    await system.run('JoinEndpoint', { network: 'lan', endpoint: 'ep', sandbox: 'box' });
    assert.deepEqual(await over(), ['eth1 10.9.1.254']);
  });

  it('refuses what a parent cannot carry beside what it has', async () => {
    await create('lan', 'macvlan', { parent: 'eth0' });
    for (const [driver, options] of [
      ['ipvlan', { parent: 'eth0' }],
      ['macvlan', { parent: 'eth0', macvlan_mode: 'passthru' }],
    ] as const) {
      const first = await system.send('CreateNetwork', { name: 'x', driver, options }).first;
      assert.equal(first.kind === 'refused' ? first.code : null, 'DRIVER_FORBIDS');
    }
    const port = { hostAddress: '0.0.0.0', hostPort: 8080, port: 80 };
    const attach = { sandbox: 'box', networks: [{ network: 'lan', ports: [port] }] };
    const first = await system.send('AttachSandbox', attach).first;
    assert.equal(first.kind === 'refused' ? first.code : null, 'DRIVER_FORBIDS');
  });
});
