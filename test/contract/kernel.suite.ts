/** What every kernel behind the port does, in memory or on Linux. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Element, KernelObject } from '../../drivers/objects.ts';
import { diff } from '../../drivers/plan.ts';
import {
  bridge,
  create,
  defaultRoutes,
  netns,
  network,
  remove,
  sandbox,
  tag,
  veth,
} from '../support/kernel-objects.ts';
import { type KernelHarness, setUp } from './kernel-harness.ts';

export const kernelSuite = (name: string, open: () => Promise<KernelHarness>): void => {
  describe(`kernel contract: ${name}`, () => {
    const { use, kernel, apply, faultOf, holds } = setUp(open);
    const box = (number: number, at = 1): readonly KernelObject[] =>
      sandbox(`s${number}`, { network: at, number, netns: use().path(`s${number}`) });

    it('holds nothing at first', () => holds());

    it('holds what was created, and nothing of it after deletion', async () => {
      await apply(create('net', network(1)), create('box', box(2)));
      await holds(...network(1), ...box(2));
      await apply(remove('box', box(2)), remove('net', network(1)));
      await holds();
      await kernel().settled();
      await holds();
    });

    it('takes creation of what is there, and deletion of what is not, as done', async () => {
      await apply(create('net', network(1)), create('box', box(2)));
      await apply(create('net again', network(1)), create('box again', box(2)));
      await holds(...network(1), ...box(2));
      await apply(remove('box', box(2)));
      await apply(remove('box again', box(2)), remove('net', network(1)), remove('net again', network(1)));
      await holds();
    });

    it('makes again what was just deleted, under the same names', async () => {
      await apply(create('net', network(1)));
      for (let round = 0; round < 3; round++) {
        await apply(create('box', box(2)), remove('unbox', box(2)), create('box again', box(2)));
        await holds(...network(1), ...box(2));
        await apply(remove('box', box(2)), remove('net', network(1)), create('net', network(1)));
        await holds(...network(1));
      }
    });

    it('keeps everything over a restart', async () => {
      await apply(create('net', network(1, { internal: true })), create('box', box(2)), create('box', box(3)));
      await use().restart();
      await holds(...network(1, { internal: true }), ...box(2), ...box(3));
      await apply(remove('box', box(2)), create('box', box(4)));
      await holds(...network(1, { internal: true }), ...box(3), ...box(4));
    });

    it('attaches one sandbox to several networks at once, and detaches one of them', async () => {
      const path = use().path('s');
      const [first, second] = [
        { network: 1, number: 2, netns: path, device: 'eth0' },
        { network: 2, number: 2, netns: path, device: 'eth1' },
      ];
      await apply(create('nets', [...network(1), ...network(2)]));
      await apply(create('box', [netns(path, 's'), veth(first), veth(second), ...defaultRoutes('s', first)]));
      await holds(
        ...network(1),
        ...network(2),
        netns(path, 's'),
        veth(first),
        veth(second),
        ...defaultRoutes('s', first),
      );
      const operations = diff([...defaultRoutes('s', second)], [veth(first), ...defaultRoutes('s', first)]);
      await apply({ id: 'leave', operations });
      await holds(...network(1), ...network(2), netns(path, 's'), veth(second), ...defaultRoutes('s', second));
      const third = { network: 1, number: 3, netns: path, device: 'eth0' };
      await apply(create('join', [veth(third)]));
      await holds(
        ...network(1),
        ...network(2),
        netns(path, 's'),
        veth(second),
        veth(third),
        ...defaultRoutes('s', second),
      );
    });

    it('undoes a plan whose last operation fails, and goes on with the next', async () => {
      await apply(create('net', network(1)));
      const bad = defaultRoutes('s2', { network: 9, number: 2, netns: use().path('s2') });
      const good = box(2).filter((object) => object.kind !== 'route');
      const results = await kernel().apply([create('bad', [...network(2), ...good, ...bad]), create('good', box(3))]);
      assert.deepEqual(results[1], { ok: true });
      assert.ok(results[0] && !results[0].ok);
      const { code, errno, text, step, undoFaults } = results[0].fault;
      assert.deepEqual(
        [code, errno, text, undoFaults],
        ['KERNEL_ERROR', 'ENETUNREACH', 'Nexthop has invalid gateway', []],
      );
      assert.match(step, /^create route /);
      await holds(...network(1), ...box(3));
    });

    it('does nothing of a plan that needs a link which is not there', async () => {
      await use().addForeignBridge('up7');
      const [first, second] = await kernel().apply([
        { ...create('net', network(1)), needs: ['up7', 'eth7'] },
        { ...create('other', network(2)), needs: ['up7'] },
      ]);
      assert.ok(first && !first.ok);
      const { code, errno, text, step, undoFaults } = first.fault;
      assert.deepEqual(
        [code, errno, text, step, undoFaults],
        ['KERNEL_ERROR', 'ENODEV', 'no interface eth7', 'look for interface eth7', []],
      );
      assert.deepEqual(second, { ok: true });
      await holds(...network(2));
    });

    it('undoes deletions and changes too', async () => {
      await apply(create('net', network(1)), create('box', box(2)));
      const wide = { ...bridge(1), mtu: 1400, addresses: ['10.1.0.1/16', '10.77.0.1/24'] };
      const missing = veth({ network: 7, number: 2, netns: use().path('s2'), device: 'eth7' });
      const fault = await faultOf({
        id: 'all',
        operations: [
          { op: 'update', from: bridge(1), object: wide },
          ...remove('box', box(2)).operations,
          ...remove('net', network(1)).operations,
          { op: 'create', object: missing },
        ],
      });
      assert.ok(['KERNEL_ERROR', 'NETNS_UNUSABLE'].includes(fault.code));
      await holds(...network(1), ...box(2));
    });

    it('undoes the leaving of one network', async () => {
      const path = use().path('s2');
      await apply(create('net', network(1)), create('box', box(2)));
      const join = { network: 1, number: 2, netns: path };
      const left = remove('leave', [veth(join), ...defaultRoutes('s2', join)]);
      const missing = veth({ network: 7, number: 2, netns: path, device: 'eth0' });
      await faultOf({ id: 'swap', operations: [...left.operations, { op: 'create', object: missing }] });
      await holds(...network(1), ...box(2));
    });

    it('leaves a foreign bridge alone, and names it', async () => {
      await use().addForeignBridge('cb1');
      const fault = await faultOf(create('net', [...network(2), ...network(1)]));
      assert.equal(fault.code, 'FOREIGN_OBJECT');
      assert.match(fault.text, /cb1/);
      const deletion = await faultOf(remove('net', network(1)));
      assert.equal(deletion.code, 'FOREIGN_OBJECT');
      assert.deepEqual(await use().foreignBridges(), ['cb1']);
      await holds();
    });

    it('neither takes over nor removes what another incarnation holds', async () => {
      const other = { ...bridge(1), tag: tag('network', 'n1b') };
      await apply(create('net', network(1)));
      assert.equal((await faultOf(create('other', [other]))).code, 'FOREIGN_OBJECT');
      await apply(remove('other', [other]));
      await holds(...network(1));
    });

    it('changes the tag of an object by an update', async () => {
      const other = { ...bridge(1), tag: tag('network', 'n1b') };
      await apply(create('net', [bridge(1)]));
      await apply({ id: 'retag', operations: [{ op: 'update', from: bridge(1), object: other }] });
      await holds(other);
    });

    it('changes a bridge', async () => {
      const wanted = { ...bridge(1), mtu: 1400, mac: '02:42:0a:01:00:99', addresses: ['10.1.0.9/16', 'fd00:1::9/64'] };
      await apply(create('net', network(1)));
      await apply({ id: 'change', operations: [{ op: 'update', from: bridge(1), object: wanted }] });
      await holds(...network(1).filter(({ kind }) => kind === 'element'), wanted);
    });

    it('changes a veth and keeps its routes', async () => {
      const join = { network: 1, number: 2, netns: use().path('s2') };
      const from = veth(join);
      const peer = { ...from.peer, mac: '02:42:0a:01:00:77', addresses: ['10.1.7.7/16', 'fd00:1::77/64'] };
      const object = { ...from, mtu: 1300, peer, bridge: 'cb2' };
      await apply(create('net', [...network(1), ...network(2)]), create('box', box(2)));
      await apply({ id: 'change', operations: [{ op: 'update', from, object }] });
      await holds(...network(1), ...network(2), netns(join.netns, 's2'), object, ...defaultRoutes('s2', join));
    });

    it('replaces a route', async () => {
      const join = { network: 1, number: 2, netns: use().path('s2') };
      const [from] = defaultRoutes('s2', join);
      assert.ok(from);
      const object = { ...from, gateway: '10.1.0.9' };
      await apply(create('net', network(1)), create('box', box(2)));
      await apply({ id: 'change', operations: [{ op: 'update', from, object }] });
      await holds(
        ...network(1),
        ...box(2).filter((other) => other.kind !== 'route' || other.destination === '::/0'),
        object,
      );
    });

    it('uses a brought namespace, and leaves it', async () => {
      const path = await use().bringNamespace('guest');
      const join = { network: 1, number: 2, netns: path };
      const objects = [netns(path, 'g', false), veth(join), ...defaultRoutes('g', join)];
      await apply(create('net', network(1)), create('box', objects));
      await holds(...network(1), ...objects);
      await use().restart();
      await holds(...network(1), ...objects);
      await apply(remove('box', objects));
      await kernel().settled();
      await holds(...network(1));
      assert.ok(await use().hasNamespace(path));
    });

    it('refuses a brought namespace that is not there', async () => {
      const fault = await faultOf(create('box', [netns(use().path('nowhere'), 'g', false)]));
      assert.equal(fault.code, 'NETNS_UNUSABLE');
      await holds();
    });

    it('refuses a veth without its bridge or its namespace', async () => {
      const join = { network: 1, number: 2, netns: use().path('s2') };
      await apply(create('box', [netns(join.netns, 's2')]));
      assert.equal((await faultOf(create('veth', [veth(join)]))).errno, 'ENODEV');
      await apply(create('net', network(1)));
      const nowhere = veth({ ...join, netns: use().path('nowhere') });
      assert.equal((await faultOf(create('veth', [nowhere]))).code, 'NETNS_UNUSABLE');
      await holds(...network(1), netns(join.netns, 's2'));
    });

    it('lets the planner reach any state from any other', async () => {
      const states = [
        [...network(1), ...box(2)],
        [...network(1, { internal: true }), ...network(2), ...box(2, 2), ...box(3)],
        [],
        [...network(2), ...box(4, 2), netns(use().path('s5'), 's5')],
      ];
      for (const wanted of states) {
        const { objects } = await kernel().census();
        await apply({ id: 'diff', operations: diff(wanted, objects) });
        await holds(...wanted);
      }
    });

    it('publishes ports, and leads them elsewhere in place', async () => {
      const owned = tag('sandbox', 's2');
      const every: Element = {
        kind: 'element',
        set: 'dnat4',
        key: ['tcp', '8080'],
        data: ['10.1.0.2', '80'],
        tag: owned,
      };
      const one: Element = { ...every, set: 'dnat6ip', key: ['fd00:9::1', 'udp', '53'], data: ['fd00:1::2', '5353'] };
      const moved: Element = { ...every, data: ['10.1.0.3', '8080'] };
      await apply(create('ports', [every, one]));
      await apply({ id: 'move', operations: diff([moved, one], [every, one]) });
      await use().restart();
      await holds(moved, one);
      await faultOf({
        id: 'x',
        operations: [
          { op: 'update', from: moved, object: every },
          ...remove('', [one]).operations,
          ...create('', [veth({ network: 7, number: 2, netns: use().path('nowhere') })]).operations,
        ],
      });
      await holds(moved, one);
      await apply(remove('ports', [every, one]));
      await holds();
    });

    it('does not publish a port that a process of the host has, and names it', async () => {
      const port = await use().listen();
      const key = ['127.0.0.1', 'tcp', String(port)];
      const data = ['10.1.0.2', '80'];
      const element: Element = { kind: 'element', set: 'dnat4ip', key, data, tag: tag('sandbox', 's2') };
      for (const taken of [element, { ...element, set: 'dnat4', key: key.slice(1) } as const]) {
        const fault = await faultOf(create('port', [bridge(1), taken]));
        assert.equal(fault.code, 'PORT_IN_USE');
        assert.match(fault.text, new RegExp(`^tcp 127.0.0.1:${port} is held by pid \\d+ \\(.+\\)$`));
      }
      await holds();
      await apply(create('others', [{ ...element, key: ['127.0.0.2', ...key.slice(1)] }]));
    });

    it('finds free ports of the host', async () => {
      const port = await use().listen();
      const search = { protocol: 'tcp', addresses: ['127.0.0.1'], count: 1, choice: null, avoid: [] } as const;
      const choice = { from: port, to: port };
      const [one, none, other, avoided] = await kernel().findPorts([
        search,
        { ...search, choice },
        { ...search, choice, protocol: 'udp' },
        { ...search, choice, protocol: 'udp', avoid: [port] },
      ]);
      assert.ok(one && one !== port);
      assert.deepEqual([none, other, avoided], [null, port, null]);
      const around = { from: port - 1, to: port + 1 };
      assert.deepEqual(await kernel().findPorts([{ ...search, count: 3, choice: around }]), [null]);
    });

    it('knows its facts', async () => {
      const facts = await kernel().facts();
      assert.equal(typeof facts.kernel, 'string');
      assert.ok(facts.mtu >= 1280);
      for (const routes of Object.values(facts.linkRoutes))
        assert.deepEqual(
          routes.filter((route) => !facts.routes.includes(route)),
          [],
        );
      const { vxlan, macvlan, ipvlan, vlan, esp, ...everywhere } = facts.capabilities;
      assert.ok(Object.values(everywhere).every(Boolean));
      assert.ok([vxlan, macvlan, ipvlan, vlan, esp].every((known) => typeof known === 'boolean'));
    });
  });
};
