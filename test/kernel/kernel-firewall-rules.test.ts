/** Each rule is needed: what it stops happens, and what it lets through does not, as soon as it is taken out. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { acceptMark, rules } from '../../drivers/kernel/ruleset.ts';
import { Table } from '../../drivers/kernel/table.ts';
import { address, Lab, type Place, port, privatePort, servicePort } from '../support/firewall-lab.ts';
import { owner } from '../support/kernel-objects.ts';
import { inOwnNamespaces, sh, shIn } from '../support/netns.ts';
import { echoReply, sendRaw } from '../support/raw.ts';
import type { Address } from '../support/talker.ts';

const mode = (family: 4 | 6): string => `com.docker.network.bridge.gateway_mode_ipv${family}`;
const icc = 'com.docker.network.bridge.enable_icc';
const trusted = 'com.docker.network.bridge.trusted_host_interfaces';
const [nat, other, noIcc, internal, routed, open, chosen] = [1, 2, 3, 4, 5, 6, 7];
const on = (at: number, number = 2): Place => ({ at, number });

interface Trip {
  readonly from: string;
  readonly to: Address;
  /** What is answered with all rules, and without the one. */
  readonly answer: string | null;
  readonly without: string | null;
}

const tcp = (to: string, at: number): Address => ({ protocol: 'tcp', address: to, port: at });
const direct = (place: Place, family: 4 | 6, at = servicePort): Address => tcp(address(place, family), at);
const beyond = { 4: tcp('192.0.1.2', 7), 6: tcp('2001:db8:1::2', 7) } as const;

/** By the name of the rule. */
const trips: Readonly<Record<string, Trip>> = {
  'loopback is not reached': { from: '1x2', to: tcp('127.9.0.1', 9), answer: null, without: 'host 10.1.0.2' },
  'loopback is published to the host only': {
    from: 'out',
    to: tcp('127.9.0.1', 8080),
    answer: null,
    without: '1x2 192.0.1.2',
  },
  'published to others': { from: 'out', to: tcp('192.0.1.1', 8080), answer: '1x2 192.0.1.2', without: null },
  'published to the host': { from: 'host', to: tcp('192.0.1.1', 8080), answer: '1x2 192.0.1.1', without: null },
  'one IPv4 address': { from: 'out', to: tcp('192.0.1.1', 8081), answer: '1x2 192.0.1.2', without: null },
  'every IPv4 address': { from: 'out', to: tcp('192.0.1.1', 8080), answer: '1x2 192.0.1.2', without: null },
  'one IPv6 address': { from: 'out', to: tcp('2001:db8:1::1', 8081), answer: '1x2 2001:db8:1::2', without: null },
  'every IPv6 address': { from: 'out', to: tcp('2001:db8:1::1', 8080), answer: '1x2 2001:db8:1::2', without: null },
  'into a bridge': { from: 'out', to: direct(on(nat), 4), answer: null, without: '1x2 192.0.1.2' },
  'out of a bridge': { from: '4x2', to: beyond[4], answer: null, without: 'out 10.4.0.2' },
  ongoing: { from: '1x2', to: beyond[4], answer: 'out 192.0.1.1', without: null },
  hairpin: { from: '3x3', to: tcp('192.0.1.1', 8083), answer: '3x2 10.3.0.1', without: null },
  neighbours: { from: '1x3', to: direct(on(nat), 4), answer: '1x2 10.1.0.3', without: null },
  'no neighbours': { from: '6x3', to: direct(on(open), 4), answer: null, without: '6x2 10.6.0.3' },
  'from internal to another': { from: '4x2', to: direct(on(routed), 4), answer: null, without: '5x2 10.4.0.2' },
  published: { from: 'out', to: tcp('192.0.1.1', 8080), answer: '1x2 192.0.1.2', without: null },
  trusted: { from: 'out', to: direct(on(chosen), 4), answer: '7x2 192.0.1.2', without: null },
  'routed IPv4': { from: 'out', to: direct(on(routed), 4), answer: '5x2 192.0.1.2', without: null },
  'routed IPv6': { from: 'out', to: direct(on(routed), 6), answer: '5x2 2001:db8:1::2', without: null },
  'unprotected IPv4': { from: 'out', to: direct(on(open), 4, privatePort), answer: '6x2 192.0.1.2', without: null },
  'unprotected IPv6': { from: 'out', to: direct(on(open), 6, privatePort), answer: '6x2 2001:db8:1::2', without: null },
  isolation: { from: '1x2', to: direct(on(other), 4), answer: null, without: '2x2 10.2.0.1' },
  'out of internal': { from: '4x2', to: beyond[4], answer: null, without: 'out 10.4.0.2' },
  'hairpin answers': { from: '1x2', to: tcp('192.0.1.1', 8080), answer: '1x2 10.1.0.1', without: null },
  'within a bridge': { from: '1x3', to: direct(on(nat), 4), answer: '1x2 10.1.0.3', without: '1x2 10.1.0.1' },
  'loopback leaves': { from: 'host', to: tcp('127.0.0.1', 8080), answer: '1x2 10.1.0.1', without: null },
  'chosen IPv4': { from: '7x2', to: beyond[4], answer: 'out 192.0.1.7', without: 'out 10.7.0.2' },
  'chosen IPv6': { from: '7x2', to: beyond[6], answer: 'out 2001:db8:1::7', without: 'out fd00:7::2' },
  'masqueraded IPv4': { from: '1x2', to: beyond[4], answer: 'out 192.0.1.1', without: 'out 10.1.0.2' },
  'masqueraded IPv6': { from: '1x2', to: beyond[6], answer: 'out 2001:db8:1::1', without: 'out fd00:1::2' },
};

if (inOwnNamespaces(import.meta.filename)) {
  describe('without one rule', () => {
    const lab = new Lab();
    before(async () => {
      await lab.open();
      lab.addOutside('out', 1);
      sh('ip addr add 192.0.1.7/24 dev up1; ip addr add 2001:db8:1::7/64 dev up1 nodad preferred_lft 0');
      await lab.addNetwork(nat);
      await lab.addNetwork(other);
      await lab.addNetwork(noIcc, { options: { [icc]: 'false' } });
      await lab.addNetwork(internal, { internal: true, options: { [trusted]: 'up1' } });
      await lab.addNetwork(routed, { options: { [mode(4)]: 'routed', [mode(6)]: 'routed' } });
      await lab.addNetwork(open, {
        options: {
          [mode(4)]: 'nat-unprotected',
          [mode(6)]: 'nat-unprotected',
          [icc]: 'false',
        },
      });
      await lab.addNetwork(chosen, {
        options: {
          'com.docker.network.host_ipv4': '192.0.1.7',
          'com.docker.network.host_ipv6': '2001:db8:1::7',
          [trusted]: 'up1',
        },
      });
      for (const at of [nat, other, noIcc, internal, routed, open, chosen]) {
        for (const number of [2, 3]) await lab.addBox(on(at, number));
      }
      const alone = { hostPort: 8081, hostAddresses: ['192.0.1.1', '2001:db8:1::1'] };
      await lab.apply('ports', lab.published(on(nat), [port(), port(alone)]));
      await lab.apply('ports', lab.published(on(noIcc), [port({ hostPort: 8083 })]));
      await lab.apply('ports', lab.published(on(routed), [port()]));
      await lab.talker('out').do({ do: 'listen', name: 'out', protocol: 'tcp', address: '::', port: 7 });
      await lab.talker('host').do({ do: 'listen', name: 'host', protocol: 'tcp', address: '127.9.0.1', port: 9 });
      // They send to what is the host's own, by way of the host.
      for (const [path, gateway] of [
        [lab.boxPath(on(nat)), '10.1.0.1'],
        [lab.path('out'), '192.0.1.1'],
      ] as const) {
        shIn(path, 'sysctl -qw net.ipv4.conf.all.route_localnet=1; ip route del local 127.0.0.0/8 dev lo table local');
        shIn(path, `ip route add 127.9.0.0/16 via ${gateway}; ip addr add 127.9.0.2/32 dev eth0`);
      }
      // As somebody may have done who has nothing to do with us.
      sh('sysctl -qw net.ipv4.conf.up1.route_localnet=1');
      shIn(lab.boxPath(on(internal)), 'ip route add default via 10.4.0.1');
      // To its neighbour by way of the host.
      shIn(
        lab.boxPath(on(nat, 3)),
        'sysctl -qw net.ipv4.conf.all.accept_redirects=0; ip route add 10.1.0.2/32 via 10.1.0.1',
      );
    });
    after(() => lab.close());

    const ask = ({ from, to }: Trip, expected: string | null) => lab.ask(from, to, expected === null ? 400 : 5000);

    /** Does something with all rules, without the one, and with all again. */
    const without = async (name: string, look: (all: boolean) => Promise<void>): Promise<void> => {
      const others = rules.filter((rule) => rule.name !== name);
      assert.equal(others.length, rules.length - 1);
      await look(true);
      await lab.restart(async () => {
        const table = new Table(owner.realm, owner.host, others);
        table.prepare();
        table.close();
        await look(false);
      });
      await look(true);
    };

    for (const [name, trip] of Object.entries(trips)) {
      it(`'${name}': ${trip.from} to ${trip.to.address} port ${trip.to.port}`, () =>
        without(name, async (all) => {
          const expected = all ? trip.answer : trip.without;
          assert.equal(await ask(trip, expected), expected);
        }));
    }

    const told: string[] = [];

    it("'loopback is not pretended': 1x2 as 127.9.0.2 to the host", async () => {
      const [listener, to] = [lab.talker('host'), { protocol: 'udp', address: '10.1.0.1', port: 5 } as const];
      await listener.do({ do: 'listen', name: 'host', ...to });
      await without(told[told.push('loopback is not pretended') - 1] ?? '', async (all) => {
        await lab.talker('1x2').do({ do: 'ask', ...to, source: '127.9.0.2', timeoutMs: 200 });
        assert.equal(await listener.do({ do: 'heard' }), all ? '' : '127.9.0.2');
        assert.equal(await lab.ask('1x2', to, 5000), 'host 10.1.0.2');
        assert.equal(await listener.do({ do: 'heard' }), '10.1.0.2');
      });
    });

    it("'into internal': out to 4x2, who could not answer", async () => {
      const to = { protocol: 'udp', address: '10.4.0.2', port: servicePort } as const;
      await without(told[told.push('into internal') - 1] ?? '', async (all) => {
        assert.equal(await lab.ask('out', to, 200), null);
        assert.equal(await lab.talker('4x2').do({ do: 'heard' }), all ? '' : '192.0.1.2');
      });
    });

    it("'the IPv6 loopback is nowhere published': the host to ::1 at a published port, refused at once or lost", async () => {
      const name = told[told.push('the IPv6 loopback is nowhere published') - 1] ?? '';
      await without(name, async (all) => {
        const said = sh(`timeout 2 bash -c 'exec 3<>/dev/tcp/::1/8080' 2>&1 || true`);
        assert.equal(said.includes('Connection refused'), all);
      });
    });

    for (const name of ['marked on the way in', 'marked on the way out']) {
      told.push(name);
      it(`'${name}': a firewall that drops all but the mark`, async () => {
        sh(`nft -f - <<'X'
          table inet theirs {
            chain forward {
              type filter hook forward priority 0; policy drop;
              meta mark & ${acceptMark} == ${acceptMark} accept
            }
          }
X`);
        const trip = trips['published to others'] ?? assert.fail();
        await without(name, async (all) =>
          assert.equal(await ask(trip, all ? trip.answer : null), all ? trip.answer : null),
        );
        sh('nft delete table inet theirs');
      });
    }

    for (const [name, from, to] of [
      ['invalid on the way in', lab.path('out'), on(open)],
      ['invalid on the way out', lab.boxPath(on(nat)), null],
    ] as const) {
      told.push(name);
      it(`'${name}': an answer that nobody asked for`, async () => {
        const receiver = to === null ? lab.path('out') : lab.boxPath(to);
        shIn(receiver, 'nft add table ip seen; nft add chain ip seen in "{ type filter hook input priority 0; }"');
        shIn(receiver, 'nft add rule ip seen in icmp type echo-reply counter');
        await without(name, async (all) => {
          await sendRaw(from, to === null ? '192.0.1.2' : address(to, 4), 1, echoReply);
          const counted = /packets (\d+)/.exec(shIn(receiver, 'nft list chain ip seen in'))?.[1];
          assert.equal(Number(counted) > 0, !all);
          shIn(receiver, 'nft flush chain ip seen in; nft add rule ip seen in icmp type echo-reply counter');
        });
      });
    }

    it('every rule was tried', () => {
      const tried = new Set([...Object.keys(trips), ...told]);
      assert.deepEqual(
        rules.map(({ name }) => name).filter((name) => !tried.has(name)),
        [],
      );
    });
  });
}
