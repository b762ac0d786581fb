/** Questions of programs in sandboxes, answers of servers, and both over TCP. */
import assert from 'node:assert/strict';
import packet from 'dns-packet';
import { createFrames, frame } from '../../../services/dns/frames.ts';
import { parseResolvConf } from '../../../services/dns/upstreams.ts';
import { bytesMaxOf, encodeEmpty, isReply, parseQuery, rcodeOf, rcodes, withId } from '../../../services/dns/wire.ts';
import { mutatedBytes, mutatedText, type Random } from '../random.ts';
import type { Target } from '../target.ts';

const question = (name: string, type: string, more: object = {}): Uint8Array =>
  packet.encode({ type: 'query', id: 4711, flags: 0x100, questions: [{ type, name, class: 'IN' }], ...more } as never);

const good = (): readonly Uint8Array[] => [
  question('web', 'A'),
  question('shop.example.com', 'AAAA'),
  question('2.0.200.10.in-addr.arpa', 'PTR'),
  question('_http._tcp.web', 'SRV', {
    additionals: [{ type: 'OPT', name: '.', udpPayloadSize: 1232, flags: 0, options: [] }],
  }),
  question('a'.repeat(60), 'TXT'),
  packet.encode({
    type: 'response',
    id: 4711,
    questions: [{ type: 'A', name: 'web' }],
    answers: [{ type: 'A', name: 'web', data: '10.0.0.2' }],
  } as never),
];

export const dns: Target = {
  name: 'dns',
  share: 12,
  start: () => {
    const messages = good();
    return (random: Random) => {
      const sent = Buffer.from(random.pick(messages));
      const message = Buffer.from(mutatedBytes(random, sent));
      const parsed = parseQuery(message);
      if (parsed.ok) {
        const { query } = parsed;
        assert.ok(query.questionEnd <= message.length, 'the question ends within the message');
        const reply = encodeEmpty(query, random.pick(Object.keys(rcodes)) as keyof typeof rcodes);
        assert.ok(reply.length <= bytesMaxOf(query, 'tcp') && reply.readUInt16BE(0) === query.id);
        assert.ok((rcodeOf(reply) as number) <= 15);
        isReply(message, withId(sent, 1), Math.min(query.questionEnd, sent.length));
      } else if (parsed.reply !== null) assert.ok(parsed.reply.length >= 12);
      isReply(message, sent, Math.min(24, sent.length));
      const frames = createFrames();
      const stream = Buffer.concat([frame(sent), Buffer.from(mutatedBytes(random, frame(message)))]);
      let taken = 0;
      for (let at = 0; at < stream.length; ) {
        const size = 1 + random.below(40);
        frames.push(stream.subarray(at, at + size));
        at += size;
        for (let next = frames.shift(); next !== undefined; next = frames.shift()) taken += next.length + 2;
      }
      assert.equal(taken + frames.bytes, stream.length, 'no byte is lost or made up');
      const { servers } = parseResolvConf(
        mutatedText(random, 'nameserver 192.0.2.53\nsearch example.com a.b\noptions ndots:2\n'),
      );
      for (const server of servers) assert.doesNotMatch(server, /[\s\n]/);
    };
  },
};
