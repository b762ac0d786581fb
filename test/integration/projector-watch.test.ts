// Watching over a stream in memory: by label, from any place, refused where something would be missing, and never further ahead than is wanted.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { type Event, encodeCommit, eventVersions } from '../../events/envelope.ts';
import { subjects } from '../../events/names.ts';
import { Labelled } from '../../projections/labelled.ts';
import { QueryFailed } from '../../services/client/errors.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { inFrontOf, type Stream } from '../../services/lib/stream.ts';
import { ELSEWHERE_MS } from '../../services/projector/event-feed.ts';
import { createProjector, type Projector } from '../../services/projector/projector.ts';
import { type WatchDeps, type WatchItem, type WatchOptions, watch } from '../../services/projector/watch.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { type MemoryStream, memoryStream } from '../support/memory-stream.ts';
import { endpointFacts, networkFacts } from '../support/random-facts.ts';
import type { RandomCommit } from '../support/random-history.ts';
import { someHistory } from '../support/some-history.ts';
import { take } from '../support/watched-log.ts';
import { until } from '../support/world.ts';

const logger = pino({ level: 'silent' });
const history = someHistory(600);

const append = async (log: Stream, commits: readonly RandomCommit[]): Promise<void> => {
  for (const { subject, position, events } of commits)
    await log.append({ subject, body: encodeCommit(events), id: `c${position}` });
};

interface Running {
  readonly log: MemoryStream;
  readonly projector: Projector;
}

const run = async (commits: readonly RandomCommit[]): Promise<Running> => {
  const log = memoryStream('CNM_LOG');
  await append(log, commits);
  const projector = createProjector({ log, clock: systemClock, logger });
  await projector.caughtUp;
  return { log, projector };
};

const watching = ({ projector }: Running, log: Stream, options: WatchOptions): AsyncIterableIterator<WatchItem> =>
  watch({ query: (name, query) => projector.query(name, query), log }, options);

/** Positions of the events of things with these labels. */
const selection = (labels: readonly string[]): readonly string[] => {
  const labelled = new Labelled(labels);
  return history.flatMap(({ position, events }) =>
    events.flatMap((event, index) => (labelled.concerns(event) ? [`${position}.${index}`] : [])),
  );
};

test('watch: by label, from the opening, from now and from behind any event', async () => {
  const running = await run(history.slice(0, 300));
  const { log } = running;
  const label = ['team=shop', 'tier'];
  const expected = selection(label);
  const later = expected.filter((position) => Number.parseInt(position, 10) > 300);
  assert.ok(later.length > 20 && expected.length - later.length > 20);

  const live = watching(running, log, { view: 'endpoints', label });
  const [snapshot] = await take(live, 1);
  assert.ok(snapshot?.kind === 'snapshot' && snapshot.position === 300);
  const { rows } = await running.projector.query('endpoints', { filter: { label }, asOf: 300 });
  assert.deepEqual(snapshot.rows, rows);
  await append(log, history.slice(300));
  const seen = await take(live, later.length);
  assert.deepEqual(
    seen.map(({ position }) => position),
    later,
  );
  await live.return?.();

  const whole = watching(running, log, { label, from: 0 });
  const all = await take(whole, expected.length);
  assert.deepEqual(
    all.map(({ position }) => position),
    expected,
  );
  await whole.return?.();
  for (let at = 0; at < expected.length - 1; at += 13) {
    const resumed = watching(running, log, { label, from: all[at]?.cursor ?? '' });
    const rest = await take(resumed, expected.length - at - 1);
    assert.deepEqual(
      rest.map(({ position }) => position),
      expected.slice(at + 1),
    );
    await resumed.return?.();
  }
  for (const limit of [7, 10_000]) {
    const pages: unknown[] = [];
    for (let after: string | undefined, isFirst = true; isFirst || after !== undefined; isFirst = false) {
      const more = after === undefined ? {} : { after };
      const page = await running.projector.query('events', {
        filter: { label: 'team=shop', since: '100' },
        limit,
        ...more,
      });
      pages.push(...page.rows.map((row) => row.position));
      after = page.next;
    }
    const wanted = selection(['team=shop']).filter((position) => Number.parseInt(position, 10) >= 100);
    assert.deepEqual(pages, wanted);
  }
  await running.projector.stop();
});

test('watch: of a host and a label, networks that are on all hosts are known too', async () => {
  const running = await run(history.slice(0, 20));
  const { log } = running;
  const items = watching(running, log, { host: 'h1', label: 'team=shop' });
  await take(items, 1);
  const roll = [0.5, 0.5, 0.5, 0.5] as const;
  const labels = { team: 'shop' };
  const network = { ...networkFacts('realmnetwork', 1, roll), scope: 'realm' as const, labels };
  const endpoint = { ...endpointFacts('realmendpoin', 1, network.id, roll), labels };
  const meta = history[3]?.events[0]?.meta ?? assert.fail();
  const facts = [
    [subjects.realm, { type: 'NetworkCreateRequested', data: { network } }],
    [subjects.host('h1'), { type: 'EndpointCreateRequested', data: { endpoint } }],
  ] as const;
  for (const [subject, fact] of facts) {
    const event = { ...fact, version: eventVersions[fact.type], meta: { ...meta, id: `${fact.type}.0` } } as Event;
    await log.append({ subject, body: encodeCommit([event]), id: fact.type });
  }
  const [item] = await take(items, 1);
  assert.equal(item?.position, '22.0');
  await items.return?.();
  await running.projector.stop();
});

test('watch: what passes nobody moves the place on too, so that it is not read again', async () => {
  const running = await run(history);
  const { log } = running;
  const type = 'NetworkDeleted';
  const expected = history.flatMap(({ position, events }) =>
    events.flatMap((event, index) => (event.type === type ? [`${position}.${index}`] : [])),
  );
  assert.ok(expected.length > 3 && expected.length < 60, String(expected.length));
  const items = watching(running, log, { types: [type], from: 0, passingEvery: 15 });
  const seen: WatchItem[] = [];
  while (Number.parseInt(String(seen.at(-1)?.position ?? 0), 10) <= history.length - 15)
    seen.push(...(await take(items, 1)));
  await items.return?.();
  const eventsIn = (some: readonly WatchItem[]) =>
    some.flatMap(({ kind, position }) => (kind === 'event' ? [position] : []));
  assert.deepEqual(eventsIn(seen), expected.slice(0, eventsIn(seen).length));
  const passings = seen.filter(({ kind }) => kind === 'passing');
  assert.ok(passings.length > 3, String(passings.length));
  const commits = seen.map(({ position }) => Number.parseInt(String(position), 10));
  assert.ok(
    commits.every((commit, n) => commit >= (commits[n - 1] ?? 0)),
    commits.join(' '),
  );
  // From each of them it goes on without gap or repetition, and no further back than that.
  for (const [n, item] of seen.entries()) {
    if (item.kind !== 'passing') continue;
    let first = Number.POSITIVE_INFINITY;
    const counting = inFrontOf(log, {
      read: (options, onMessage) => {
        first = Math.min(first, options.from);
        return log.read(options, onMessage);
      },
    });
    const rest = expected.slice(eventsIn(seen.slice(0, n)).length);
    const resumed = watching(running, counting, { types: [type], from: item.cursor });
    assert.deepEqual(eventsIn(await take(resumed, rest.length)), rest);
    assert.equal(first, Number(item.position) + 1);
    await resumed.return?.();
  }
  await running.projector.stop();
});

const created = (id: string): Event => {
  const meta = { ...(history[3]?.events[0]?.meta ?? assert.fail()), id: `${id}.0` };
  const data = { network: networkFacts(`network0000${id}`, 1, [0.5, 0.5, 0.5, 0.5]) };
  return { type: 'NetworkCreateRequested', data, version: eventVersions.NetworkCreateRequested, meta } as Event;
};

test('watch: of a host, what happens on the others moves the place on too, and nothing of its own is passed over', async () => {
  const running = await run(history.slice(0, 100));
  const { log } = running;
  const clock = new FakeClock();
  const query: WatchDeps['query'] = (name, asked) => running.projector.query(name, asked);
  const items = watch({ query, log, clock }, { host: 'h.quiet', from: 0, passingEvery: 15 });
  const next = async (): Promise<WatchItem> => {
    const item = items.next();
    let isThere = false;
    void item.then(() => {
      isThere = true;
    });
    await until(() => {
      void clock.advance(ELSEWHERE_MS);
      return isThere;
    }, 'an item');
    return (await item).value;
  };
  const first = await next();
  assert.deepEqual([first.kind, first.position], ['passing', '100']);
  await append(log, history.slice(100, 110));
  // not worth a word, until something of its own comes
  await log.append({ subject: subjects.host('h.quiet'), body: encodeCommit([created('a'), created('b')]), id: 'own' });
  assert.deepEqual([(await next()).position, (await next()).position], ['111.0', '111.1']);
  await append(log, history.slice(110, 140));
  const last = await next();
  assert.deepEqual([last.kind, last.position], ['passing', '141']);
  await items.return?.();
  let from = 0;
  const counting = inFrontOf(log, {
    read: (options, onMessage) => {
      from = options.from;
      return log.read(options, onMessage);
    },
  });
  const resumed = watch({ query, log: counting, clock }, { host: 'h.quiet', from: last.cursor });
  await log.append({ subject: subjects.host('h.quiet'), body: encodeCommit([created('c')]), id: 'more' });
  const [item] = await take(resumed, 1);
  assert.deepEqual([item?.position, from], ['142.0', 142]);
  await resumed.return?.();
  await running.projector.stop();
});

/** A log whose beginning is put away, as readers find it. */
const from = (log: Stream, first: number): Stream =>
  inFrontOf(log, {
    first: async () => first,
    get: async (position) => (position < first ? null : log.get(position)),
    read: (options, onMessage) => log.read({ ...options, from: Math.max(first, options.from) }, onMessage),
  });

test('watch: a place that the log does not reach back to, or has not come to, or that is of another log, is refused', async () => {
  const running = await run(history.slice(0, 100));
  const { log } = running;
  const refused = async (stream: Stream, place: string | number, detail: RegExp): Promise<void> => {
    const items = watching(running, stream, { from: place });
    await assert.rejects(items.next(), (error: unknown) => {
      assert.ok(error instanceof QueryFailed, String(error));
      assert.equal(error.code, 'QUERY_POSITION_UNKNOWN');
      assert.match(error.detail, detail);
      return true;
    });
  };
  const cut = from(log, 41);
  await refused(cut, 39, /^the log begins at position 41, behind 39:/);
  await refused(cut, '40.0', /^the log begins at position 41, behind 40:/);
  await refused(cut, 0, /^the log begins at position 41, behind 0:/);
  await refused(log, 101, /^the log ends at position 100, before 101$/);
  await refused(log, '300.2@c300', /before 300: it is shorter than the one watched before$/);
  await refused(
    log,
    '50.0@c51',
    /^another log than the one watched before: at position 50 stands commit c50, not c51$/,
  );
  for (const [stream, place, first] of [
    [cut, 40, '41.0'],
    [cut, '41@c41', '42.0'],
    [log, 0, '1.0'],
    [log, '50@c50', '51.0'],
  ] as const) {
    const items = watching(running, stream, { from: place });
    const [item] = await take(items, 1);
    assert.equal(item?.position, first);
    await items.return?.();
  }
  const empty = await run([]);
  const items = watching(empty, empty.log, {});
  const [snapshot] = await take(items, 1);
  assert.deepEqual(snapshot, { kind: 'snapshot', position: 0, cursor: '0', rows: [] });
  await append(empty.log, history.slice(0, 1));
  const resumed = watching(empty, empty.log, { from: snapshot?.cursor ?? '' });
  assert.equal((await take(resumed, 1))[0]?.position, '1.0');
  for (const each of [items, resumed]) await each.return?.();
  for (const { projector } of [running, empty]) await projector.stop();
});

test('watch: a caller who takes nothing has nothing read for him beyond his buffer', async () => {
  const running = await run(history);
  let readers = 0;
  let delivered = 0;
  const counted = inFrontOf(running.log, {
    read: (options, onMessage) => {
      readers += 1;
      const reader = running.log.read(options, (message) => {
        delivered += 1;
        onMessage(message);
      });
      void reader.closed.then(() => {
        readers -= 1;
      });
      return reader;
    },
  });
  const items = watching(running, counted, { from: 0, bufferMax: 20 });
  const all = history.flatMap(({ position, events }) => events.map((_, index) => `${position}.${index}`));
  const seen = [...(await take(items, 1))];
  // The stream in memory delivers once in a turn of the event loop: many more turns than it would need for all.
  for (let turns = 0; turns < 2 * history.length; turns++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(readers, 0);
  assert.ok(delivered <= 21, `${delivered} commits`);
  seen.push(...(await take(items, all.length - 1)));
  assert.deepEqual(
    seen.map(({ position }) => position),
    all,
  );
  assert.ok(delivered >= history.length && delivered < history.length + 40, `${delivered} commits`);
  await items.return?.();
  await running.projector.stop();
});
