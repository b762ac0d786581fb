import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodeCommit,
  type Event,
  encodeCommit,
  encodeEvent,
  joinCommit,
  UnreadableCommit,
} from '../../events/envelope.ts';
import {
  decisionTypes,
  eventData,
  isFailure,
  isIntent,
  isTerminal,
  outcomesOf,
  outcomeTypes,
} from '../../events/events.ts';
import { World } from '../support/world.ts';

const event: Event = {
  type: 'NetworkDeleted',
  version: 1,
  data: { networkId: 'network00001', name: 'web' },
  meta: {
    id: 'commit.0',
    source: '/cnm/realm/worker/h1',
    subject: 'network/network00001',
    time: '2026-01-05T12:00:00.000Z',
    actor: 'alice',
    commandid: 'mhx3k2p1-x',
    correlationid: 'job-7',
    causationid: 'intent.0',
  },
};

test('an event is a CloudEvent 1.0, and comes back as it was', () => {
  assert.deepEqual(JSON.parse(encodeEvent(event)), {
    specversion: '1.0',
    id: 'commit.0',
    type: 'cnm.NetworkDeleted.v1',
    source: '/cnm/realm/worker/h1',
    subject: 'network/network00001',
    time: '2026-01-05T12:00:00.000Z',
    actor: 'alice',
    commandid: 'mhx3k2p1-x',
    correlationid: 'job-7',
    causationid: 'intent.0',
    data: { networkId: 'network00001', name: 'web' },
  });
  const [back, ...more] = decodeCommit(new TextEncoder().encode(encodeCommit([event])));
  assert.deepEqual(more, []);
  assert.deepEqual(
    { type: back?.type, version: back?.version, data: back?.data },
    {
      type: event.type,
      version: 1,
      data: event.data,
    },
  );
  assert.partialDeepStrictEqual(back?.meta, event.meta);
});

test('every event of a whole life comes back as it was, in order', () => {
  const world = new World();
  world.run('CreateNetwork', { name: 'web', ipv6: true });
  world.run('AttachSandbox', { sandbox: 's1', networks: [{ network: 'web', labels: { 'ä\n"': '€' } }] });
  world.succeed();
  world.run('DetachSandbox', { sandbox: 's1' });
  world.succeed();
  const back = decodeCommit(new TextEncoder().encode(joinCommit(world.log.map(encodeEvent))));
  assert.deepEqual(
    back.map(({ type, data, meta }) => ({ type, data, id: meta.id })),
    world.log.map(({ type, data, meta }) => ({ type, data, id: meta.id })),
  );
});

test('what breaks its schema is not written', () => {
  const wrong = { ...event, data: { networkId: 'no id', name: 'web' } } as Event;
  assert.throws(() => encodeEvent(wrong), /NetworkDeleted breaks its schema/);
});

test('a reader stops at what it cannot read, loudly', () => {
  const read = (text: string) => decodeCommit(new TextEncoder().encode(text));
  const stored = encodeEvent(event);
  assert.throws(() => read(joinCommit([stored.replace('.v1', '.v2')])), UnreadableCommit);
  assert.throws(() => read(joinCommit([stored.replace('NetworkDeleted', 'NetworkVanished')])), {
    code: 'LOG_UNREADABLE',
  });
  assert.throws(() => read(joinCommit([stored.replace('cnm.NetworkDeleted.v1', 'other')])), { code: 'LOG_UNREADABLE' });
  for (const name of ['toString', '__proto__', 'constructor'])
    assert.throws(() => read(joinCommit([stored.replace('NetworkDeleted', name)])), { code: 'LOG_UNREADABLE' });
  assert.throws(() => read(stored), { code: 'LOG_UNREADABLE' });
  assert.deepEqual(read('[]'), []);
});

test('intents and outcomes belong together', () => {
  for (const [intent, { done, failed }] of Object.entries(outcomesOf)) {
    assert.ok(isIntent(intent as keyof typeof outcomesOf));
    assert.ok(isTerminal(done) && isTerminal(failed));
    assert.ok(isFailure(failed) && !isFailure(done));
    assert.ok((decisionTypes as readonly string[]).includes(intent));
    assert.ok((outcomeTypes as readonly string[]).includes(done));
  }
  assert.equal(Object.keys(eventData).length, decisionTypes.length + outcomeTypes.length);
});
