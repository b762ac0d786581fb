/** Published ports: from where they are reached, and as whom; which of them are refused, and which are found. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import type { PublishedPort } from '../../events/events.ts';
import { Lab, type Place, port } from '../support/firewall-lab.ts';
import { create } from '../support/kernel-objects.ts';
import { inOwnNamespaces, sh, shIn } from '../support/netns.ts';
import type { Address } from '../support/talker.ts';

const [nat, noIcc, internal] = [1, 2, 3];
const on = (at: number, number = 2): Place => ({ at, number });
const both = ['tcp', 'udp'] as const;

if (inOwnNamespaces(import.meta.filename)) {
  for (const bridged of [true, false]) {
    describe(`a published port, where the ruleset ${bridged ? 'sees' : 'does not see'} bridged packets`, () => {
      const lab = new Lab();

      before(async () => {
        for (const setting of ['iptables', 'ip6tables']) {
          sh(`sysctl -qw net.bridge.bridge-nf-call-${setting}=${bridged ? 1 : 0}`);
        }
        await lab.open();
        lab.addOutside('out', 1);
        sh('ip addr add 192.0.1.7/24 dev up1; ip addr add 2001:db8:1::7/64 dev up1 nodad preferred_lft 0');
        await lab.addNetwork(nat);
        await lab.addNetwork(noIcc, { options: { 'com.docker.network.bridge.enable_icc': 'false' } });
        await lab.addNetwork(internal, { internal: true });
        for (const at of [nat, noIcc, internal]) for (const number of [2, 3]) await lab.addBox(on(at, number));
      });
      after(() => lab.close());

      /** Runs while ports of an endpoint are published. */
      const published = async (place: Place, ports: readonly PublishedPort[], body: () => Promise<void>) => {
        const elements = lab.published(place, ports);
        await lab.apply('publish', elements);
        await body();
        await lab.remove('unpublish', elements);
      };

      /** Who answers, and whom it saw; null: nobody does. */
      const expect = async (from: string, to: string, at: number, answer: string | null) => {
        for (const protocol of both) {
          const asked: Address = { protocol, address: to, port: at };
          const got = await lab.ask(from, asked, answer === null ? 300 : 5000);
          assert.equal(got, answer, `${protocol} from ${from} to ${to} port ${at}`);
        }
      };

      const eachProtocol = (changes: Partial<PublishedPort>): readonly PublishedPort[] =>
        both.map((protocol) => port({ ...changes, protocol }));

      it('is reached from everywhere at every address of the host', () =>
        published(on(nat), eachProtocol({ hostPort: 8080 }), async () => {
          await expect('out', '192.0.1.1', 8080, '1x2 192.0.1.2');
          await expect('out', '2001:db8:1::1', 8080, '1x2 2001:db8:1::2');
          await expect('host', '127.0.0.1', 8080, '1x2 10.1.0.1');
          await expect('host', '192.0.1.1', 8080, '1x2 192.0.1.1');
          await expect('host', '10.1.0.1', 8080, '1x2 10.1.0.1');
          await expect('host', '2001:db8:1::1', 8080, '1x2 2001:db8:1::1');
          for (const from of ['1x2', '1x3']) {
            for (const to of ['192.0.1.1', '10.1.0.1', '10.2.0.1']) await expect(from, to, 8080, '1x2 10.1.0.1');
            for (const to of ['2001:db8:1::1', 'fd00:1::1']) await expect(from, to, 8080, '1x2 fd00:1::1');
          }
          await expect('2x2', '192.0.1.1', 8080, '1x2 10.1.0.1');
          await expect('2x2', '2001:db8:1::1', 8080, '1x2 fd00:1::1');
        }));

      it('is reached by neighbours who may not talk to each other', () =>
        published(on(noIcc), eachProtocol({ hostPort: 8080 }), async () => {
          for (const from of ['2x2', '2x3']) {
            await expect(from, '192.0.1.1', 8080, '2x2 10.2.0.1');
            await expect(from, '2001:db8:1::1', 8080, '2x2 fd00:2::1');
          }
          await expect('2x3', '10.2.0.2', 80, null);
        }));

      it('is not reached from an internal network', () =>
        published(on(nat), eachProtocol({ hostPort: 8080 }), async () => {
          shIn(
            lab.boxPath(on(internal)),
            'ip route replace default via 10.3.0.1; ip route replace default via fd00:3::1',
          );
          await expect('3x2', '192.0.1.1', 8080, null);
          await expect('3x2', '10.3.0.1', 8080, null);
          await expect('3x2', 'fd00:3::1', 8080, null);
          await expect('1x3', '192.0.1.1', 8080, '1x2 10.1.0.1');
        }));

      it('is opened at no other port, and closed again', async () => {
        await published(on(nat), eachProtocol({ hostPort: 8080 }), async () => {
          await expect('out', '192.0.1.1', 8080, '1x2 192.0.1.2');
          await expect('out', '192.0.1.1', 81, null);
          await expect('out', '10.1.0.2', 80, null);
          await expect('out', 'fd00:1::2', 80, null);
        });
        await expect('out', '192.0.1.1', 8080, null);
        await expect('out', '2001:db8:1::1', 8080, null);
      });

      it('is at the chosen address of the host alone', () =>
        published(on(nat), eachProtocol({ hostAddresses: ['192.0.1.7', '2001:db8:1::7'] }), async () => {
          await expect('out', '192.0.1.7', 8080, '1x2 192.0.1.2');
          await expect('out', '2001:db8:1::7', 8080, '1x2 2001:db8:1::2');
          await expect('1x2', '192.0.1.7', 8080, '1x2 10.1.0.1');
          await expect('out', '192.0.1.1', 8080, null);
          await expect('out', '2001:db8:1::1', 8080, null);
        }));

      it('is refused at an address that the host does not have, and everywhere but at the IPv6 loopback otherwise', async () => {
        const nowhere = published(on(nat), eachProtocol({ hostAddresses: ['203.0.113.7'] }), async () => undefined);
        await assert.rejects(nowhere, /PORT_ADDRESS_INVALID.*203\.0\.113\.7 is no address of this host/s);
        await published(on(nat), eachProtocol({ hostPort: 8080 }), async () => {
          await expect('host', '127.0.0.1', 8080, '1x2 10.1.0.1');
          await expect('host', '::1', 8080, null);
          // Refused, not lost on the way.
          assert.match(sh(`timeout 5 bash -c 'exec 3<>/dev/tcp/::1/8080' 2>&1 || true`), /Connection refused/);
        });
      });

      it('goes to another endpoint at another address', () =>
        published(on(nat), eachProtocol({ hostAddresses: ['192.0.1.7'] }), () =>
          published(on(noIcc), eachProtocol({ hostAddresses: ['0.0.0.0'] }), async () => {
            await expect('out', '192.0.1.7', 8080, '1x2 192.0.1.2');
            await expect('out', '192.0.1.1', 8080, '2x2 192.0.1.2');
          }),
        ));

      it('at 127.0.0.1 is for the host alone, even where somebody routes that address', () =>
        published(on(nat), eachProtocol({ hostAddresses: ['127.0.0.1'] }), async () => {
          await expect('host', '127.0.0.1', 8080, '1x2 10.1.0.1');
          await expect('out', '192.0.1.1', 8080, null);
          sh('sysctl -qw net.ipv4.conf.up1.route_localnet=1');
          const out = lab.path('out');
          shIn(
            out,
            'ip route del local 127.0.0.0/8 dev lo table local; ip route del local 127.0.0.1 dev lo table local',
          );
          shIn(out, 'sysctl -qw net.ipv4.conf.all.route_localnet=1; ip route add 127.0.0.1/32 via 192.0.1.1');
          await expect('out', '127.0.0.1', 8080, null);
          await published(on(nat), eachProtocol({ hostPort: 8090 }), async () => {
            await expect('out', '127.0.0.1', 8090, null);
            await expect('out', '192.0.1.1', 8090, '1x2 192.0.1.2');
          });
        }));

      it('of a range goes to the port at the same place', async () => {
        for (const protocol of both) {
          const listener = { do: 'listen', name: '1x2:82', protocol, port: 82 } as const;
          await lab.talker('1x2').do({ ...listener, address: '0.0.0.0' });
        }
        await published(on(nat), eachProtocol({ hostPort: 9000, port: 80, count: 3 }), async () => {
          await expect('out', '192.0.1.1', 9000, '1x2 192.0.1.2');
          await expect('out', '192.0.1.1', 9002, '1x2:82 192.0.1.2');
          await expect('out', '192.0.1.1', 9003, null);
        });
      });
    });
  }

  describe('ports of the host', () => {
    const lab = new Lab();
    const talker = () => lab.talker('host');
    const listen = (protocol: 'tcp' | 'udp', address: string, at: number) =>
      talker().do({ do: 'listen', name: 'host', protocol, address, port: at });

    before(async () => {
      await lab.open();
      lab.addOutside('out', 1);
      await lab.addNetwork(nat);
    });
    after(() => lab.close());

    const plan = (changes: Partial<PublishedPort>) =>
      create('publish', [...lab.published(on(nat), [port({ hostPort: 1 }), port(changes)])]);
    const command = () => readFileSync(`/proc/${talker().pid}/comm`, 'utf8').trim();

    const conflicts: readonly (readonly [
      what: string,
      listener: readonly ['tcp' | 'udp', string],
      publication: string,
      holder: string,
    ])[] = [
      ['every address', ['tcp', '0.0.0.0'], '192.0.1.1', '0.0.0.0:7000'],
      ['one address', ['tcp', '127.0.0.1'], '0.0.0.0', '127.0.0.1:7000'],
      ['every address of both families', ['tcp', '::'], '192.0.1.1', '[::]:7000'],
      ['one IPv6 address', ['tcp', '2001:db8:1::1'], '::', '[2001:db8:1::1]:7000'],
      ['udp', ['udp', '192.0.1.1'], '192.0.1.1', '192.0.1.1:7000'],
      ['udp of IPv6', ['udp', '::'], '2001:db8:1::1', '[::]:7000'],
    ];
    for (const [what, [protocol, address], at, holder] of conflicts) {
      it(`are not taken from a process that has ${what}: ${holder} against ${at}`, async () => {
        await listen(protocol, address, 7000);
        const fault = await lab.refused(plan({ protocol, hostPort: 7000, hostAddresses: [at] }));
        assert.deepEqual(
          [fault.code, fault.text, fault.undoFaults],
          ['PORT_IN_USE', `${protocol} ${holder} is held by pid ${talker().pid} (${command()})`, []],
        );
        assert.match(fault.step, /^create element dnat[46](ip)? .*7000$/);
        const { objects } = await lab.kernel.census();
        assert.deepEqual(
          objects.filter((object) => object.kind === 'element' && object.set.startsWith('dnat')),
          [],
        );
        await talker().do({ do: 'unlisten' });
        await lab.apply(
          'publish',
          plan({ protocol, hostPort: 7000, hostAddresses: [at] }).operations.map(({ object }) => object),
        );
        await lab.remove(
          'unpublish',
          plan({ protocol, hostPort: 7000, hostAddresses: [at] }).operations.map(({ object }) => object),
        );
      });
    }

    const freeOnes: readonly (readonly [
      what: string,
      listener: readonly ['tcp' | 'udp', string],
      publication: string,
    ])[] = [
      ['another address', ['tcp', '127.0.0.1'], '192.0.1.1'],
      ['another protocol', ['udp', '0.0.0.0'], '192.0.1.1'],
      ['another family', ['tcp', '192.0.1.1'], '2001:db8:1::1'],
    ];
    for (const [what, [protocol, address], at] of freeOnes) {
      it(`are free where a process has ${what}`, async () => {
        await listen(protocol, address, 7000);
        const elements = lab.published(on(nat), [port({ hostPort: 7000, hostAddresses: [at] })]);
        await lab.apply('publish', elements);
        await lab.remove('unpublish', elements);
        await talker().do({ do: 'unlisten' });
      });
    }

    it('stay ours when a process takes one later', async () => {
      const elements = lab.published(on(nat), [port({ hostPort: 7000 })]);
      await lab.apply('publish', elements);
      await listen('tcp', '0.0.0.0', 7000);
      await lab.apply('publish again', elements);
      await lab.remove('unpublish', elements);
      await talker().do({ do: 'unlisten' });
    });

    const search = { protocol: 'tcp', addresses: ['0.0.0.0', '::'], count: 1, choice: null, avoid: [] } as const;
    const choice = { from: 7000, to: 7009 };

    it('are found where nobody holds them', async () => {
      await listen('tcp', '127.0.0.1', 7000);
      const elements = lab.published(on(nat), [port({ hostPort: 7001, hostAddresses: ['192.0.1.1'] })]);
      await lab.apply('publish', elements);
      const find = lab.kernel.findPorts;
      assert.deepEqual(await find([{ ...search, choice, avoid: [7002] }]), [7003]);
      assert.deepEqual(await find([{ ...search, choice, addresses: ['192.0.1.1'] }]), [7000]);
      assert.deepEqual(await find([{ ...search, choice, addresses: ['127.0.0.1'] }]), [7001]);
      assert.deepEqual(await find([{ ...search, choice, addresses: ['::'] }]), [7000]);
      assert.deepEqual(await find([{ ...search, choice, protocol: 'udp' }]), [7000]);
      assert.deepEqual(await find([{ ...search, choice, protocol: 'sctp', count: 10 }]), [7000]);
      assert.deepEqual(await find([{ ...search, choice, count: 8 }]), [7002]);
      assert.deepEqual(await find([{ ...search, choice, count: 9 }]), [null]);
      assert.deepEqual(await find([{ ...search, choice, count: 4, avoid: [7004] }]), [7005]);
      await lab.remove('unpublish', elements);
      await talker().do({ do: 'unlisten' });
    });

    it('are different for searches of one call that would be in each other’s way', async () => {
      const one = { ...search, choice };
      const found = await lab.kernel.findPorts([
        { ...one, count: 2 },
        one,
        { ...one, protocol: 'udp' },
        { ...one, addresses: ['192.0.1.1'] },
        { ...one, addresses: ['192.0.1.2'], avoid: [7000] },
      ]);
      assert.deepEqual(found, [7000, 7002, 7000, 7003, 7003]);
    });

    it('without a choice are those of the host’s range, one after the other, without the reserved ones', async () => {
      sh('sysctl -qw net.ipv4.ip_local_port_range="40000 40009" net.ipv4.ip_local_reserved_ports=40003,40005-40006');
      const found: (number | null)[] = [];
      for (let at = 0; at < 14; at++) found.push(...(await lab.kernel.findPorts([search])));
      const usable = [40000, 40001, 40002, 40004, 40007, 40008, 40009];
      assert.deepEqual(new Set(found), new Set(usable));
      assert.deepEqual(found.slice(0, 7), found.slice(7));
      assert.deepEqual(await lab.kernel.findPorts([{ ...search, count: 3 }]), [40000]);
      assert.deepEqual(await lab.kernel.findPorts([{ ...search, count: 4 }]), [null]);
      assert.deepEqual(await lab.kernel.findPorts([{ ...search, avoid: usable }]), [null]);
    });
  });
}
