import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { chainHash } from '../../services/lib/hash.ts';

type Header = readonly [name: string, value: string];
const bytes = (text: string) => new TextEncoder().encode(text);
const hash = (subject: string, headers: readonly Header[], body: Uint8Array) =>
  chainHash({ subject, headers: () => headers, body });

const subject = 'cnm.event.host.a';
const headers: readonly Header[] = [
  ['Nats-Msg-Id', 'c1'],
  ['Cnm-Prev-Hash', 'x'],
];

test('chain: the hash is that of the canonical form written out', () => {
  const form = 'cnm.event.host.a\r\nCnm-Prev-Hash: x\r\nNats-Msg-Id: c1\r\n\r\n[{"ä":1}]';
  const expected = createHash('sha256').update(form, 'utf8').digest('base64url');
  assert.equal(hash(subject, headers, bytes('[{"ä":1}]')), expected);
  assert.equal(expected, '5be2Ku_wrwTeJSfPGHOlEModaLhXb3DJHlsMrGC-vkI');
});

test('chain: the order of different headers does not matter, that of one name does', () => {
  const body = bytes('x');
  assert.equal(hash(subject, headers, body), hash(subject, headers.toReversed(), body));
  const twice: readonly Header[] = [
    ['a', '1'],
    ['a', '2'],
  ];
  assert.notEqual(hash(subject, twice, body), hash(subject, twice.toReversed(), body));
});

test('chain: what a server adds on the way out changes nothing', () => {
  const added: readonly Header[] = [
    ...headers,
    ['Nats-Stream', 'CNM_LOG'],
    ['Nats-Sequence', '7'],
    ['Nats-Pin-Id', 'p'],
  ];
  assert.equal(hash(subject, added, bytes('x')), hash(subject, headers, bytes('x')));
});

test('chain: every change of subject, header name, header value or body changes the hash', () => {
  const base = hash(subject, headers, bytes('body'));
  const others = [
    hash('cnm.event.host.b', headers, bytes('body')),
    hash(
      subject,
      [
        ['Nats-Msg-Id', 'c2'],
        ['Cnm-Prev-Hash', 'x'],
      ],
      bytes('body'),
    ),
    hash(
      subject,
      [
        ['Nats-Msg-ID', 'c1'],
        ['Cnm-Prev-Hash', 'x'],
      ],
      bytes('body'),
    ),
    hash(subject, headers.slice(1), bytes('body')),
    hash(subject, headers, bytes('Body')),
    hash(subject, headers, bytes('')),
    // the border between headers and body cannot be moved
    hash(subject, headers.slice(0, 1), bytes('Cnm-Prev-Hash: x\r\n\r\nbody')),
    hash(subject, [], bytes('body')),
  ];
  assert.equal(new Set([base, ...others]).size, others.length + 1);
});

test('chain: raw bytes count, not their reading as text', () => {
  assert.notEqual(hash(subject, headers, Uint8Array.of(0xff)), hash(subject, headers, Uint8Array.of(0xfe)));
});
