// Names against a plain model, and messages of every kind: nothing crashes, what comes out can be read, and fits.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import packet, { type RecordType } from 'dns-packet';
import fc from 'fast-check';
import { arpaAddress, arpaName } from '../../services/dns/arpa.ts';
import { createFrames, frame } from '../../services/dns/frames.ts';
import { answer, type LocalAnswer } from '../../services/dns/lookup.ts';
import { parseResolvConf } from '../../services/dns/upstreams.ts';
import { bytesMaxOf, encodeAnswer, encodeEmpty, isReply, parseQuery } from '../../services/dns/wire.ts';
import { createZone, type ZoneMember } from '../../services/dns/zone.ts';
import { dataOf, decodeReply, member, networkFacts, queryMessage, sandboxFacts } from '../support/dns.ts';

const first = () => 0;

// ---------------------------------------------------------------- zone

const networks = ['n1', 'n2', 'n1.n2'].map((name, index) => networkFacts(name, { internal: index > 0 }));
const sandboxes = ['s1', 's2', 's3'].map((id) => sandboxFacts(id, { hostname: id === 's1' ? 'h1' : null }));
const words = ['a', 'b', 'a.n1', 'n1', 'h1'] as const;

const joining = fc.record({
  kind: fc.constant('join' as const),
  id: fc.nat(5),
  network: fc.nat(2),
  sandbox: fc.nat(2),
  name: fc.constantFrom(...words),
  aliases: fc.uniqueArray(fc.constantFrom('A', 'b', 'c'), { maxLength: 2 }),
  links: fc.dictionary(fc.constantFrom('L', 'b'), fc.constantFrom('a', 'C', 'x')),
  hasSix: fc.boolean(),
  gatewayPriority: fc.integer({ min: 0, max: 1 }),
});
const leaving = fc.record({ kind: fc.constant('leave' as const), id: fc.nat(5) });
const history = fc.array(fc.oneof({ weight: 3, arbitrary: joining }, leaving), { maxLength: 30 });

type Move = (typeof history extends fc.Arbitrary<infer T> ? T : never)[number];

const memberOf = (move: Extract<Move, { kind: 'join' }>): ZoneMember => {
  const [network, sandbox] = [networks[move.network], sandboxes[move.sandbox]];
  if (!network || !sandbox) return assert.fail();
  const { name, aliases, links, gatewayPriority } = move;
  const ipv6 = move.hasSix ? `fd00:${move.network}::${move.id + 2}/64` : null;
  const addresses = { ipv4: `10.${move.network}.0.${move.id + 2}/24`, ipv6 };
  return member(network, { id: `e${move.id}`, name, aliases, links, gatewayPriority, ...addresses }, sandbox);
};

/** The rules as slowly and as plainly as they can be written: every endpoint is looked at for every question. */
const expected = (living: readonly ZoneMember[], incarnation: string, asked: string): readonly string[] | undefined => {
  const own = living
    .filter(({ sandbox }) => sandbox.incarnation === incarnation)
    .sort((a, b) => b.endpoint.gatewayPriority - a.endpoint.gatewayPriority);
  const bears = (one: ZoneMember, name: string): boolean =>
    [one.endpoint.name, ...one.endpoint.aliases, one.sandbox.hostname].some((each) => each?.toLowerCase() === name);
  const linkOf = (one: ZoneMember, name: string): string | undefined =>
    Object.entries(one.endpoint.links)
      .findLast(([alias]) => alias.toLowerCase() === name)?.[1]
      .toLowerCase();
  const inNetworkOf = (one: ZoneMember, name: string) =>
    living
      .filter(({ network }) => network.id === one.network.id)
      .filter((each) => bears(each, linkOf(one, name) ?? name));
  const linking = own.filter((one) => linkOf(one, asked) !== undefined);
  const plain = [...linking, ...own].map((one) => inNetworkOf(one, asked));
  const qualified = own.flatMap((one) => {
    const ending = `.${one.network.name}`;
    return asked.endsWith(ending) ? [inNetworkOf(one, asked.slice(0, -ending.length))] : [];
  });
  const found = [...plain, ...qualified].find((each) => each.length > 0);
  return found?.map(({ endpoint }) => endpoint.ipv4?.slice(0, -3) ?? '').sort();
};

const play = (moves: readonly Move[]) => {
  const zone = createZone();
  const living = new Map<string, ZoneMember>();
  for (const move of moves) {
    const id = `e${move.id}`;
    if (move.kind === 'leave') {
      zone.left(id);
      living.delete(id);
      continue;
    }
    const joined = memberOf(move);
    const before = living.get(id);
    // One that joins another sandbox comes last there; one that is told again keeps its place.
    if (before && before.sandbox.incarnation !== joined.sandbox.incarnation) living.delete(id);
    living.set(id, joined);
    zone.joined(joined);
  }
  return { zone, living: [...living.values()] };
};

test('a zone answers what a look at every endpoint would, whatever has happened', () => {
  const questions = [
    ...words,
    'c',
    'l',
    'x',
    ...words.flatMap((word) => networks.map(({ name }) => `${word}.${name}`)),
  ];
  fc.assert(
    fc.property(history, (moves) => {
      const { zone, living } = play(moves);
      assert.equal(zone.endpoints, living.length);
      const rebuilt = createZone();
      rebuilt.reset(living);
      for (const { incarnation } of sandboxes) {
        for (const name of questions) {
          const question = { name, type: 'A', class: 'IN' };
          const found = answer(zone, incarnation, question, first);
          const wanted = expected(living, incarnation, name);
          const data =
            found !== 'forward' && found.authoritative ? found.answers.map((each) => each.data).sort() : undefined;
          assert.deepEqual(data, wanted, `${incarnation} asks for ${name}`);
          const again = answer(rebuilt, incarnation, question, first);
          const sorted = (each: typeof found) =>
            each === 'forward' ? each : { ...each, answers: [...each.answers].map((one) => String(one.data)).sort() };
          assert.deepEqual(sorted(again), sorted(found), 'rebuilt from what is left');
        }
      }
    }),
    { numRuns: 300 },
  );
});

test('everything that has left has left nothing behind', () => {
  fc.assert(
    fc.property(history, (moves) => {
      const { zone, living } = play(moves);
      for (const { endpoint } of living) zone.left(endpoint.id);
      for (const { incarnation } of sandboxes) assert.equal(zone.of(incarnation), undefined);
      assert.equal(zone.networks, 0);
      const [observer] = networks.map((network) =>
        member(network, { id: 'observer', name: 'observer' }, sandboxFacts('s9')),
      );
      if (observer) zone.joined(observer);
      for (const name of words) {
        const found = answer(zone, 'i-s9', { name, type: 'A', class: 'IN' }, first);
        assert.ok(found === 'forward' || found.rcode === 'NXDOMAIN', name);
      }
    }),
  );
});

// ---------------------------------------------------------------- messages

const types = ['A', 'AAAA', 'PTR', 'TXT', 'SRV', 'MX', 'NS'] as const satisfies readonly RecordType[];
const label = fc.stringMatching(/^[a-zA-Z0-9_-]{1,63}$/);
const domain = fc
  .array(label, { minLength: 1, maxLength: 4 })
  .map((labels) => labels.join('.'))
  .filter((name) => name.length <= 253);
const asking = fc.record(
  { id: fc.nat(0xffff), type: fc.constantFrom(...types), edns: fc.integer({ min: 1, max: 0xffff }) },
  { requiredKeys: ['id', 'type'] },
);

test('queries are read as they were written', () => {
  fc.assert(
    fc.property(domain, asking, (name, more) => {
      const message = queryMessage(name, more);
      const parsed = parseQuery(message);
      assert.ok(parsed.ok);
      const { id, question, edns, questionEnd } = parsed.query;
      assert.deepEqual([id, question, edns?.bytesMax], [more.id, { name, type: more.type, class: 'IN' }, more.edns]);
      assert.equal(questionEnd, 12 + name.length + 2 + 4);
    }),
  );
});

const address = fc.ipV4();
const resource = fc.oneof(
  fc.record({ type: fc.constant('A' as const), data: address }),
  fc.record({ type: fc.constant('PTR' as const), data: domain }),
  fc.record({ type: fc.constant('TXT' as const), data: fc.stringMatching(/^[a-z=0-9]{1,200}$/) }),
  fc.record({
    type: fc.constant('SRV' as const),
    data: fc.record(
      {
        priority: fc.constant(0 as const),
        weight: fc.constant(0 as const),
        port: fc.nat(0xffff),
        target: domain,
      },
      { noNullPrototype: true },
    ),
  }),
);

test('answers can be read, fit, and are whole unless they say otherwise', () => {
  const amounts = fc.array(resource, { maxLength: 60 });
  fc.assert(
    fc.property(
      domain,
      asking,
      amounts,
      amounts,
      fc.constantFrom('udp' as const, 'tcp' as const),
      (name, more, ...rest) => {
        const [resources, extras, protocol] = rest;
        const parsed = parseQuery(queryMessage(name, more));
        assert.ok(parsed.ok);
        const bytesMax = bytesMaxOf(parsed.query, protocol);
        const named = (each: readonly (typeof resources)[number][]) =>
          each.map((one) => ({ ...one, name })) as LocalAnswer['answers'];
        const local = {
          rcode: 'NOERROR',
          answers: named(resources),
          additionals: named(extras),
          authoritative: true,
        } as const;
        const message = encodeAnswer(parsed.query, local, bytesMax);
        assert.ok(message.length <= bytesMax);
        const reply = decodeReply(message);
        assert.deepEqual(reply.questions, [{ name, type: more.type, class: 'IN' }]);
        assert.equal(reply.id, more.id);
        const data = resources.map((each) => each.data);
        const kept = reply.answers?.length ?? 0;
        assert.equal(reply.flag_tc, kept < data.length);
        assert.deepEqual(dataOf(reply), data.slice(0, kept));
        assert.equal(isReply(message, parsed.query.message, parsed.query.questionEnd), true);
      },
    ),
  );
});

/** Anything, and what is nearly a query: a good one with bytes changed, cut off or added. */
const garbage = fc.oneof(
  fc.uint8Array({ maxLength: 600 }),
  fc
    .record({
      name: domain,
      more: asking,
      changes: fc.array(fc.tuple(fc.nat(600), fc.nat(255)), { maxLength: 6 }),
      end: fc.integer({ min: -20, max: 20 }),
    })
    .map(({ name, more, changes, end }) => {
      const message = Buffer.concat([queryMessage(name, more), Buffer.alloc(Math.max(end, 0), 0xc0)]);
      for (const [at, byte] of changes) message[at % message.length] = byte;
      return message.subarray(0, message.length + Math.min(end, 0));
    }),
  // A header that promises much, and names that point hither and thither.
  fc.array(fc.constantFrom(0xc0, 0x0c, 0x00, 0x3f, 0xff, 0x01), { minLength: 12, maxLength: 400 }).map((bytes) => {
    const message = Buffer.from(bytes);
    message.writeUInt16BE(0x0100, 2);
    return message;
  }),
);

test('garbage is answered under its id or dropped; every reply can be read; nothing is thrown', () => {
  const { zone } = play([
    {
      kind: 'join',
      id: 0,
      network: 0,
      sandbox: 0,
      name: 'a',
      aliases: [],
      links: {},
      hasSix: true,
      gatewayPriority: 0,
    },
  ]);
  fc.assert(
    fc.property(garbage, (bytes) => {
      const message = Buffer.from(bytes);
      const parsed = parseQuery(message);
      const isReadable = message.length >= 12 && (message[2] ?? 0) < 0x80;
      assert.equal(!parsed.ok && parsed.reply === null, !isReadable);
      if (!parsed.ok) {
        if (parsed.reply)
          assert.deepEqual([parsed.reply.length, parsed.reply.subarray(0, 2)], [12, message.subarray(0, 2)]);
        return;
      }
      const { query } = parsed;
      const local = answer(zone, 'i-s1', query.question, first);
      const reply = local === 'forward' ? encodeEmpty(query, 'SERVFAIL') : encodeAnswer(query, local, 512);
      assert.deepEqual(reply.subarray(12, query.questionEnd), message.subarray(12, query.questionEnd));
      assert.equal(packet.decode(reply).id, query.id);
    }),
    { numRuns: 5_000 },
  );
});

test('replies of all kinds of bytes are judged without a throw', () => {
  const message = queryMessage('example.com');
  fc.assert(
    fc.property(garbage, (bytes) => {
      const isOne = isReply(Buffer.from(bytes), message, message.length);
      assert.ok(!isOne || bytes.length >= 12);
    }),
    { numRuns: 2_000 },
  );
});

test('a chain of pointers as long as a message can be is refused', () => {
  // Every two bytes point to the two before them: the longest walk that a message can ask for.
  const message = Buffer.alloc(65_535);
  queryMessage('a').copy(message);
  message.writeUInt16BE(4, 10);
  for (let at = 20; at < message.length - 1; at += 2) message.writeUInt16BE(0xc000 | Math.min(at - 2, 0x3fff), at);
  const parsed = parseQuery(message);
  assert.equal(parsed.ok, false);
});

test('frames: any messages, cut anywhere', () => {
  const messages = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 });
  fc.assert(
    fc.property(messages, fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), (sent, cuts) => {
      const stream = Buffer.concat(sent.map((each) => frame(Buffer.from(each))));
      const frames = createFrames();
      const out: Buffer[] = [];
      for (let at = 0, cut = 0; at < stream.length; cut++) {
        const bytes = cuts[cut % cuts.length] ?? 1;
        frames.push(stream.subarray(at, at + bytes));
        at += bytes;
        for (let next = frames.shift(); next; next = frames.shift()) out.push(next);
      }
      assert.deepEqual(
        out.map((each) => [...each]),
        sent.map((each) => [...each]),
      );
    }),
  );
});

// ---------------------------------------------------------------- the rest

test('names of addresses lead back to them', () => {
  fc.assert(fc.property(fc.ipV4(), (text) => assert.equal(arpaAddress(arpaName(text) ?? ''), text)));
  const six = fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }).map((value) => value.toString(16).padStart(32, '0'));
  fc.assert(
    fc.property(six, (digits) => {
      const name = `${[...digits].reverse().join('.')}.ip6.arpa`;
      const address_ = arpaAddress(name);
      assert.equal(arpaName(address_ ?? ''), name);
    }),
  );
  fc.assert(
    fc.property(fc.string(), (text) => {
      const found = arpaAddress(text.toLowerCase());
      assert.ok(found === null || arpaName(found) === text.toLowerCase());
    }),
  );
});

test('any text can be read as a resolv.conf', () => {
  const line = fc.oneof(
    fc.string(),
    fc.constantFrom('nameserver 1.2.3.4', 'search', 'options ndots:1 x', 'domain', '\u0000'),
  );
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      const { servers, search, options } = parseResolvConf(lines.join('\n'));
      for (const each of [...search, ...options]) assert.match(each, /^\S+$/);
      assert.equal(new Set(servers).size, servers.length);
    }),
  );
});
