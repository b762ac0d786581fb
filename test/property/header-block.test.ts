// Our own reading of a message's headers against the library's: the same list, or none, so that the library is asked.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { headers, type Msg, type MsgHdrs } from '@nats-io/transport-node';
import fc from 'fast-check';
import { headersOf, listHeaders, parseHeaderBlock } from '../../services/nats/header-block.ts';

const library = headers().constructor as unknown as { decode(block: Uint8Array): MsgHdrs };

/** What the library makes of a block; null where it throws. */
const read = (block: Uint8Array): ReturnType<typeof listHeaders> | null => {
  try {
    return listHeaders(library.decode(block));
  } catch {
    return null;
  }
};

const beginning = 'NATS/1.0\r\n';
const character = fc.constantFrom(...'aZ-9:;/ \t\r\n!~_é\u00a0\u2003\u0000\u007f');
const word = fc.string({ unit: character, maxLength: 6 });
const line = fc.oneof(
  fc.tuple(word, fc.constantFrom(': ', ':', ' : ', ''), word).map((parts) => parts.join('')),
  fc.tuple(fc.constantFrom('Nats-Msg-Id', 'Cnm-Prev-Hash'), fc.base64String()).map((parts) => parts.join(': ')),
);
const block = fc
  .tuple(
    fc.oneof({ weight: 20, arbitrary: fc.constant(beginning) }, { weight: 1, arbitrary: word }),
    fc.array(line, { maxLength: 5 }),
    fc.constantFrom('\r\n\r\n', '\r\n', '', '\r\n\r\n\r\n'),
  )
  .map(([first, lines, end]) => first + lines.join('\r\n') + end);

test('property: headers that are read here are those that the library reads', () => {
  let ours = 0;
  fc.assert(
    fc.property(block, (text) => {
      const bytes = Buffer.from(text);
      const list = parseHeaderBlock(bytes.toString('latin1'));
      if (list === null) return;
      ours += 1;
      assert.deepEqual(list, read(bytes));
    }),
    { numRuns: 20_000 },
  );
  assert.ok(ours > 500, `${ours}`);
});

test('headers: plain ones are read from the memory before the body, others by the library', () => {
  const plain = [
    ['Nats-Msg-Id', 'one.two'],
    ['Nats-Expected-Last-Subject-Sequence', '0'],
    ['Empty', ''],
  ] as const;
  /** As it would stand in what came from the server, with what the library says of it. */
  const message = (lines: string, { body = 'body', subject = 'cnm.event.x', size = 0 } = {}) => {
    const head = Buffer.from(`${beginning}${lines}\r\n`);
    const received = Buffer.concat([Buffer.from('HMSG ...\r\n'), head, Buffer.from(body)]);
    let asked = 0;
    const msg = {
      subject,
      reply: 'to.me',
      data: received.subarray(received.length - Buffer.byteLength(body)),
      size: () => Buffer.byteLength(subject) + 'to.me'.length + head.length + Buffer.byteLength(body) + size,
      get headers() {
        asked += 1;
        return library.decode(head);
      },
    } as unknown as Msg;
    return { list: headersOf(msg, msg.data), asked };
  };
  const text = plain.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  assert.deepEqual(message(text), { list: plain, asked: 0 });
  assert.deepEqual(message(text, { body: '' }), { list: plain, asked: 0 });
  for (const wrong of [{ subject: 'cnm.event.é' }, { size: 1 }, { size: -1 }, { size: 1_000 }, { size: Number.NaN }])
    assert.deepEqual(message(text, wrong), { list: plain, asked: 1 }, JSON.stringify(wrong));
  assert.deepEqual(message('A: 1\r\nB: é\r\nA: 2\r\n'), {
    list: [
      ['A', '1'],
      ['A', '2'],
      ['B', 'é'],
    ],
    asked: 1,
  });
});
