// `cnm why`: what is asked about, and the chain from a thing to who asked for it; ports as filters write them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HistoryRow } from '../../events/past-queries.ts';
import { isPort, parsePort } from '../../projections/event-ports.ts';
import { askedBy, describeChain, endsOf } from '../../services/cli/why-chain.ts';

const addressOf = (text: string): string | null => (/^[0-9.]{7,}$/.test(text) ? text : null);

test('a word is a path, a port, an address or else the name of an interface', () => {
  assert.deepEqual(askedBy('/run/netns/a', addressOf), { kind: 'namespace', path: '/run/netns/a' });
  assert.deepEqual(askedBy('8080', addressOf), { kind: 'port', protocol: 'tcp', port: 8080 });
  assert.deepEqual(askedBy('53/udp', addressOf), { kind: 'port', protocol: 'udp', port: 53 });
  assert.deepEqual(askedBy('10.0.0.2', addressOf), { kind: 'address', address: '10.0.0.2' });
  assert.deepEqual(askedBy('cvabc', addressOf), { kind: 'interface', name: 'cvabc' });
  for (const name of ['0', '65536', '99999']) assert.deepEqual(askedBy(name, addressOf), { kind: 'interface', name });
});

const row = (change: Partial<HistoryRow>): HistoryRow => ({
  position: '7.0',
  time: '2026-01-31T14:03:07.000Z',
  recordedtime: '2026-01-31T14:03:07.001Z',
  host: 'h1',
  actor: 'alice',
  actorproof: null,
  command: 'AttachSandbox',
  commandid: 'mhx-1',
  correlationid: 'mhx-1',
  traceparent: null,
  status: 'succeeded',
  code: null,
  detail: null,
  endedPosition: 8,
  endedAt: '2026-01-31T14:03:07.012Z',
  tookMs: 12,
  events: [],
  ...change,
});
const time = '2026-01-31T14:03:07.000Z';
const entity = { kind: 'endpoint', id: 'e1', name: 'web/db' } as const;

test('the chain goes from the thing to the command that made it, and to the last one', () => {
  const rows = [
    row({
      events: [
        { position: '7.0', type: 'NetworkCreateRequested', time, about: 'network/n1' },
        { position: '7.1', type: 'EndpointCreateRequested', time, about: 'endpoint/e1' },
      ],
    }),
    row({
      ...{ commandid: 'mhx-2', command: 'LeaveEndpoint', actor: 'bob', actorproof: 'nats', tookMs: 3_400 },
      events: [{ position: '9.0', type: 'EndpointLeft', time, about: 'endpoint/e1' }],
    }),
    row({ events: [{ position: '10.0', type: 'EndpointLeft', time, about: 'endpoint/e2' }] }),
  ];
  const text = describeChain('veth cv1', entity, endsOf(rows, entity));
  assert.equal(
    text,
    'veth cv1 -> endpoint web/db (e1) -> EndpointCreateRequested 7.1 -> AttachSandbox mhx-1 by alice (claimed), 12 ms, 2026-01-31 14:03:07\n' +
      '  last: EndpointLeft 9.0 -> LeaveEndpoint mhx-2 by bob, 3.4 s, 2026-01-31 14:03:07\n',
  );
  assert.match(describeChain('veth cv1', entity, []), /nothing is recorded/);
  assert.equal(endsOf(rows.slice(0, 1), entity).length, 1);
});

test('ports are written in four ways, and a range takes in what lies in it', () => {
  assert.deepEqual(parsePort('h1/tcp/80'), { host: 'h1', protocol: 'tcp', port: 80 });
  assert.deepEqual(parsePort('tcp/80'), { host: null, protocol: 'tcp', port: 80 });
  assert.deepEqual(parsePort('80/udp'), { host: null, protocol: 'udp', port: 80 });
  assert.deepEqual(parsePort('80'), { host: null, protocol: null, port: 80 });
  for (const text of ['', 'x', 'tcp/80/udp', '80/icmp', '/80', 'h1/80', '0', '65536', 'tcp/99999'])
    assert.equal(parsePort(text), null, text);
  const range = { holder: null, protocol: 'tcp', first: 8_000, count: 10 };
  const is = (text: string, host: string): boolean => isPort(parsePort(text) ?? assert.fail(text), range, host);
  assert.deepEqual(
    [is('8000', 'h1'), is('8009/tcp', 'h1'), is('8010', 'h1'), is('7999', 'h1')],
    [true, true, false, false],
  );
  assert.deepEqual([is('8000/udp', 'h1'), is('h2/tcp/8000', 'h1'), is('h1/tcp/8000', 'h1')], [false, false, true]);
});
