// Questions to other servers: passed on as they are, failover, truncation, limits of a sandbox, what is never asked of anybody.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import packet, { type DecodedPacket } from 'dns-packet';
import {
  askUdp,
  dataOf,
  decodeReply,
  member,
  networkFacts,
  queryMessage,
  type Reply,
  type ResolvingOptions,
  replyTo,
  resolving,
  sandboxFacts,
  type Upstream,
  upstream,
} from '../support/dns.ts';
import { waitFor } from '../support/nats.ts';

const net = networkFacts('net');
const one = sandboxFacts('s1');
const web = member(net, { id: 'web', ipv4: '10.0.0.2/24' }, one);

type Behaviour = (query: DecodedPacket, protocol: 'udp' | 'tcp') => Buffer | null;
const silent: Behaviour = () => null;
const says =
  (...data: string[]): Behaviour =>
  (query) =>
    replyTo(query, { data });
const fails =
  (rcode: number): Behaviour =>
  (query) =>
    replyTo(query, { flags: packet.RECURSION_AVAILABLE | rcode });

/** Servers on addresses of the loopback that all listen on one port, as real ones do. */
const servers = async (...behaviours: readonly Behaviour[]): Promise<readonly Upstream[]> => {
  const port = randomInt(20_000, 30_000);
  return Promise.all(behaviours.map((behaviour, index) => upstream(`127.0.77.${index + 1}`, port, behaviour)));
};

/** For servers that stay silent. All others have time: a machine that stands still makes nobody silent. */
const soon = { stepMs: 50 };
const patient = { stepMs: 30_000, budgetMs: 60_000 };

/** A sandbox whose questions go to these servers, for the time of `work`. */
const forwarding = async (
  behaviours: readonly Behaviour[],
  work: (system: ReturnType<typeof resolving>, upstreams: readonly Upstream[]) => Promise<void>,
  options: ResolvingOptions['forwarding'] = {},
): Promise<void> => {
  const upstreams = await servers(...behaviours);
  const addresses = upstreams.map((_, index) => `127.0.77.${index + 1}`);
  const port = upstreams[0]?.port ?? 0;
  const system = resolving({ servers: addresses, forwarding: { port, ...patient, ...options } });
  await system.join(web);
  try {
    await work(system, upstreams);
  } finally {
    await system.dns.close();
    await Promise.all(upstreams.map((each) => each.stop()));
  }
};

test('what is not known here is asked of a server, by the protocol of the question; what is known is not', () =>
  forwarding([says('192.0.2.1')], async ({ udp, tcp }, [server]) => {
    const overUdp = await udp('s1', 'example.com', { id: 99 });
    assert.deepEqual([overUdp.id, dataOf(overUdp), overUdp.flag_aa], [99, ['192.0.2.1'], false]);
    assert.deepEqual(dataOf(await tcp('s1', 'example.org')), ['192.0.2.1']);
    assert.deepEqual(dataOf(await udp('s1', 'web')), ['10.0.0.2']);
    assert.equal((await udp('s1', 'single')).rcode, 'NXDOMAIN');
    assert.deepEqual(
      server?.seen.map(({ name, protocol }) => `${name} ${protocol}`),
      ['example.com udp', 'example.org tcp'],
    );
  }));

test('a question is passed on as it is but for its id, EDNS and odd bytes included; so is the reply', () =>
  forwarding(
    [
      (query) =>
        replyTo(query, {
          data: ['192.0.2.1'],
          flags: packet.RECURSION_AVAILABLE | packet.AUTHENTIC_DATA,
          additionals: query.additionals ?? [],
        }),
    ],
    async ({ ports }, [server]) => {
      const message = queryMessage('Mixed.EXAMPLE.com', { id: 3, edns: 1400 });
      const [reply = Buffer.alloc(12)] = await askUdp(ports.get('/run/s1')?.udp ?? 0, [message]);
      assert.deepEqual(server?.seen[0]?.message.subarray(2), message.subarray(2));
      const decoded = decodeReply(reply);
      assert.deepEqual([decoded.id, decoded.flag_ad, decoded.questions?.[0]?.name], [3, true, 'Mixed.EXAMPLE.com']);
      assert.equal(decoded.additionals?.[0]?.type, 'OPT');
    },
  ));

test('ids are ours, and they and ports change from question to question', () =>
  forwarding([says('192.0.2.1')], async ({ udp }, [server]) => {
    for (let each = 0; each < 20; each++) await udp('s1', `n${each}.example.com`, { id: 1 });
    const ids = new Set(server?.seen.map(({ message }) => message.readUInt16BE(0)));
    const ports = new Set(server?.seen.map(({ from }) => from));
    assert.ok(ids.size > 10 && ports.size > 10, `${ids.size} ids and ${ports.size} ports for 20 questions`);
  }));

test('the next server is asked when one refuses, fails, is not there or stays silent', async () => {
  for (const [what, first] of [
    ['SERVFAIL', fails(2)],
    ['REFUSED', fails(5)],
    ['silence', silent],
  ] as const) {
    const work: Parameters<typeof forwarding>[1] = async ({ udp, tcp }, [bad, good]) => {
      assert.deepEqual(dataOf(await udp('s1', 'a.example.com')), ['192.0.2.2'], what);
      assert.deepEqual(dataOf(await tcp('s1', 'b.example.com')), ['192.0.2.2'], what);
      assert.ok((bad?.seen.length ?? 0) >= 1 && good?.seen.length === 2, what);
    };
    await forwarding([first, says('192.0.2.2')], work, first === silent ? soon : {});
  }
  await forwarding([says('192.0.2.2')], async ({ dns, udp, tcp }) => {
    const gone = sandboxFacts('s2', { dns: { servers: ['127.0.78.1', '127.0.77.1'], search: null, options: null } });
    assert.equal(await dns.open(gone), null);
    dns.joined(member(net, { id: 'x', ipv4: '10.0.0.3/24' }, gone));
    assert.deepEqual(dataOf(await udp('s2', 'a.example.com')), ['192.0.2.2'], 'nobody listens there');
    assert.deepEqual(dataOf(await tcp('s2', 'b.example.com')), ['192.0.2.2']);
  });
});

test('NXDOMAIN is an answer, with its authority section, and the next server is not asked', () =>
  forwarding(
    [
      (query) =>
        packet.encode({
          type: 'response',
          id: query.id ?? 0,
          flags: 3,
          questions: query.questions ?? [],
          authorities: [{ type: 'SOA', name: 'example.com', ttl: 60, data: { mname: 'ns', rname: 'admin' } }],
        }),
      says('192.0.2.2'),
    ],
    async ({ udp }, [, second]) => {
      const reply = await udp('s1', 'nothing.example.com');
      assert.deepEqual([reply.rcode, reply.authorities?.[0]?.type], ['NXDOMAIN', 'SOA']);
      assert.deepEqual(second?.seen, []);
    },
  ));

test('when all servers refuse, what the first said; when all are silent, SERVFAIL, and in time', () =>
  forwarding([fails(5), fails(2)], async ({ udp }) =>
    assert.equal((await udp('s1', 'a.example.com')).rcode, 'REFUSED'),
  ).then(() =>
    forwarding(
      [silent, silent],
      async ({ udp, tcp, dns }) => {
        assert.equal((await udp('s1', 'a.example.com')).rcode, 'SERVFAIL');
        assert.equal((await tcp('s1', 'a.example.com')).rcode, 'SERVFAIL');
        assert.equal(dns.counts.forwarded, 2);
      },
      { ...soon, budgetMs: 200 },
    ),
  ));

test('a sandbox without any server is told at once', async () => {
  const system = resolving({ servers: ['127.0.0.11'] });
  await system.join(web);
  assert.equal((await system.udp('s1', 'example.com')).rcode, 'SERVFAIL');
  assert.equal(system.dns.counts.forwarded, 0, 'nobody asks itself');
  await system.dns.close();
});

test('a server that was silent is asked after the others for a while', () =>
  forwarding(
    [silent, says('192.0.2.2')],
    async ({ udp }, [first]) => {
      await udp('s1', 'a.example.com');
      await udp('s1', 'b.example.com');
      await udp('s1', 'c.example.com');
      assert.deepEqual(
        first?.seen.map(({ name }) => name),
        ['a.example.com'],
      );
    },
    { ...soon, silentMs: 60_000 },
  ));

test('a late reply of the first server counts while the second has none', () =>
  forwarding(
    [
      (query) => {
        setTimeout(() => late?.(query), 150);
        return null;
      },
      silent,
    ],
    async ({ udp }, [first]) => {
      late = (query) => lateReply(first, query);
      assert.deepEqual(dataOf(await udp('s1', 'slow.example.com')), ['192.0.2.9']);
    },
    soon,
  ));
let late: ((query: DecodedPacket) => void) | null = null;
const lateReply = (server: Upstream | undefined, query: DecodedPacket): void =>
  server?.send(replyTo(query, { data: ['192.0.2.9'] }));

test('a truncated reply is passed on, and the client comes again over TCP', () =>
  forwarding(
    [
      (query, protocol) =>
        protocol === 'udp'
          ? replyTo(query, { flags: packet.TRUNCATED_RESPONSE | packet.RECURSION_AVAILABLE })
          : replyTo(query, { data: Array.from({ length: 100 }, (_, index) => `192.0.2.${index}`) }),
    ],
    async ({ udp, tcp }) => {
      assert.equal((await udp('s1', 'big.example.com')).flag_tc, true);
      assert.equal((await tcp('s1', 'big.example.com')).answers?.length, 100);
    },
  ));

test('a reply over UDP that is longer than the client takes is told as truncated', () =>
  forwarding(
    [(query) => replyTo(query, { data: Array.from({ length: 100 }, (_, index) => `192.0.2.${index}`) })],
    async ({ udp }) => {
      const reply = await udp('s1', 'big.example.com');
      assert.deepEqual([reply.flag_tc, reply.answers], [true, []]);
      assert.equal((await udp('s1', 'big.example.com', { edns: 4096 })).answers?.length, 100);
    },
  ));

test('what is no reply to the question is not taken for one', () =>
  forwarding(
    [
      (query) => replyTo({ ...query, questions: [{ type: 'A', name: 'other.example.com' }] }, { data: ['192.0.2.66'] }),
      says('192.0.2.2'),
    ],
    async ({ udp }) => assert.deepEqual(dataOf(await udp('s1', 'a.example.com')), ['192.0.2.2']),
    soon,
  ));

test('a sandbox with nothing but internal networks asks nobody, whatever servers are named', () =>
  forwarding([says('192.0.2.1')], async ({ dns, udp }, [server]) => {
    const inside = sandboxFacts('s2', { dns: { servers: ['127.0.77.1'], search: null, options: null } });
    assert.equal(await dns.open(inside), null);
    dns.joined(member(networkFacts('in', { internal: true }), { id: 'x', ipv4: '10.9.0.3/24' }, inside));
    for (const type of ['A', 'AAAA', 'TXT', 'PTR'] as const)
      assert.equal((await udp('s2', 'example.com', { type })).rcode, 'NXDOMAIN');
    assert.deepEqual(server?.seen, []);
  }));

const rcodes = (replies: readonly Reply[]): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {};
  for (const { rcode } of replies) counts[rcode] = (counts[rcode] ?? 0) + 1;
  return counts;
};

test('too many questions at once are refused at once; names of ours and other sandboxes are answered meanwhile', () =>
  forwarding(
    [silent],
    async ({ dns, ports, udp, join }, [server]) => {
      const two = sandboxFacts('s2');
      await join(member(net, { id: 'x', ipv4: '10.0.0.3/24' }, two));
      const many = Array.from({ length: 100 }, (_, id) => queryMessage(`n${id}.example.com`, { id }));
      const replies = askUdp(ports.get('/run/s1')?.udp ?? 0, many);
      await waitFor(() => dns.counts.shed === 70, { what: '30 questions under way and 70 refused' });
      assert.deepEqual(dataOf(await udp('s1', 'web')), ['10.0.0.2']);
      assert.deepEqual(dataOf(await udp('s2', 'web')), ['10.0.0.2']);
      assert.equal(server?.seen.length, 10, 'places of this sandbox');
      assert.equal((await udp('s2', 'n.example.com')).rcode, 'SERVFAIL', 'asked, and not refused');
      assert.equal(server?.seen.filter(({ name }) => name === 'n.example.com').length, 1);
      assert.deepEqual(rcodes((await replies).map(decodeReply)), { REFUSED: 70, SERVFAIL: 30 });
    },
    { placesMax: 20, placesPerKeyMax: 10, perKeyMax: 30, budgetMs: 500 },
  ));

test('what waits of a released sandbox is given up, and its places are free again', () =>
  forwarding(
    [silent],
    async ({ dns, ports, join, udp }, [server]) => {
      const two = sandboxFacts('s2');
      await join(member(net, { id: 'x', ipv4: '10.0.0.3/24' }, two));
      const many = Array.from({ length: 8 }, (_, id) => queryMessage(`n${id}.example.com`, { id }));
      await askUdp(ports.get('/run/s2')?.udp ?? 0, many, 0);
      await waitFor(() => server?.seen.length === 2, { what: 'two questions under way' });
      await dns.release(two.incarnation);
      assert.equal((await udp('s1', 'a.example.com')).rcode, 'SERVFAIL');
      assert.equal(dns.counts.forwarded, 3);
    },
    { placesMax: 4, placesPerKeyMax: 2, perKeyMax: 9, budgetMs: 300 },
  ));
