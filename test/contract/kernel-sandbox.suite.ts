/** What every kernel behind the port does for sandboxes beside their interfaces: settings, more addresses and routes, files, the resolver. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { KernelObject, Resolver, Route, SandboxFile } from '../../drivers/objects.ts';
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

const file = (path: string, content: string): SandboxFile => ({
  kind: 'file',
  path,
  content,
  tag: tag('sandbox', 's2'),
});

const update = (from: KernelObject, object: KernelObject) => ({
  id: 'change',
  operations: [{ op: 'update', from, object } as const],
});

const replaced = (objects: readonly KernelObject[], from: KernelObject, object: KernelObject): KernelObject[] =>
  objects.map((other) =>
    other.kind === from.kind && 'name' in other && 'name' in from && other.name === from.name ? object : other,
  );

export const sandboxSuite = (name: string, open: () => Promise<KernelHarness>): void => {
  describe(`kernel contract, sandboxes: ${name}`, () => {
    const { use, kernel, apply, faultOf, holds } = setUp(open);
    const join = () => ({ network: 1, number: 2, netns: use().path('s2') });
    const box = (): readonly KernelObject[] => sandbox('s2', join());
    const resolver = (port = 15353): Resolver => ({
      kind: 'resolver',
      netns: use().path('s2'),
      port,
      tag: tag('sandbox', 's2'),
    });
    const route = (destination: string, gateway: string, device = 'eth0'): Route => ({
      kind: 'route',
      netns: use().path('s2'),
      destination,
      gateway,
      device,
      tag: tag('endpoint', device === 'eth0' ? 'e1x2' : 'e2x2'),
    });

    it('changes whether a bridge is routed', async () => {
      await apply(create('net', network(1)));
      const internal = { ...bridge(1), routed: false };
      await apply(update(bridge(1), internal));
      await holds(...replaced(network(1), bridge(1), internal));
      await apply(update(internal, bridge(1)));
      await holds(...network(1));
    });

    it('isolates a port, and undoes it', async () => {
      const isolated = { ...veth(join()), isolated: true };
      await apply(create('net', network(1)), create('box', replaced(box(), veth(join()), isolated)));
      await use().restart();
      await holds(...network(1), ...replaced(box(), veth(join()), isolated));
      await apply(update(isolated, veth(join())));
      await holds(...network(1), ...box());
      const missing = veth({ network: 7, number: 2, netns: use().path('s2'), device: 'eth7' });
      await faultOf({
        id: 'x',
        operations: [...update(veth(join()), isolated).operations, ...create('', [missing]).operations],
      });
      await holds(...network(1), ...box());
    });

    it('gives an interface the settings that it is born with, or says why not', async () => {
      const born = (sysctls: Record<string, string>): KernelObject => ({ ...veth(join()), birth: { sysctls } });
      const withSettings = (sysctls: Record<string, string>): KernelObject[] =>
        replaced(box(), veth(join()), born(sysctls));
      await apply(create('net', network(1)));
      for (const [key, value, errno] of [
        ['net.ipv4.conf.IFNAME.no_such_setting', '1', 'ENOENT'],
        ['net.ipv4.conf.IFNAME.arp_notify', 'yes', 'EINVAL'],
      ] as const) {
        const fault = await faultOf(create('box', withSettings({ [key]: value })));
        assert.deepEqual([fault.code, fault.errno, fault.retryable], ['SYSCTL_INVALID', errno, false]);
        const words = { ENOENT: 'no such file or directory', EINVAL: 'invalid argument' }[errno];
        assert.equal(fault.text, `${key.replace('IFNAME', 'eth0')} = ${value}: ${words}`);
        assert.match(fault.step, /^create (veth|link) cv1x2$/);
        await holds(...network(1));
      }
      await apply(create('box', withSettings({ 'net.ipv4.conf.IFNAME.arp_notify': '1' })));
      await holds(...network(1), ...box());
    });

    it('holds link-local and further addresses that were asked for', async () => {
      const { peer, ...rest } = veth(join());
      const [ipv4 = '', ipv6 = ''] = peer.addresses;
      const addresses = [ipv4, '169.254.7.2/16', ipv6, 'fd00:1::77/64', 'fe80::77/64', 'fe80::12/64'];
      const wanted = replaced(box(), veth(join()), { ...rest, peer: { ...peer, addresses } });
      await apply(create('net', network(1)), create('box', wanted));
      await holds(...network(1), ...wanted);
      const other = { ...rest, peer: { ...peer, addresses: [ipv4, ipv6, 'fe80::99/64'] } };
      const { objects } = await kernel().census();
      await apply({ id: 'diff', operations: diff([...network(1), ...replaced(box(), veth(join()), other)], objects) });
      await holds(...network(1), ...replaced(box(), veth(join()), other));
    });

    it('holds routes of both families, through a gateway and on the link', async () => {
      const routes = [
        route('10.99.0.0/16', '10.1.0.9'),
        route('192.0.2.0/24', ''),
        route('fd00:99::/64', 'fd00:1::9'),
        route('2001:db8::/32', ''),
      ];
      await apply(create('net', network(1)), create('box', [...box(), ...routes.slice(0, 2)]));
      await apply(create('more', routes.slice(2)));
      await holds(...network(1), ...box(), ...routes);
      await apply(create('again', routes));
      const moved = { ...route('192.0.2.0/24', '10.1.0.8') };
      await apply(update(route('192.0.2.0/24', ''), moved), remove('some', routes.slice(2)));
      await holds(...network(1), ...box(), route('10.99.0.0/16', '10.1.0.9'), moved);
    });

    it('refuses a second route to one destination over another interface', async () => {
      const second = veth({ ...join(), network: 2, device: 'eth1' });
      const [first, other] = [route('10.99.0.0/16', '10.1.0.9'), route('10.99.0.0/16', '10.2.0.9', 'eth1')];
      await apply(create('nets', [...network(1), ...network(2)]));
      for (const objects of [[...box(), second, first, other]]) {
        const fault = await faultOf(create('box', objects));
        assert.deepEqual([fault.code, fault.errno], ['KERNEL_ERROR', 'EEXIST']);
        assert.equal(fault.text, `10.99.0.0/16 in ${use().path('s2')} leads over eth0 already`);
      }
      await apply(create('box', [...box(), second, first]));
      assert.equal((await faultOf(create('other', [other]))).errno, 'EEXIST');
      await apply(update(first, other));
      await holds(...network(1), ...network(2), ...box(), second, other);
    });

    it('moves the default routes to another interface', async () => {
      const second = { ...join(), network: 2, device: 'eth1' };
      await apply(create('nets', [...network(1), ...network(2)]), create('box', [...box(), veth(second)]));
      const moved = defaultRoutes('s2', second);
      await apply({ id: 'move', operations: diff(moved, defaultRoutes('s2', join())) });
      await holds(...network(1), ...network(2), netns(use().path('s2'), 's2'), veth(join()), veth(second), ...moved);
    });

    it('changes the MTU of a network in place', async () => {
      const [wide, narrow] = [
        [...network(1), ...box()],
        [...network(1, { mtu: 1300 }), ...sandbox('s2', { ...join(), mtu: 1300 })],
      ];
      await apply(create('all', wide));
      const operations = diff(narrow, wide);
      assert.deepEqual(
        operations.map(({ op, object }) => [op, object.kind]),
        [
          ['update', 'bridge'],
          ['update', 'veth'],
        ],
      );
      await apply({ id: 'mtu', operations });
      await holds(...narrow);
      await apply({ id: 'mtu', operations: diff(wide, narrow) });
      await holds(...wide);
    });

    it('writes files, changes them, and removes them', async () => {
      const [hosts, names] = [use().path('files/s2/hosts'), use().path('files/s2/resolv.conf')];
      await apply(create('files', [file(hosts, '127.0.0.1 localhost\n'), file(names, 'nameserver 127.0.0.11\n')]));
      await use().restart();
      await holds(file(hosts, '127.0.0.1 localhost\n'), file(names, 'nameserver 127.0.0.11\n'));
      for (const content of ['127.0.0.1 localhost\n10.1.0.2 box\n', '', 'é\n']) {
        const { objects } = await kernel().census();
        await apply({ id: 'diff', operations: diff([file(hosts, content), file(names, 'x')], objects) });
        assert.equal(await use().readFile(hosts), content);
        await holds(file(hosts, content), file(names, 'x'));
      }
      await apply(remove('files', [file(hosts, 'whatever'), file(names, 'x')]));
      await holds();
      assert.deepEqual([await use().readFile(hosts), await use().readFile(names)], [null, null]);
      await apply(remove('again', [file(hosts, '')]));
    });

    it('leaves a file alone that its user has changed', async () => {
      const path = use().path('files/s2/hosts');
      await apply(create('file', [file(path, 'one\n')]));
      await use().editFile(path, 'mine\n');
      await holds(file(path, 'one\n'));
      await apply(update(file(path, 'one\n'), file(path, 'two\n')), create('again', [file(path, 'two\n')]));
      await use().restart();
      await holds(file(path, 'two\n'));
      assert.equal(await use().readFile(path), 'mine\n');
      await apply(remove('file', [file(path, 'two\n')]));
      assert.equal(await use().readFile(path), null);
      await apply(create('file', [file(path, 'three\n')]));
      assert.equal(await use().readFile(path), 'three\n');
    });

    it('undoes what was done to files', async () => {
      const [first, second] = [use().path('files/s2/hosts'), use().path('files/s2/hostname')];
      const missing = create('', [veth({ network: 7, number: 2, netns: use().path('nowhere') })]).operations;
      await apply(create('file', [file(first, 'one\n')]));
      await faultOf({ id: 'x', operations: [...create('', [file(second, 'box\n')]).operations, ...missing] });
      await holds(file(first, 'one\n'));
      await faultOf({
        id: 'x',
        operations: [...update(file(first, 'one\n'), file(first, 'two\n')).operations, ...missing],
      });
      await holds(file(first, 'one\n'));
      await faultOf({ id: 'x', operations: [...remove('', [file(first, 'one\n')]).operations, ...missing] });
      await holds(file(first, 'one\n'));
      assert.deepEqual([await use().readFile(first), await use().readFile(second)], ['one\n', null]);
      const other = { ...file(first, 'one\n'), tag: tag('sandbox', 's3') };
      assert.equal((await faultOf(create('other', [other]))).code, 'FOREIGN_OBJECT');
      await apply(remove('other', [other]));
      await holds(file(first, 'one\n'));
    });

    it('leads to the resolver, in a new sandbox and in one that is there', async () => {
      await apply(create('net', network(1)), create('box', [...box(), resolver()]));
      await holds(...network(1), ...box(), resolver());
      await apply(create('again', [resolver()]), update(resolver(), resolver(15454)));
      await use().restart();
      await holds(...network(1), ...box(), resolver(15454));
      await apply(remove('resolver', [resolver(15454)]), remove('again', [resolver(15454)]));
      await holds(...network(1), ...box());
      await apply(create('resolver', [resolver()]));
      await faultOf({
        id: 'x',
        operations: [
          ...remove('', [resolver()]).operations,
          ...create('', [veth({ ...join(), network: 7 })]).operations,
        ],
      });
      await holds(...network(1), ...box(), resolver());
      await apply(remove('box', [...box(), resolver()]));
      await kernel().settled();
      await holds(...network(1));
      assert.equal((await faultOf(create('resolver', [resolver()]))).code, 'NETNS_UNUSABLE');
    });

    it('leads to the resolver in a brought namespace, and leaves nothing there', async () => {
      const path = await use().bringNamespace('guest');
      const objects = [netns(path, 'g', false), { ...resolver(), netns: path, tag: tag('sandbox', 'g') }];
      await apply(create('box', objects));
      await holds(...objects);
      await apply(remove('box', objects));
      await holds();
      assert.ok(await use().hasNamespace(path));
    });

    it('opens no sockets where there is no namespace', async () => {
      const opened = await kernel().openResolver(use().path('nowhere'), 15353);
      assert.ok(!opened.ok);
      assert.equal(opened.fault.code, 'NETNS_UNUSABLE');
      assert.equal(opened.fault.step, `open resolver in ${use().path('nowhere')}`);
    });
  });
};
