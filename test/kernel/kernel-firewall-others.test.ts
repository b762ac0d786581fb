/** Beside firewalls of others: theirs hold, ours hold, and nobody's table is touched. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { acceptMark, rules, tableName } from '../../drivers/kernel/ruleset.ts';
import { Table } from '../../drivers/kernel/table.ts';
import { address, Lab, type Place, port, servicePort } from '../support/firewall-lab.ts';
import { byKey, owner } from '../support/kernel-objects.ts';
import { inOwnNamespaces, sh } from '../support/netns.ts';

const on = (at: number, number = 2): Place => ({ at, number });

/** As iptables-nft writes it, and as firewalld does: a policy, a verdict for established flows, translation of their own. */
const foreign = `
table ip filter {
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    jump DOCKER-USER
  }
  chain DOCKER-USER {
  }
}
table inet firewalld {
  chain filter_FORWARD {
    type filter hook forward priority filter + 10; policy accept;
    ct state invalid drop
  }
  chain nat_PREROUTING {
    type nat hook prerouting priority dstnat + 10; policy accept;
    ip daddr 192.0.1.1 tcp dport 6000 dnat to 192.0.2.2:7
  }
}
table ip6 filter {
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    meta mark & 0x01000000 == 0x01000000 accept
  }
}`;

if (inOwnNamespaces(import.meta.filename)) {
  describe('beside other tables', () => {
    const lab = new Lab();
    const table = tableName(owner.realm, owner.host);
    const ask = (from: string, to: string, at: number, answer: string | null) =>
      lab.ask(from, { protocol: 'tcp', address: to, port: at }, answer === null ? 400 : 5000);
    const expect = async (from: string, to: string, at: number, answer: string | null): Promise<void> =>
      assert.equal(await ask(from, to, at, answer), answer, `${from} to ${to} port ${at}`);

    before(async () => {
      await lab.open();
      lab.addOutside('out', 1);
      lab.addOutside('friend', 2);
      await lab.addNetwork(1);
      await lab.addNetwork(2);
      for (const place of [on(1), on(1, 3), on(2)]) await lab.addBox(place);
      await lab.apply('ports', lab.published(on(1), [port()]));
      const listener = { do: 'listen', name: 'friend', protocol: 'tcp', address: '::', port: 7 } as const;
      await lab.talker('friend').do(listener);
    });
    // Ours stays.
    afterEach(() => sh('nft flush ruleset'));
    after(() => lab.close());

    const holds = async (): Promise<void> => {
      await expect('out', '192.0.1.1', 8080, '1x2 192.0.1.2');
      await expect('2x2', '192.0.1.1', 8080, '1x2 10.1.0.1');
      await expect('2x2', address(on(1), 4), servicePort, null);
      await expect('2x2', address(on(1), 6), servicePort, null);
      await expect('out', address(on(1), 4), servicePort, null);
      await expect('1x3', address(on(1), 4), servicePort, '1x2 10.1.0.3');
    };

    it('it holds when somebody flushes the ruleset, or tries to change ours', async () => {
      sh('nft add table inet theirs; nft flush ruleset');
      assert.deepEqual(sh('nft list tables').trim().split('\n'), [`table inet ${table}`]);
      for (const change of [`delete table inet ${table}`, `flush table inet ${table}`, `add chain inet ${table} x`]) {
        assert.throws(() => sh(`nft ${change} 2>&1`), change);
      }
      await holds();
    });

    it('a policy that drops needs one rule on our mark, and isolation holds with it', async () => {
      sh(`nft -f - <<'X'${foreign}\nX`);
      await expect('out', '192.0.1.1', 8080, null);
      await expect('1x2', '192.0.2.2', 7, null);
      await expect('out', '2001:db8:1::1', 8080, '1x2 2001:db8:1::2');
      const hex = `0x${acceptMark.toString(16).padStart(8, '0')}`;
      sh(`nft add rule ip filter DOCKER-USER meta mark \\& ${hex} == ${hex} accept`);
      await holds();
      await expect('1x2', '192.0.2.2', 7, 'friend 192.0.2.1');
      // What is not ours is not marked, nor let through.
      await expect('out', '192.0.2.2', 7, null);
      await expect('out', '192.0.1.1', 6000, null);
    });

    it('what has nothing to do with our bridges passes as it would without us', async () => {
      await expect('out', '192.0.2.2', 7, 'friend 192.0.1.2');
      sh(`nft -f - <<'X'${foreign}\nX`);
      await expect('out', '192.0.2.2', 7, null);
    });

    it('their tables are what they were, whatever we do', async () => {
      sh(`nft -f - <<'X'${foreign}\nX`);
      const theirs = () =>
        sh('nft -a list table ip filter; nft -a list table inet firewalld; nft -a list table ip6 filter');
      const before = theirs();
      const ports = lab.published(on(1, 3), [port({ hostPort: 9000, count: 100, protocol: 'udp' })]);
      await lab.apply('publish', ports);
      await lab.restart();
      await lab.remove('unpublish', ports);
      await lab.restart(() => {
        const other = new Table(owner.realm, owner.host, rules.slice(1));
        other.prepare();
        other.close();
      });
      assert.equal(theirs(), before);
    });

    it('a table of another version of ours is replaced with all elements, while nothing gets through', async () => {
      const { objects } = await lab.kernel.census();
      const elements = objects.filter(({ kind }) => kind === 'element');
      assert.ok(elements.some((object) => object.kind === 'element' && object.data.length > 0));
      await lab.restart(() => {
        const other = new Table(owner.realm, owner.host, rules.slice(1));
        other.prepare();
        assert.deepEqual(byKey(other.elements()), byKey(elements));
        other.close();
      });
      assert.deepEqual(byKey((await lab.kernel.census()).objects), byKey(objects));
      await holds();
    });

    it('tens of thousands of elements go in and out, and over a change of version', async () => {
      const ports = Array.from({ length: 20 }, (_, at) => port({ hostPort: 10_000 + 1000 * at, count: 1000 }));
      const elements = lab.published(on(1, 3), ports);
      assert.equal(elements.length, 40_000);
      await lab.apply('publish', elements);
      const count = async () => (await lab.kernel.census()).objects.filter(({ kind }) => kind === 'element').length;
      const all = await count();
      await lab.restart(() => {
        const other = new Table(owner.realm, owner.host, rules.slice(1));
        other.prepare();
        other.close();
      });
      assert.equal(await count(), all);
      await expect('out', '192.0.1.1', 10_000, '1x3 192.0.1.2');
      await lab.remove('unpublish', elements);
      assert.equal(await count(), all - elements.length);
    });
  });
}
