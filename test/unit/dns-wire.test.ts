// Messages: what is read of a query, what is answered to garbage, truncation, EDNS, framing over TCP, replies told from others.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import packet from 'dns-packet';
import { createFrames, frame } from '../../services/dns/frames.ts';
import type { LocalAnswer } from '../../services/dns/lookup.ts';
import {
  bytesMaxOf,
  encodeAnswer,
  encodeEmpty,
  isReply,
  type Parsed,
  parseQuery,
  type Query,
  rcodeOf,
  withId,
} from '../../services/dns/wire.ts';
import { dataOf, decodeReply, queryMessage, replyTo } from '../support/dns.ts';

const parsed = (message: Buffer): Query => {
  const result = parseQuery(message);
  return result.ok ? result.query : assert.fail(`refused with ${result.reply?.toString('hex') ?? 'nothing'}`);
};
const rcodeOfRefusal = (result: Parsed): number | null | 'read' => {
  if (result.ok) return 'read';
  return result.reply && rcodeOf(result.reply);
};
const records = (count: number): LocalAnswer => ({
  rcode: 'NOERROR',
  answers: Array.from({ length: count }, (_, index) => ({ type: 'A', name: 'app', data: `10.0.0.${index}` }) as const),
  additionals: [],
  authoritative: true,
});

test('a query is read', () => {
  const { question, id, edns, questionEnd } = parsed(queryMessage('Web.Net', { type: 'AAAA', id: 7, edns: 1400 }));
  assert.deepEqual(
    { question, id, edns, questionEnd },
    {
      question: { name: 'Web.Net', type: 'AAAA', class: 'IN' },
      id: 7,
      edns: { bytesMax: 1400, version: 0 },
      questionEnd: 12 + 9 + 4,
    },
  );
  assert.equal(parsed(queryMessage('.', { type: 'NS' })).question.name, '');
  assert.equal(parsed(queryMessage('web')).edns, null);
});

test('types and classes that have no name here are read all the same', () => {
  const message = queryMessage('web');
  message.writeUInt16BE(65, message.length - 4);
  message.writeUInt16BE(3, message.length - 2);
  assert.deepEqual(parsed(message).question, { name: 'web', type: 'UNKNOWN_65', class: 'CH' });
});

test('a label of bytes that no text stands for is no name of ours, and stays what it is', () => {
  for (const label of ['a.b', 'a\u0000b', 'ä', 'a b', '\\032']) {
    const bytes = Buffer.from(label);
    const message = Buffer.concat([
      queryMessage('.').subarray(0, 12),
      Buffer.from([bytes.length]),
      bytes,
      Buffer.from([0, 0, 1, 0, 1]),
    ]);
    const query = parsed(message);
    assert.equal(query.question.name, label === '\\032' ? '\\032' : null, label);
    const reply = encodeEmpty(query, 'NXDOMAIN');
    assert.deepEqual(reply.subarray(12), message.subarray(12), label);
  }
});

test('what is no query is answered with why, or not at all', () => {
  const good = queryMessage('web');
  const changed = (offset: number, value: number): Buffer => {
    const message = Buffer.from(good);
    message.writeUInt16BE(value, offset);
    return message;
  };
  assert.equal(rcodeOfRefusal(parseQuery(Buffer.alloc(0))), null);
  assert.equal(rcodeOfRefusal(parseQuery(good.subarray(0, 11))), null, 'less than a header');
  assert.equal(rcodeOfRefusal(parseQuery(changed(2, 0x8100))), null, 'a reply');
  assert.equal(rcodeOfRefusal(parseQuery(changed(2, 0x2900))), 4, 'an update');
  assert.equal(rcodeOfRefusal(parseQuery(good.subarray(0, 12))), 1, 'no question behind the header');
  assert.equal(rcodeOfRefusal(parseQuery(good.subarray(0, -1))), 1, 'half a question');
  assert.equal(rcodeOfRefusal(parseQuery(changed(4, 0))), 1, 'no question');
  assert.equal(rcodeOfRefusal(parseQuery(changed(4, 0xffff))), 1, 'too many questions');
  assert.equal(rcodeOfRefusal(parseQuery(changed(6, 1))), 1, 'with answers');
  assert.equal(rcodeOfRefusal(parseQuery(changed(10, 0xffff))), 1, 'too many additional records');
  assert.equal(rcodeOfRefusal(parseQuery(changed(12, 0xc00c))), 1, 'a name that is a pointer to itself');
  assert.equal(rcodeOfRefusal(parseQuery(changed(12, 0x4061))), 1, 'a label of 64 bytes');
});

test('a name of more than 255 bytes is malformed', () => {
  const label = Buffer.concat([Buffer.from([63]), Buffer.alloc(63, 'a')]);
  const of = (count: number, rest: number): Buffer =>
    Buffer.concat([
      queryMessage('.').subarray(0, 12),
      ...Array.from({ length: count }, () => label),
      Buffer.from([rest]),
      Buffer.alloc(rest, 'b'),
      Buffer.from([0, 0, 1, 0, 1]),
    ]);
  assert.equal(parsed(of(3, 61)).question.name?.length, 253);
  assert.equal(rcodeOfRefusal(parseQuery(of(3, 62))), 1);
});

test('a refusal carries id, opcode and what was desired', () => {
  const message = queryMessage('web', { id: 0xbeef });
  message.writeUInt16BE(0, 4);
  const result = parseQuery(message);
  assert.ok(!result.ok && result.reply);
  const reply = decodeReply(result.reply);
  assert.deepEqual([reply.id, reply.rcode, reply.flag_qr, reply.flag_rd], [0xbeef, 'FORMERR', true, true]);
});

test('an answer says what it is', () => {
  const query = parsed(queryMessage('app', { id: 99 }));
  const reply = decodeReply(encodeAnswer(query, records(2), 512));
  assert.deepEqual([reply.id, reply.type, reply.rcode], [99, 'response', 'NOERROR']);
  assert.deepEqual([reply.flag_aa, reply.flag_rd, reply.flag_ra, reply.flag_tc], [true, true, true, false]);
  assert.deepEqual(reply.questions, [{ name: 'app', type: 'A', class: 'IN' }]);
  assert.deepEqual(dataOf(reply), ['10.0.0.0', '10.0.0.1']);
  assert.deepEqual(
    reply.answers?.map((record) => 'ttl' in record && record.ttl),
    [0, 0],
    'nobody may keep it',
  );
});

test('what does not fit is left out and said so; with EDNS or over TCP it fits', () => {
  const plain = parsed(queryMessage('app'));
  const reply = encodeAnswer(plain, records(100), bytesMaxOf(plain, 'udp'));
  assert.ok(reply.length <= 512);
  const cut = decodeReply(reply);
  assert.equal(cut.flag_tc, true);
  assert.ok((cut.answers?.length ?? 0) > 15, 'as many as fit');
  assert.ok(reply.length + 19 > 512, 'one more would not');
  const able = parsed(queryMessage('app', { edns: 4096 }));
  const whole = decodeReply(encodeAnswer(able, records(100), bytesMaxOf(able, 'udp')));
  assert.deepEqual([whole.flag_tc, whole.answers?.length], [false, 100]);
  const overTcp = decodeReply(encodeAnswer(plain, records(1000), bytesMaxOf(plain, 'tcp')));
  assert.deepEqual([overTcp.flag_tc, overTcp.answers?.length], [false, 1000]);
});

test('additional records go first, and nothing is missing without them', () => {
  const query = parsed(queryMessage('app'));
  const additionals = records(60).answers;
  const reply = decodeReply(encodeAnswer(query, { ...records(3), additionals }, 512));
  assert.deepEqual([reply.flag_tc, reply.answers?.length, reply.additionals?.length], [false, 3, 0]);
});

test('who says that it takes less than 512 bytes gets 512', () => {
  assert.equal(bytesMaxOf(parsed(queryMessage('app', { edns: 100 })), 'udp'), 512);
});

test('EDNS is answered with EDNS, other versions of it with that they are not spoken', () => {
  const edns = (message: Buffer) => {
    const [opt] = (decodeReply(message).additionals ?? []) as unknown as readonly Record<string, unknown>[];
    return opt && { version: opt.ednsVersion, rcode: opt.extendedRcode, bytes: opt.udpPayloadSize };
  };
  assert.equal(edns(encodeAnswer(parsed(queryMessage('app')), records(1), 512)), undefined);
  const query = parsed(queryMessage('app', { edns: 1232 }));
  assert.deepEqual(edns(encodeAnswer(query, records(1), 1232)), { version: 0, rcode: 0, bytes: 1232 });
  const message = queryMessage('app', { edns: 1232 });
  message.writeUInt8(1, message.length - 5);
  const reply = encodeAnswer(parsed(message), records(1), 1232);
  assert.deepEqual(edns(reply), { version: 0, rcode: 1, bytes: 1232 });
  assert.deepEqual(decodeReply(reply).answers, []);
  const twice = Buffer.concat([queryMessage('app', { edns: 1 }), queryMessage('app', { edns: 1 }).subarray(-11)]);
  twice.writeUInt16BE(2, 10);
  assert.equal(rcodeOfRefusal(parseQuery(twice)), 1, 'two EDNS records');
});

test('a reply is told from what somebody else sends', () => {
  const message = queryMessage('example.com', { id: 5 });
  const query = parsed(message);
  const reply = replyTo(packet.decode(message), { data: ['192.0.2.1'] });
  const judge = (candidate: Buffer) => isReply(candidate, message, query.questionEnd);
  assert.equal(judge(reply), true);
  assert.equal(judge(replyTo(packet.decode(queryMessage('EXAMPLE.com', { id: 5 })))), true, 'case is not kept by all');
  assert.equal(judge(withId(reply, 6)), false, 'another id');
  assert.equal(judge(message), false, 'a query');
  assert.equal(judge(replyTo(packet.decode(queryMessage('example.org', { id: 5 })))), false, 'another question');
  assert.equal(judge(replyTo(packet.decode(queryMessage('example.com', { id: 5, type: 'AAAA' })))), false);
  assert.equal(judge(reply.subarray(0, 20)), false);
  assert.equal(judge(reply.subarray(0, 5)), false);
  const empty = packet.encode({ type: 'response', id: 5, flags: 0 });
  assert.equal(judge(empty), false, 'no question, and no error');
  assert.equal(judge(packet.encode({ type: 'response', id: 5, flags: 1 })), true, 'an error without its question');
});

test('frames: however a stream is cut, the same messages come out', () => {
  const messages = [Buffer.from('one'), Buffer.alloc(0), Buffer.alloc(70, 'x'), Buffer.from('last')];
  const stream = Buffer.concat(messages.map(frame));
  for (const bytes of [1, 2, 3, 7, 64, stream.length]) {
    const frames = createFrames();
    const out: Buffer[] = [];
    for (let at = 0; at < stream.length; at += bytes) {
      frames.push(stream.subarray(at, at + bytes));
      for (let next = frames.shift(); next; next = frames.shift()) out.push(next);
    }
    assert.deepEqual(out, messages, `${bytes} bytes at a time`);
    assert.equal(frames.bytes, 0);
  }
});
