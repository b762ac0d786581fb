/** Flows that began before a port was published, closed or led elsewhere: their next packet goes where it should. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Flow, listFlows } from '../../drivers/kernel/conntrack.ts';
import { NL } from '../../drivers/kernel/constants.ts';
import { NetlinkSocket } from '../../drivers/kernel/netlink.ts';
import { MessageWriter } from '../../drivers/kernel/writer.ts';
import type { Operation } from '../../drivers/port.ts';
import type { PublishedPort } from '../../events/events.ts';
import { Lab, type Place, port } from '../support/firewall-lab.ts';
import { create, remove, veth } from '../support/kernel-objects.ts';
import { inOwnNamespaces } from '../support/netns.ts';
import { receiveRaw, sctp, sendRaw } from '../support/raw.ts';

const first: Place = { at: 1, number: 2 };
const second: Place = { at: 1, number: 3 };

if (inOwnNamespaces(import.meta.filename)) {
  describe('flows', () => {
    const lab = new Lab();
    let source = 20_000;

    before(async () => {
      await lab.open();
      lab.addOutside('out', 1);
      await lab.addNetwork(1);
      for (const place of [first, second]) await lab.addBox(place);
    });
    after(() => lab.close());

    const moves = (ports: readonly PublishedPort[]): readonly Operation[] => {
      const from = lab.published(first, ports);
      return lab
        .published(second, ports)
        .map((object, at) => ({ op: 'update', from: from[at] ?? assert.fail(), object }));
    };

    const addresses = [
      { hosts: ['0.0.0.0'], to: '192.0.1.1' },
      { hosts: ['::'], to: '2001:db8:1::1' },
      { hosts: ['192.0.1.1'], to: '192.0.1.1' },
      { hosts: ['2001:db8:1::1'], to: '2001:db8:1::1' },
    ] as const;

    for (const { hosts, to } of addresses) {
      const udp = [port({ protocol: 'udp', hostAddresses: [...hosts] })];
      const answerer = async (from: number, timeoutMs = 5000) => {
        const asked = { do: 'ask', protocol: 'udp', address: to, port: 8080, from, timeoutMs } as const;
        return (await lab.talker('out').do(asked))?.split(' ')[0] ?? null;
      };

      it(`of udp lose no packet when ${hosts} leads elsewhere`, async () => {
        const from = source++;
        const elements = lab.published(first, udp);
        await lab.apply('publish', elements);
        assert.equal(await answerer(from), '1x2');
        await lab.change(...moves(udp));
        assert.equal(await answerer(from), '1x3');
        await lab.remove('unpublish', lab.published(second, udp));
        assert.equal(await answerer(from, 300), null);
      });

      it(`of udp that were sent to ${hosts} while nobody was there are answered by the next`, async () => {
        const from = source++;
        const elements = lab.published(first, udp);
        await lab.apply('publish', elements);
        assert.equal(await answerer(from), '1x2');
        await lab.remove('unpublish', elements);
        assert.equal(await answerer(from, 300), null);
        const later = lab.published(second, udp);
        await lab.apply('publish', later);
        assert.equal(await answerer(from), '1x3');
        await lab.remove('unpublish', later);
      });

      it(`of udp to ${hosts} are right after one batch of plans that takes and gives`, async () => {
        const from = source++;
        const [before, behind] = [lab.published(first, udp), lab.published(second, udp)];
        await lab.apply('publish', before);
        assert.equal(await answerer(from), '1x2');
        const results = await lab.kernel.apply([remove('take', before), create('give', behind)]);
        assert.deepEqual(results, [{ ok: true }, { ok: true }]);
        assert.equal(await answerer(from), '1x3');
        await lab.remove('unpublish', behind);
      });
    }

    it('are right after a plan that failed behind them', async () => {
      const udp = [port({ protocol: 'udp' })];
      const from = source++;
      const asked = { do: 'ask', protocol: 'udp', address: '192.0.1.1', port: 8080, from, timeoutMs: 5000 } as const;
      const nowhere = veth({ network: 9, number: 2, netns: lab.boxPath(first), device: 'eth9' });
      await lab.apply('publish', lab.published(first, udp));
      assert.match((await lab.talker('out').do(asked)) ?? '', /^1x2 /);
      const [result] = await lab.kernel.apply([
        { id: 'fails', operations: [...moves(udp), { op: 'create', object: nowhere }] },
      ]);
      assert.equal(result?.ok, false);
      assert.match((await lab.talker('out').do(asked)) ?? '', /^1x2 /);
      await lab.remove('unpublish', lab.published(first, udp));
    });

    describe('of tcp', () => {
      const tcp = [port({ protocol: 'tcp' })];
      const connect = async () => {
        const to = { protocol: 'tcp', address: '192.0.1.1', port: 8080 } as const;
        return lab.talker('out').do({ do: 'connect', ...to });
      };
      const say = (timeoutMs: number) => lab.talker('out').do({ do: 'say', timeoutMs });

      it('go on when their port is closed, and end when it leads elsewhere', async () => {
        await lab.apply('publish', lab.published(first, tcp));
        assert.equal(await connect(), '1x2 192.0.1.2');
        await lab.remove('unpublish', lab.published(first, tcp));
        assert.equal(await say(5000), '1x2 192.0.1.2');
        await lab.apply('publish again', lab.published(first, tcp));
        assert.equal(await say(5000), '1x2 192.0.1.2');
        await lab.remove('unpublish', lab.published(first, tcp));
        await lab.apply('publish elsewhere', lab.published(second, tcp));
        assert.equal(await say(300), null);
        assert.equal(await connect(), '1x3 192.0.1.2');
        await lab.remove('unpublish', lab.published(second, tcp));
      });

      it('end when their port is led elsewhere, and those of other ports go on', async () => {
        const both = [...tcp, port({ hostPort: 8081 })];
        await lab.apply('publish', lab.published(first, both));
        assert.equal(await connect(), '1x2 192.0.1.2');
        await lab.change(...moves([port({ hostPort: 8081 })]));
        assert.equal(await say(5000), '1x2 192.0.1.2');
        await lab.change(...moves(tcp));
        assert.equal(await say(300), null);
        await lab.remove('unpublish', lab.published(second, both));
      });
    });

    it('through the host to the same port of somebody else are left alone', async () => {
      const ports = new Set([8080]);
      const socket = new NetlinkSocket(NL.NETFILTER);
      const flows = (): readonly Flow[] =>
        listFlows(socket, new MessageWriter(4096), { family: 4, protocol: 17 }, ports).filter(
          ({ destination }) => destination.join('.') === '192.0.1.2',
        );
      const out = { protocol: 'udp', address: '192.0.1.2', port: 8080 } as const;
      await lab.talker('out').do({ do: 'listen', name: 'out', ...out });
      assert.equal(await lab.ask('1x2', out, 5000), 'out 192.0.1.1');
      const before = flows();
      assert.equal(before.length, 1);
      const udp = lab.published(second, [port({ protocol: 'udp' })]);
      await lab.apply('publish', udp);
      await lab.remove('unpublish', udp);
      assert.deepEqual(flows(), before);
      socket.close();
    });

    it('of many ports are looked at together', async () => {
      const count = 250;
      const many = [port({ protocol: 'udp', hostAddresses: ['192.0.1.1'], hostPort: 9000, port: 80, count })];
      const ask = (at: number) => {
        const to = { protocol: 'udp', address: '192.0.1.1', port: 9000 + at } as const;
        return lab.talker('out').do({ do: 'ask', ...to, from: 30_000 + at, timeoutMs: at === 0 ? 5000 : 300 });
      };
      const askAll = () => Promise.all(Array.from({ length: count }, (_, at) => ask(at)));
      await lab.apply('publish', lab.published(first, many));
      assert.equal((await askAll())[0], '1x2 192.0.1.2');
      await lab.change(...moves(many));
      assert.equal((await askAll())[0], '1x3 192.0.1.2');
      const socket = new NetlinkSocket(NL.NETFILTER).widen();
      const ports = new Set(Array.from({ length: count }, (_, at) => 9000 + at));
      const flows = listFlows(socket, new MessageWriter(4096), { family: 4, protocol: 17 }, ports);
      assert.equal(flows.length, count);
      assert.deepEqual(new Set(flows.map(({ target }) => target.join('.'))), new Set(['10.1.0.3']));
      socket.close();
      await lab.remove('unpublish', lab.published(second, many));
    });

    it('of sctp are led there and back', async () => {
      const published = lab.published(first, [port({ protocol: 'sctp', hostPort: 9000 })]);
      await lab.apply('publish', published);
      const [box, out] = [lab.boxPath(first), lab.path('out')];
      const [inside, outside] = await Promise.all([receiveRaw(box, 132), receiveRaw(out, 132)]);
      await sendRaw(out, '192.0.1.1', 132, sctp(5000, 9000, 0, 1));
      // Source and destination, and the two ports.
      const ports = (from: number, to: number) =>
        Buffer.from(new Uint16Array([from, to]).buffer)
          .swap16()
          .toString('hex');
      const ips = (...parts: readonly number[]) => Buffer.from(parts).toString('hex');
      assert.equal((await inside.packet).slice(0, 24), ips(192, 0, 1, 2, 10, 1, 0, 2) + ports(5000, 80));
      await sendRaw(box, '192.0.1.2', 132, sctp(80, 5000, 0x1234, 2));
      assert.equal((await outside.packet).slice(0, 24), ips(192, 0, 1, 1, 192, 0, 1, 2) + ports(9000, 5000));
      await lab.remove('unpublish', published);
    });
  });
}
