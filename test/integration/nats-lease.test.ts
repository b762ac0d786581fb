// One holder at a time: in memory under a clock of our own, and over a real server with real time.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Clock } from '../../services/lib/clock.ts';
import { jetStream } from '../../services/nats/jetstream.ts';
import { type Lease, type LeaseOptions, lease } from '../../services/nats/lease.ts';
import { leaseStream, STREAMS } from '../../services/nats/stream-config.ts';
import { provision } from '../../services/nats/streams.ts';
import { memoryStream } from '../support/memory-stream.ts';
import { startNats, type TestNats, waitFor } from '../support/nats.ts';

let nats: TestNats;
before(async () => {
  nats = await startNats();
});
after(() => nats.stop());

/** A clock that moves when told; everything due runs in order of time. */
const manualClock = (): Clock & { advance(ms: number): Promise<void> } => {
  let nowMs = 1_000;
  let ids = 0;
  const timers = new Set<{ atMs: number; run: () => void }>();
  const settle = async () => {
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  };
  return {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    randomId: () => `id${++ids}`,
    after: (delayMs, run) => {
      const timer = { atMs: nowMs + delayMs, run };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    advance: async (ms) => {
      const untilMs = nowMs + ms;
      await settle();
      for (;;) {
        const [due] = [...timers].filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs);
        if (due === undefined) break;
        timers.delete(due);
        nowMs = Math.max(nowMs, due.atMs);
        due.run();
        await settle();
      }
      nowMs = untilMs;
    },
  };
};

const candidates = (stream: Parameters<typeof lease>[0], options: LeaseOptions) => {
  const events: string[] = [];
  const join = (holder: string): Lease => {
    const handlers = {
      onAcquired: (term: number) => events.push(`${holder} acquired ${term}`),
      onLost: (reason: string) => events.push(`${holder} lost: ${reason}`),
    };
    return lease(stream, 'controller', holder, handlers, options);
  };
  return { events, join };
};

test('lease: the first takes it, the second waits, and gets it at once when it is released', async () => {
  const clock = manualClock();
  const { events, join } = candidates(memoryStream('L'), { clock });
  const first = join('a');
  await clock.advance(100);
  const second = join('b');
  await clock.advance(60_000);
  assert.deepEqual(events, ['a acquired 1']);
  assert.deepEqual([first.held(), second.held()], [true, false]);
  await first.stop();
  await clock.advance(100);
  assert.deepEqual(events, ['a acquired 1', 'b acquired 2']);
  await second.stop();
});

test('lease: a holder that cannot renew gives up before anybody takes over', async () => {
  const clock = manualClock();
  const stream = memoryStream('L', {
    inject: ({ body }) => (silenced && String(body).includes('"a"') ? 'lost' : undefined),
  });
  let silenced = false;
  const { events, join } = candidates(stream, { clock });
  const first = join('a');
  await clock.advance(100);
  const second = join('b');
  await clock.advance(10_000);
  silenced = true;
  await clock.advance(5_000);
  assert.deepEqual(events, ['a acquired 1', 'a lost: no renewal was acknowledged in time']);
  assert.equal(first.held(), false);
  await clock.advance(2_000);
  assert.deepEqual(events.slice(2), ['b acquired 2']);
  // it comes back as an observer and takes its turn later
  silenced = false;
  await clock.advance(10_000);
  assert.deepEqual(events.slice(3), []);
  await second.stop();
  await clock.advance(1_000);
  assert.deepEqual(events.slice(3), ['a acquired 3']);
  await first.stop();
});

test('lease: of two that take over at the same moment one wins', async () => {
  const clock = manualClock();
  const stream = memoryStream('L');
  await stream.append({ subject: 'cnm.lease.controller', body: JSON.stringify({ holder: 'dead', term: 7 }), id: 'x' });
  const { events, join } = candidates(stream, { clock });
  const both = [join('a'), join('b')];
  await clock.advance(5_900);
  assert.deepEqual(events, []);
  await clock.advance(200);
  assert.equal(events.length, 1);
  assert.match(events[0] ?? '', /^[ab] acquired 8$/);
  assert.equal(both.filter((one) => one.held()).length, 1);
  await Promise.all(both.map((one) => one.stop()));
});

test('lease: renewals whose answers are lost count when they turn up in the stream', async () => {
  const clock = manualClock();
  const stream = memoryStream('L', { inject: () => 'unacknowledged' });
  const { events, join } = candidates(stream, { clock });
  const holder = join('a');
  await clock.advance(30_000);
  assert.deepEqual(events, ['a acquired 1']);
  assert.equal(holder.held(), true);
  await holder.stop();
});

test('lease: a holder that is dead for sure is replaced at once, and what it appended late is no sign of life', async () => {
  const clock = manualClock();
  const stream = memoryStream('L');
  const append = (holder: string, term: number) =>
    stream.append({ subject: 'cnm.lease.controller', body: JSON.stringify({ holder, term }), id: `${holder}${term}` });
  await append('dead/1', 7);
  const events: string[] = [];
  const handlers = {
    onAcquired: (term: number) => events.push(`acquired ${term}`),
    onLost: (reason: string) => events.push(`lost: ${reason}`),
    onOther: (holder: string) => events.push(`other ${holder}`),
  };
  const isDead = (holder: string) => holder.startsWith('dead/');
  const candidate = lease(stream, 'controller', 'a', handlers, { clock, isDead });
  await clock.advance(100);
  assert.deepEqual(events, ['acquired 8']);
  await append('dead/1', 8);
  await clock.advance(100);
  assert.deepEqual(events.splice(0), ['acquired 8', 'lost: dead/1 took it over', 'acquired 9']);
  await append('live', 10);
  await clock.advance(100);
  assert.deepEqual(events.splice(0), ['lost: live took it over', 'other live']);
  await candidate.stop();
});

test('lease: over a server, a holder that vanished is followed, and a restart of the server loses nothing', async () => {
  const [one, two] = [await nats.connect(), await nats.connect()];
  await provision(one, { sync: { kind: 'stated' } });
  const options = { renewMs: 200, takeoverMs: 1_500 };
  const first = candidates(jetStream(one, STREAMS.lease, { timeoutMs: 300 }), options);
  const second = candidates(jetStream(two, STREAMS.lease, { timeoutMs: 300 }), options);
  const vanishing = first.join('a');
  vanishing.closed.catch(() => {});
  await waitFor(() => vanishing.held(), { what: 'the first to hold it' });
  const following = second.join('b');
  await nats.restart();
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  assert.equal([vanishing, following].filter((candidate) => candidate.held()).length, 1);
  const holder = vanishing.held() ? { connection: one, other: following } : { connection: two, other: vanishing };
  if (holder.connection === two) following.closed.catch(() => {});
  await holder.connection.close();
  await waitFor(() => holder.other.held(), { what: 'the other to hold it' });
  await holder.other.stop();
});

test('lease: its stream keeps one message per lease', () => {
  assert.equal(leaseStream.max_msgs_per_subject, 1);
  assert.equal(leaseStream.storage, 'file');
});
