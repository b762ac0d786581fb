/** Bridges and ports as the machine's own tools see them: forwarding, flags, settings, addresses. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { KernelObject } from '../../drivers/objects.ts';
import { diff } from '../../drivers/plan.ts';
import { bridge, create, network, remove, sandbox, veth } from '../support/kernel-objects.ts';
import { LinuxLab } from '../support/linux-lab.ts';
import { inOwnNamespaces, sh, shIn, succeedsIn } from '../support/netns.ts';

const setting = (path: string): string => readFileSync(`/proc/sys/net/${path}`, 'utf8').trim();
const set = (path: string, value: string): void => writeFileSync(`/proc/sys/net/${path}`, value);

const netfilter = (value: '0' | '1'): void => {
  for (const name of ['iptables', 'ip6tables']) set(`bridge/bridge-nf-call-${name}`, value);
};

const portFlags = (name: string): { readonly hairpin: boolean; readonly isolated: boolean } => {
  const [link] = JSON.parse(sh(`ip -j -d link show ${name}`)) as {
    linkinfo: { info_slave_data: { hairpin: boolean; isolated: boolean } };
  }[];
  const { hairpin, isolated } = link?.linkinfo.info_slave_data ?? { hairpin: false, isolated: false };
  return { hairpin, isolated };
};

if (inOwnNamespaces(import.meta.filename)) {
  describe('links', () => {
    let lab: LinuxLab;
    const path = (name: string): string => lab.path(name);
    const box = (number: number, change: Partial<ReturnType<typeof veth>> = {}): readonly KernelObject[] =>
      sandbox(`s${number}`, { network: 1, number, netns: path(`s${number}`) }).map((object) =>
        object.kind === 'veth' ? { ...object, ...change } : object,
      );

    /** Commands of `ip`, by one process. */
    const batch = (commands: readonly string[]): void => {
      writeFileSync(path('batch'), commands.join('\n'));
      sh(`ip -batch ${path('batch')}; rm ${path('batch')}`);
    };

    beforeEach(async () => {
      lab = await LinuxLab.open();
      set('ipv4/ip_forward', '0');
      set('ipv6/conf/all/forwarding', '0');
      netfilter('0');
    });
    afterEach(async () => {
      netfilter('0');
      await lab.close();
      sh('for link in up0 up1; do ip link del $link 2>/dev/null || true; done');
    });

    it('make the host forward, for those families that a routed bridge has, and never stop it', async () => {
      const ipv4Only = { ...bridge(1), addresses: ['10.1.0.1/16'] };
      await lab.apply(create('internal', [{ ...bridge(2), routed: false }]));
      assert.deepEqual([setting('ipv4/ip_forward'), setting('ipv6/conf/all/forwarding')], ['0', '0']);
      assert.equal(setting('ipv4/conf/cb2/route_localnet'), '0');
      await lab.apply(create('net', [ipv4Only]));
      assert.deepEqual([setting('ipv4/ip_forward'), setting('ipv6/conf/all/forwarding')], ['1', '0']);
      assert.equal(setting('ipv4/conf/cb1/route_localnet'), '1');
      await lab.apply({ id: 'both', operations: [{ op: 'update', from: ipv4Only, object: bridge(1) }] });
      assert.equal(setting('ipv6/conf/all/forwarding'), '1');
      await lab.apply(remove('net', [bridge(1)]));
      assert.deepEqual([setting('ipv4/ip_forward'), setting('ipv6/conf/all/forwarding')], ['1', '1']);
    });

    it('leave the host its router advertisements, and take none from guests', async () => {
      sh('ip link add up0 type veth peer name up1');
      set('ipv6/conf/up0/accept_ra', '1');
      set('ipv6/conf/up1/accept_ra', '0');
      await lab.apply(create('net', network(1)));
      assert.deepEqual([setting('ipv6/conf/up0/accept_ra'), setting('ipv6/conf/up1/accept_ra')], ['2', '0']);
      assert.equal(setting('ipv6/conf/cb1/accept_ra'), '0');
    });

    it('put the settings of the host back when a plan fails', async () => {
      sh('ip link add up0 type veth peer name up1');
      set('ipv6/conf/up0/accept_ra', '1');
      const [result] = await lab.kernel.apply([
        create('x', [...network(1), veth({ network: 9, number: 2, netns: path('nowhere') })]),
      ]);
      assert.ok(result && !result.ok);
      assert.deepEqual(result.fault.undoFaults, []);
      const paths = ['ipv4/ip_forward', 'ipv6/conf/all/forwarding', 'ipv6/conf/up0/accept_ra'];
      assert.deepEqual(paths.map(setting), ['0', '0', '1']);
    });

    it('are repaired when somebody stops the forwarding', async () => {
      await lab.apply(create('net', network(1)));
      for (const path of ['ipv4/ip_forward', 'ipv6/conf/all/forwarding', 'ipv4/conf/cb1/route_localnet']) {
        set(path, '0');
        assert.deepEqual(await lab.repair(network(1)), ['update bridge'], path);
        assert.equal(setting(path), '1');
      }
      set('ipv4/conf/cb1/forwarding', '0');
      assert.deepEqual(await lab.repair(network(1)), ['update bridge']);
    });

    it('have flags by what the host does with bridged packets, also when that changes', async () => {
      const wanted = [...network(1), ...box(2, { isolated: true }), ...box(3)];
      await lab.apply(create('all', wanted));
      assert.deepEqual(portFlags('cv1x2'), { hairpin: false, isolated: true });
      assert.deepEqual(portFlags('cv1x3'), { hairpin: false, isolated: false });
      netfilter('1');
      assert.deepEqual(await lab.repair(wanted), ['update veth', 'update veth']);
      assert.deepEqual(portFlags('cv1x2'), { hairpin: true, isolated: false });
      assert.deepEqual(portFlags('cv1x3'), { hairpin: true, isolated: false });
      await lab.kernel.close();
      await lab.start();
      const more = [...wanted, ...box(4), ...box(5, { isolated: true })];
      assert.equal((await lab.repair(more)).filter((line) => line.startsWith('update')).length, 0);
      assert.deepEqual(portFlags('cv1x4'), { hairpin: true, isolated: false });
      assert.deepEqual(portFlags('cv1x5'), { hairpin: true, isolated: false });
      netfilter('0');
      assert.deepEqual(await lab.repair(more), Array(4).fill('update veth'));
      assert.deepEqual(portFlags('cv1x5'), { hairpin: false, isolated: true });
      sh('bridge link set dev cv1x5 isolated off hairpin on');
      assert.deepEqual(await lab.repair(more), ['update veth']);
      assert.deepEqual(portFlags('cv1x5'), { hairpin: false, isolated: true });
    });

    it('isolate ports from each other, and not from the host or from others', async () => {
      const isolated = { isolated: true };
      await lab.apply(create('all', [...network(1), ...box(2, isolated), ...box(3, isolated), ...box(4)]));
      const reaches = (from: number, to: number): boolean => succeedsIn(path(`s${from}`), `ping -c1 -W1 10.1.0.${to}`);
      assert.deepEqual([reaches(2, 3), reaches(3, 2), reaches(2, 4), reaches(2, 1)], [false, false, true, true]);
    });

    it('keep their flags when a plan fails that had made room on a full bridge', async () => {
      await lab.apply(create('all', [...network(1), ...box(2, { isolated: true })]));
      // Both ends of each pair are ports, and stay down.
      const pairs = Array.from({ length: 511 }, (_, at) => at);
      batch(pairs.map((at) => `link add p${at} group 77 master cb1 type veth peer name q${at} group 77`));
      batch(pairs.map((at) => `link set q${at} master cb1`));
      const [result] = await lab.kernel.apply([
        {
          id: 'swap',
          operations: [
            ...remove('', box(2, { isolated: true })).operations,
            ...create('', [...box(3), veth({ network: 9, number: 2, netns: path('nowhere') })]).operations,
          ],
        },
      ]);
      assert.ok(result && !result.ok);
      assert.deepEqual(result.fault.undoFaults, []);
      assert.deepEqual(portFlags('cv1x2'), { hairpin: false, isolated: true });
      sh('ip link del group 77');
    });

    it('are born with their settings, whatever they are called, before they come up', async () => {
      const { peer, ...rest } = veth({ network: 1, number: 2, netns: path('s2'), device: 'a.b-c' });
      const sysctls = {
        'net.ipv4.conf.IFNAME.arp_notify': '1',
        'net.ipv4.neigh.IFNAME.base_reachable_time_ms': '12000',
        'net.ipv6.conf.IFNAME.addr_gen_mode': '0',
      };
      const born = { ...rest, peer, birth: { sysctls } };
      const netnsOnly = sandbox('s2', { network: 1, number: 2, netns: path('s2') }).slice(0, 1);
      const second = { ...veth({ network: 2, number: 2, netns: path('s2'), device: 'eth1' }), birth: { sysctls } };
      await lab.apply(create('all', [...network(1), ...network(2), ...netnsOnly, born]), create('later', [second]));
      for (const device of ['a.b-c', 'eth1']) {
        assert.equal(shIn(path('s2'), `cat /proc/sys/net/ipv4/conf/${device}/arp_notify`).trim(), '1');
        assert.equal(shIn(path('s2'), `cat /proc/sys/net/ipv4/neigh/${device}/base_reachable_time_ms`).trim(), '12000');
        // Generated as the interface comes up, and not shown by a census.
        assert.match(shIn(path('s2'), `ip -6 addr show dev ${device} scope link`), /inet6 fe80/);
      }
      const plain = { sysctls: {} };
      await lab.holds(
        ...network(1),
        ...network(2),
        ...netnsOnly,
        { ...born, birth: plain },
        { ...second, birth: plain },
      );
    });

    it('refuse settings that are not of one interface', async () => {
      await lab.apply(create('net', network(1)));
      for (const key of [
        'net.ipv4.ip_forward',
        'kernel.IFNAME.hostname',
        'net.ipv4.conf.IFNAME./../x',
        'net.IFNAME.',
      ]) {
        const [result] = await lab.kernel.apply([create('box', box(2, { birth: { sysctls: { [key]: '1' } } }))]);
        assert.ok(result && !result.ok);
        assert.deepEqual([result.fault.code, result.fault.errno], ['SYSCTL_INVALID', 'EINVAL'], key);
        assert.match(result.fault.text, /is no setting of an interface/);
      }
      await lab.holds(...network(1));
    });

    it('show link-local addresses that were given, and none that were generated', async () => {
      await lab.apply(create('all', [...network(1), ...box(2)]));
      shIn(path('s2'), 'ip addr add fe80::abcd/64 dev eth0');
      sh('ip addr add fe80::dcba/64 dev cb1');
      await lab.holds(...network(1), ...box(2));
      shIn(path('s2'), 'ip addr add fe80::1234/64 dev eth0 nodad');
      assert.deepEqual(await lab.repair([...network(1), ...box(2)]), ['update veth']);
      assert.doesNotMatch(shIn(path('s2'), 'ip -6 addr'), /1234/);
    });

    it('change their MTU in place: addresses and connections stay', async () => {
      const [wide, narrow] = [
        [...network(1), ...box(2), ...box(3)],
        [...network(1, { mtu: 1300 }), ...box(2, { mtu: 1300 }), ...box(3, { mtu: 1300 })],
      ];
      await lab.apply(create('all', wide));
      shIn(path('s2'), 'ping -c1 -W1 10.1.0.3');
      const neighbours = (): string => shIn(path('s2'), 'ip neigh show 10.1.0.3 | cut -d" " -f1-5');
      const before = neighbours();
      assert.match(before, /lladdr/);
      await lab.apply({ id: 'mtu', operations: diff(narrow, wide) });
      await lab.holds(...narrow);
      assert.equal(neighbours(), before);
      assert.ok(succeedsIn(path('s2'), 'ping -c1 -W1 -M do -s 1272 10.1.0.3'));
      assert.ok(!succeedsIn(path('s2'), 'ping -c1 -W1 -M do -s 1273 10.1.0.3'));
      assert.ok(succeedsIn(path('s2'), 'ping -c1 -W1 fd00:1::3'));
    });
  });
}
