/** A plan that fails leaves the machine exactly as it was, as the machine's own tools see it. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import type { KernelObject } from '../../drivers/objects.ts';
import type { Kernel, KernelFault, Operation, Plan } from '../../drivers/port.ts';
import { create, network, owner, remove, sandbox, veth } from '../support/kernel-objects.ts';
import { inOwnNamespaces, sh, shIn } from '../support/netns.ts';

/** Everything that a plan may change, as text; counters and times left out. */
const photograph = (runDir: string): string => {
  const links = JSON.parse(sh('ip -j -d addr')) as Record<string, unknown>[];
  const files = readdirSync(runDir, { recursive: true, withFileTypes: true });
  const paths = files.map(({ parentPath, name }) => `${parentPath}/${name}`).sort();
  const inside = paths
    .filter((path) => /\/s\d+$/.test(path))
    .map((path) => shIn(path, 'ip addr; ip route; ip -6 route'));
  // Timers of a bridge, and the state of a carrier, which the kernel keeps at its leisure.
  for (const link of links) for (const key of ['linkinfo', 'operstate', 'flags']) delete link[key];
  return [JSON.stringify(links, null, 1), sh('nft list ruleset'), ...paths, ...inside].join('\n');
};

const replaced = (
  objects: readonly KernelObject[],
  kind: string,
  change: Partial<Record<string, unknown>>,
): KernelObject[] =>
  objects.map((object) => (object.kind === kind ? ({ ...object, ...change } as KernelObject) : object));

if (inOwnNamespaces(import.meta.filename)) {
  describe('undoing', () => {
    const runDir = mkdtempSync('/run/cnm-test-');
    const path = (name: string): string => `${runDir}/${name}`;
    let kernel: Kernel;

    const fails = async (plan: Plan): Promise<KernelFault> => {
      const photo = photograph(runDir);
      const [result] = await kernel.apply([plan]);
      await kernel.settled();
      assert.ok(result && !result.ok);
      assert.deepEqual(result.fault.undoFaults, []);
      assert.equal(photograph(runDir), photo);
      return result.fault;
    };
    const box = (number: number): readonly KernelObject[] =>
      sandbox(`s${number}`, { network: 1, number, netns: path(`s${number}`) });
    const whole = (): readonly KernelObject[] => [...network(3), ...box(7)];

    before(async () => {
      kernel = await linuxKernel({ ...owner, runDir });
      const plans = [create('nets', [...network(1), ...network(2)]), create('box', box(2)), create('box', box(3))];
      assert.ok((await kernel.apply(plans)).every(({ ok }) => ok));
      sh('ip link add cb8 type bridge; ip link set cb8 alias somebody; ip link add cv1x8 type bridge');
      mkdirSync(path('f9'));
      writeFileSync(path('f8'), 'not ours');
    });
    after(async () => {
      await kernel.close();
      sh(`umount -R ${runDir}; rmdir ${runDir}`);
    });

    it('of creation, when a bridge is in the way', async () => {
      const fault = await fails(create('x', [...whole(), ...network(8)]));
      assert.deepEqual([fault.code, fault.step], ['FOREIGN_OBJECT', 'create bridge cb8']);
      assert.equal(fault.text, 'bridge cb8 is there and not ours: somebody');
    });

    it('of creation, when an interface has the name of a host end', async () => {
      const join = { network: 1, number: 8, netns: path('s7') };
      const fault = await fails(create('x', [...whole(), veth({ ...join, device: 'eth1' })]));
      assert.deepEqual([fault.code, fault.step], ['FOREIGN_OBJECT', 'create veth cv1x8']);
      assert.equal(fault.text, 'bridge cv1x8 is there and not ours');
    });

    it('of creation, when a file has the path of a namespace', async () => {
      for (const name of ['f8', 'f9']) {
        const fault = await fails(
          create('x', [...whole(), ...sandbox('s8', { network: 1, number: 20, netns: path(name) })]),
        );
        assert.deepEqual([fault.code, fault.step], ['FOREIGN_OBJECT', `create netns ${path(name)}`]);
      }
    });

    it('of creation, when the kernel refuses an address, a name, an MTU, a gateway, a bridge', async () => {
      const peer = { name: 'eth0', mac: '02:42:0a:01:00:07', addresses: ['10.1.0.7/16'] };
      const refused: readonly [string, Partial<Record<string, unknown>>, Partial<KernelFault>][] = [
        [
          'veth',
          { peer: { ...peer, addresses: ['10.1.0.7/33'] } },
          { errno: 'EINVAL', text: 'ipv4: Invalid prefix length' },
        ],
        ['veth', { peer: { ...peer, name: 'a/b' } }, { errno: 'EINVAL' }],
        ['veth', { peer: { ...peer, mac: 'ff:ff:ff:ff:ff:ff' } }, { errno: 'EADDRNOTAVAIL' }],
        ['veth', { name: 'a-name-too-long-for-linux' }, { errno: 'ERANGE' }],
        ['veth', { mtu: 20 }, { errno: 'EINVAL' }],
        ['veth', { bridge: 'cb99' }, { errno: 'ENODEV', text: 'no bridge cb99' }],
        [
          'route',
          { gateway: '10.99.0.1', destination: '0.0.0.0/0' },
          { errno: 'ENETUNREACH', text: 'Nexthop has invalid gateway' },
        ],
        ['route', { device: 'eth5' }, { errno: 'ENODEV' }],
        ['bridge', { mtu: 7 }, { errno: 'EINVAL', text: 'mtu less than device minimum' }],
        ['bridge', { addresses: ['10.3.0.1/16', '10.3.0.1/44'] }, { errno: 'EINVAL' }],
        ['bridge', { name: 'sla/sh' }, { errno: 'EINVAL' }],
      ];
      for (const [kind, change, expected] of refused) {
        const fault = await fails(create('x', replaced(whole(), kind, change)));
        assert.deepEqual({ ...fault, ...expected }, fault);
        assert.match(fault.step, new RegExp(`^create ${kind} `));
      }
    });

    it('of deletion and change, whatever was done before the failure', async () => {
      const [first, second] = [box(2), box(3)];
      const from = network(1)[0];
      assert.ok(from?.kind === 'bridge');
      const operations: readonly Operation[] = [
        ...remove('', second).operations,
        ...remove('', first.slice(1)).operations,
        { op: 'update', from, object: { ...from, mtu: 1400, addresses: ['10.1.0.1/16', '192.0.2.1/24'] } },
        ...remove('', network(2)).operations,
        ...create('', [...network(2), ...second]).operations,
        ...remove('', network(1)).operations,
      ];
      const bad = create('', network(8)).operations;
      for (let steps = 1; steps <= operations.length; steps++) {
        const fault = await fails({ id: 'x', operations: [...operations.slice(0, steps), ...bad] });
        assert.equal(fault.code, 'FOREIGN_OBJECT', `after ${steps} steps`);
      }
    });

    it('leaves foreign objects where they are when told to delete them', async () => {
      const names = ['f8', 'f9'].map((name) => sandbox('x', { network: 1, number: 20, netns: path(name) }).slice(0, 1));
      for (const objects of [network(8).slice(0, 1), ...names]) {
        assert.equal((await fails(remove('x', objects))).code, 'FOREIGN_OBJECT');
      }
      const fault = await fails(remove('x', [veth({ network: 1, number: 8, netns: path('s2') })]));
      assert.equal(fault.text, 'bridge cv1x8 is there and not ours');
    });
  });
}
