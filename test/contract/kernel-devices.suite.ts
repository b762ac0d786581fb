/** What every kernel behind the port does with interfaces inside sandboxes that have no end on the host, and with what they stand on. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Device, DeviceSource, KernelObject, Route, Stub, Vlan } from '../../drivers/objects.ts';
import { diff } from '../../drivers/plan.ts';
import type { Plan } from '../../drivers/port.ts';
import { create, netns, network, remove, tag, veth } from '../support/kernel-objects.ts';
import { type KernelHarness, setUp } from './kernel-harness.ts';

const macvlan = (parent = 'up0', mode: 'private' | 'vepa' | 'bridge' | 'passthru' = 'bridge'): DeviceSource => ({
  type: 'macvlan',
  parent,
  mode,
});

const stub: Stub = { kind: 'stub', name: 'cpn7', mtu: 1500, tag: tag('network', 'n7') };
const vlan: Vlan = { kind: 'vlan', name: 'up0.50', parent: 'up0', id: 50, tag: tag('network', 'n7') };

const update = (from: KernelObject, object: KernelObject): Plan => ({
  id: 'change',
  operations: [{ op: 'update', from, object }],
});

/** The operations of plans, as one plan. */
const together = (...plans: readonly Plan[]): Plan => ({
  id: 'all',
  operations: plans.flatMap(({ operations }) => operations),
});

export const devicesSuite = (name: string, open: () => Promise<KernelHarness>): void => {
  describe(`kernel contract, devices: ${name}`, () => {
    const { use, kernel, apply, faultOf, holds } = setUp(open);
    const box = (id = 's2'): KernelObject => netns(use().path(id), id);
    const device = (change: Partial<Device> = {}): Device => ({
      kind: 'device',
      netns: use().path('s2'),
      name: 'eth0',
      source: macvlan(),
      mac: '02:42:0a:07:00:02',
      mtu: 1500,
      addresses: ['10.7.0.2/16', 'fd00:7::2/64'],
      birth: { sysctls: {}, link: '' },
      tag: tag('endpoint', 'e7x2'),
      ...change,
    });
    const second = (change: Partial<Device> = {}): Device =>
      device({
        netns: use().path('s3'),
        mac: '02:42:0a:07:00:03',
        addresses: ['10.7.0.3/16'],
        tag: tag('endpoint', 'e7x3'),
        ...change,
      });
    const route = (change: Partial<Route> = {}): Route => ({
      kind: 'route',
      netns: use().path('s2'),
      destination: '0.0.0.0/0',
      gateway: '10.7.0.1',
      device: 'eth0',
      tag: tag('sandbox', 's2'),
      ...change,
    });
    /** Fails: there is no such bridge. */
    const broken = (): Plan => create('', [veth({ network: 9, number: 2, netns: use().path('s2') })]);

    it('makes them with the namespace and in one that is there, and finds them again', async () => {
      await use().addLink('up0');
      await apply(create('box', [box(), device(), route()]));
      await holds(box(), device(), route());
      const other = device({
        name: 'eth1',
        mac: '02:42:0a:08:00:02',
        addresses: ['10.8.0.2/24'],
        tag: tag('endpoint', 'e8x2'),
      });
      await apply(create('more', [other]), create('again', [device(), route()]));
      await use().restart();
      await apply(create('again', [other]));
      await holds(box(), device(), other, route());
      await apply(remove('box', [box(), device(), other, route()]), remove('again', [device()]));
      await holds();
    });

    it('holds several on one parent, each in the mode that was asked for', async () => {
      await use().addLink('up0');
      const all = (['private', 'vepa', 'bridge'] as const).flatMap((mode, at): KernelObject[] => {
        const [id, number] = [`s${at}`, `0${at}`];
        const source = macvlan('up0', mode);
        const own = {
          mac: `02:42:0a:07:01:${number}`,
          addresses: [`10.7.1.${at + 1}/24`],
          tag: tag('endpoint', `e${at}`),
        };
        return [box(id), device({ netns: use().path(id), source, ...own })];
      });
      await apply(create('all', all));
      await holds(...all);
      await apply(remove('all', all));
      await holds();
    });

    it('leaves open what is null, and sees no difference in it', async () => {
      await use().addLink('up0');
      const open = device({ mac: null, mtu: null });
      await apply(create('box', [box(), open]));
      const { objects } = await kernel().census();
      assert.deepEqual(diff([box(), open], objects), []);
      assert.deepEqual(
        diff([box(), { ...open, addresses: ['10.7.0.9/16'] }], objects).map(({ op }) => op),
        ['update'],
      );
    });

    it('changes addresses, MTU, MAC, mode and parent', async () => {
      await use().addLink('up0');
      await use().addLink('up1');
      await apply(create('box', [box(), device(), route()]));
      let before = device();
      for (const change of [
        { addresses: ['10.7.0.3/16', '10.7.0.2/16'] },
        { mtu: 1400 },
        { mac: '02:42:0a:07:00:09' },
        { source: macvlan('up0', 'private') },
        { source: macvlan('up1') },
      ]) {
        const object = device(change);
        await apply(update(before, object), create('route', [route()]));
        await holds(box(), object, route());
        before = object;
      }
    });

    it('frees name, MAC and addresses at once when one is removed and its sandbox lives on', async () => {
      await use().addLink('up0');
      await apply(create('boxes', [box(), box('s3'), device(), route()]));
      for (const tagged of ['e7x4', 'e7x5']) {
        const next = device({ tag: tag('endpoint', tagged) });
        const [now = device()] = (await kernel().census()).objects.filter(({ kind }) => kind === 'device');
        await apply(together(remove('', [now]), create('', [next, route()])));
        await holds(box(), box('s3'), next, route());
      }
      await apply(remove('gone', [device({ tag: tag('endpoint', 'e7x5') })]));
      await apply(create('moved', [device({ netns: use().path('s3') })]));
      await holds(box(), box('s3'), device({ netns: use().path('s3') }));
      await kernel().settled();
      await holds(box(), box('s3'), device({ netns: use().path('s3') }));
    });

    it('leaves a brought namespace as it was', async () => {
      await use().addLink('up0');
      const path = await use().bringNamespace('guest');
      const guest = netns(path, 'g', false);
      const before = await use().linksIn(path);
      await apply(create('box', [guest, device({ netns: path })]));
      await holds(guest, device({ netns: path }));
      assert.deepEqual(await use().linksIn(path), [...before, 'eth0'].sort());
      await apply(remove('box', [guest, device({ netns: path })]));
      await kernel().settled();
      await holds();
      assert.deepEqual(await use().linksIn(path), before);
    });

    it('says which parent is missing, and changes nothing', async () => {
      await use().addLink('up0');
      const fault = await faultOf(create('box', [box(), device({ source: macvlan('up9') })]));
      assert.deepEqual([fault.code, fault.errno, fault.text], ['KERNEL_ERROR', 'ENODEV', 'no interface up9']);
      assert.match(fault.step, /^create device .*eth0/);
      await holds();
    });

    it('touches no interface under its name that has another tag', async () => {
      await use().addLink('up0');
      const pair = veth({ network: 1, number: 2, netns: use().path('s2') });
      const all = [...network(1), box(), pair];
      await apply(create('all', all));
      assert.equal((await faultOf(create('x', [device()]))).code, 'FOREIGN_OBJECT');
      await apply(remove('x', [device()]));
      await holds(...all);
      await apply(together(remove('', [pair]), create('', [device()])));
      await holds(...network(1), box(), device());
      assert.equal((await faultOf(create('x', [pair]))).code, 'FOREIGN_OBJECT');
      await apply(together(remove('', [device()]), create('', [pair])));
      await holds(...all);
    });

    it('takes back what a plan did before it failed', async () => {
      await use().addLink('up0');
      await faultOf(together(create('', [box(), device(), route()]), broken()));
      await holds();
      const all = [box(), device(), route()];
      await apply(create('box', all));
      const plans = [
        create('', [device({ name: 'eth1', mac: null, addresses: [], tag: tag('endpoint', 'e1') })]),
        update(device(), device({ mtu: 1300, mac: '02:42:0a:07:00:77', addresses: ['10.7.9.9/16'] })),
        update(device(), device({ source: macvlan('up0', 'vepa') })),
        remove('', [device(), route()]),
        together(remove('', [device(), route()]), create('', [device({ tag: tag('endpoint', 'other') })])),
      ];
      for (const [at, plan] of plans.entries()) {
        await faultOf(together(plan, broken()));
        const seen = await kernel().census();
        assert.deepEqual([at, diff(all, seen.objects), seen.unknown], [at, [], []]);
      }
      await faultOf(together(remove('', all), broken()));
      await holds(...all);
      await kernel().settled();
      await holds(...all);
    });

    it('gives a parent in mode passthru to one, and to the next as soon as that has gone', async () => {
      await use().addLink('up0');
      const [first, next] = [
        device({ source: macvlan('up0', 'passthru') }),
        second({ source: macvlan('up0', 'passthru') }),
      ];
      await apply(create('boxes', [box(), box('s3'), first]));
      await holds(box(), box('s3'), first);
      const fault = await faultOf(create('x', [next]));
      assert.deepEqual([fault.code, fault.errno], ['KERNEL_ERROR', 'EINVAL']);
      await faultOf(together(remove('', [first]), broken()));
      await holds(box(), box('s3'), first);
      await apply(together(remove('', [first]), create('', [next])));
      await apply(together(remove('', [box('s3'), next]), create('', [first])));
      await holds(box(), first);
    });

    it('makes links that lead nowhere, for those that have no parent', async () => {
      const inner = device({ source: macvlan(stub.name) });
      await apply(create('net', [{ ...stub, mtu: 1400 }]));
      await holds({ ...stub, mtu: 1400 });
      await apply(update({ ...stub, mtu: 1400 }, stub), create('box', [box(), inner]), create('again', [stub]));
      await use().restart();
      await holds(stub, box(), inner);
      await faultOf(together(remove('', [box(), inner]), remove('', [stub]), broken()));
      await holds(stub, box(), inner);
      const other = { ...stub, tag: tag('network', 'n8') };
      await apply(remove('other', [other]));
      assert.equal((await faultOf(create('other', [other]))).code, 'FOREIGN_OBJECT');
      await apply(remove('box', [box(), inner]), remove('net', [stub]), remove('again', [stub]));
      await kernel().settled();
      await holds();
    });

    it('makes 802.1q links for the network that came last, where the kernel has them', async () => {
      await use().addLink('up0');
      if (!(await use().has('vlan'))) {
        const fault = await faultOf(create('net', [vlan]));
        assert.deepEqual([fault.code, fault.errno], ['KERNEL_ERROR', 'EOPNOTSUPP']);
        await holds();
        return;
      }
      const other = { ...vlan, tag: tag('network', 'n8') };
      await apply(create('net', [vlan]), create('other', [other]));
      await holds(other);
      await apply(remove('net', [vlan]));
      await holds(other);
      await apply(remove('other', [other]), create('net', [vlan]));
      await holds(vlan);
    });

    it('makes devices of kind ipvlan where the kernel has them', async () => {
      await use().addLink('up0');
      const source: DeviceSource = { type: 'ipvlan', parent: 'up0', mode: 'l3', flag: 'private' };
      const objects = [box(), device({ source, mac: null }), route({ gateway: '' })];
      if (!(await use().has('ipvlan'))) {
        const fault = await faultOf(create('box', objects));
        assert.deepEqual([fault.code, fault.errno], ['KERNEL_ERROR', 'EOPNOTSUPP']);
        await holds();
        return;
      }
      await apply(create('box', objects));
      assert.deepEqual(diff(objects, (await kernel().census()).objects), []);
    });

    const moved = (link = 'up0', change: Partial<Device> = {}): Device =>
      device({ source: { type: 'moved' }, birth: { sysctls: {}, link }, ...change });

    it('takes an interface of the host into a sandbox, and sends it back', async () => {
      await use().addLink('up0');
      await faultOf(together(create('', [box(), moved()]), broken()));
      assert.deepEqual([await use().linksIn(null), (await kernel().census()).objects], [['up0'], []]);
      await apply(create('box', [box(), moved(), route()]), create('again', [moved()]));
      await holds(box(), moved(), route());
      assert.deepEqual(await use().linksIn(null), []);
      await faultOf(together(remove('', [moved(), route()]), broken()));
      await holds(box(), moved(), route());
      await apply(remove('leave', [moved(), route()]));
      assert.deepEqual(await use().linksIn(null), ['up0']);
      await apply(create('back', [moved()]), remove('box', [box(), moved()]));
      assert.deepEqual(await use().linksIn(null), ['up0']);
      await apply(remove('gone', [moved()]));
      assert.equal((await faultOf(create('x', [box(), moved('up7')]))).errno, 'ENODEV');
      await holds();
    });

    it('knows after a restart what an interface was called on the host, and adopts it', async () => {
      await use().addLink('up0');
      await apply(create('box', [box(), moved(), route()]));
      await use().restart();
      await holds(box(), moved(), route());
      const { objects } = await kernel().census();
      assert.deepEqual(diff([box(), moved(), route()], objects), []);
      await apply(create('again', [moved()]));
      await holds(box(), moved(), route());
      // by what was seen alone, as it is when the log knows nothing of the endpoint any more
      await apply({ id: 'leave', operations: diff([], objects) });
      assert.deepEqual(await use().linksIn(null), ['up0']);
      await holds();
    });

    it('gives one that has moved another tag, other addresses and another MTU, and it still goes home', async () => {
      await use().addLink('up0');
      await apply(create('box', [box(), moved()]));
      const other = moved('', { addresses: ['10.7.0.9/16'], mtu: 1400, tag: tag('endpoint', 'e7x9') });
      await faultOf(together(update(moved(), other), broken()));
      await holds(box(), moved());
      await apply(update(moved(), other));
      await holds(box(), moved('up0', { addresses: ['10.7.0.9/16'], mtu: 1400, tag: tag('endpoint', 'e7x9') }));
      await apply(remove('leave', [other]), remove('box', [box()]));
      assert.deepEqual(await use().linksIn(null), ['up0']);
    });

    it('sends one home under a name of ours when its own is taken', async () => {
      await use().addLink('up0');
      await apply(create('box', [box(), moved()]));
      await use().addForeignBridge('up0');
      await faultOf(together(remove('', [moved()]), broken()));
      await holds(box(), moved());
      await apply(remove('box', [box(), moved()]));
      assert.deepEqual([...(await use().linksIn(null))].sort(), ['cne7x2', 'up0']);
      await holds();
    });

    it('takes nothing of ours from the host, and nothing to where its name is taken', async () => {
      await use().addLink('up0');
      const pair = veth({ network: 1, number: 2, netns: use().path('s2') });
      const all = [...network(1), box(), pair];
      await apply(create('all', all));
      for (const link of all.flatMap((object) =>
        object.kind === 'veth' || object.kind === 'bridge' ? [object.name] : [],
      )) {
        const fault = await faultOf(create('x', [moved(link, { name: 'eth7' })]));
        assert.equal(fault.code, 'FOREIGN_OBJECT', link);
      }
      assert.equal((await faultOf(create('x', [moved()]))).code, 'FOREIGN_OBJECT');
      assert.deepEqual(await use().linksIn(null), ['up0']);
      await holds(...all);
    });

    it('takes one to where another has left, under the same name', async () => {
      await use().addLink('up0');
      await use().addLink('up1');
      const next = moved('up1', { tag: tag('endpoint', 'e7x3') });
      await apply(create('box', [box(), moved(), route()]));
      await apply(together(remove('', [moved(), route()]), create('', [next, route()])));
      await holds(box(), next, route());
      assert.deepEqual(await use().linksIn(null), ['up0']);
      await faultOf(together(remove('', [next, route()]), create('', [moved()]), broken()));
      await holds(box(), next, route());
      await apply(remove('box', [box(), next, route()]));
      assert.deepEqual(await use().linksIn(null), ['up0', 'up1']);
    });
  });
};
