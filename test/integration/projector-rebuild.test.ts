// Views rebuilt beside the live ones: differences are found, what is put in place is right, and what was there can be put back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeCommit } from '../../events/envelope.ts';
import { compareViews } from '../../projections/compare.ts';
import { type Interval, Ledger } from '../../projections/ledger.ts';
import { ObservedMap } from '../../projections/observer.ts';
import { createViews, type Views } from '../../projections/views.ts';
import { type Clock, systemClock } from '../../services/lib/clock.ts';
import { foldMessage, foldUntil } from '../../services/projector/fold.ts';
import { QueryFault } from '../../services/projector/query-fault.ts';
import { Rebuilder } from '../../services/projector/rebuild.ts';
import { type MemoryStream, memoryStream } from '../support/memory-stream.ts';
import type { RandomCommit } from '../support/random-history.ts';
import { someHistory } from '../support/some-history.ts';

const history = someHistory(600);

const append = async (log: MemoryStream, commits: readonly RandomCommit[]): Promise<void> => {
  for (const { subject, position, events } of commits) {
    await log.append({ subject, body: encodeCommit(events), id: `c${position}` });
  }
};

const foldTo = async (log: MemoryStream, position: number, views: Views = createViews()): Promise<Views> => {
  await foldUntil(log, views, position);
  return views;
};

/** Live views that have lost an endpoint, gained a network that never was, and believe a sandbox to be what it is not. */
const damage = ({ rows }: Views): void => {
  rows.endpoints.delete([...rows.endpoints.keys()][0] ?? '');
  rows.networks.set('never', { ...([...rows.networks.values()][0] as never as object), id: 'never' } as never);
  const [key = '', sandbox] = [...rows.sandboxes][0] ?? [];
  if (sandbox) rows.sandboxes.set(key, { ...sandbox, hostname: 'wrong' });
};

const stage = async (until: number, clock: Clock = systemClock) => {
  const log = memoryStream('CNM_LOG');
  await append(log, history.slice(0, until));
  const ledger = new Ledger();
  const live = await foldTo(log, until, createViews(ledger));
  let replaced = 0;
  const onReplaced = async (): Promise<void> => {
    replaced++;
  };
  const rebuilder = new Rebuilder({ log, live, ledger, clock, onReplaced });
  return { log, live, ledger, rebuilder, replaced: () => replaced };
};

test('rebuilding finds every view that differs, and changes nothing unless it is asked to', async () => {
  const { log, live, rebuilder, replaced } = await stage(400);
  assert.equal((await rebuilder.rebuild()).equal, true);
  damage(live);
  const report = await rebuilder.rebuild();
  assert.equal(report.equal, false);
  assert.notEqual(report.digest.live, report.digest.rebuilt);
  assert.deepEqual(
    report.differences.map(({ view }) => view),
    ['networks', 'endpoints', 'sandboxes'],
  );
  assert.deepEqual(report.differences[0]?.different, ['never']);
  assert.equal((await rebuilder.rebuild({ view: 'ports' })).equal, true);
  assert.deepEqual(
    (await rebuilder.rebuild({ view: 'endpoints' })).differences.map(({ view }) => view),
    ['endpoints'],
  );
  assert.equal(compareViews(live, await foldTo(log, 400)).length, 3);
  assert.equal(replaced(), 0);
});

test('what was rebuilt takes the place of one view or all, while the log goes on', async () => {
  const { log, live, rebuilder, replaced } = await stage(300);
  damage(live);
  // the live views follow, as they do in a projector
  const reader = log.read({ from: 301 }, (message) => foldMessage(live, message));
  const appending = append(log, history.slice(300, 400));
  const one = await rebuilder.rebuild({ view: 'endpoints', swap: true });
  assert.deepEqual([one.swapped, one.equal], [true, false]);
  await appending;
  const more = append(log, history.slice(400));
  await rebuilder.rebuild({ view: 'all', swap: true });
  await more;
  for (; live.position < 600; ) await new Promise((resolve) => setImmediate(resolve));
  await reader.stop();
  assert.deepEqual(compareViews(live, await foldTo(log, 600)), []);
  assert.equal(replaced(), 2);
  for (const view of ['endpoints', 'addresses', 'names', 'ports'] as const) {
    assert.ok(live.rows[view] instanceof ObservedMap, `${view} is watched as before`);
  }
});

test('what was replaced is put back, with all that has happened since', async () => {
  const { log, live, rebuilder } = await stage(300);
  const refusedWith = (detail: RegExp) => (error: unknown) => error instanceof QueryFault && detail.test(error.message);
  await assert.rejects(rebuilder.rollback(), refusedWith(/no view was replaced/));
  live.rows.networks.set('never', { ...([...live.rows.networks.values()][0] as object), id: 'never' } as never);
  await rebuilder.rebuild({ view: 'networks', swap: true });
  assert.equal(live.rows.networks.has('never'), false);
  await append(log, history.slice(300, 500));
  await foldTo(log, 500, live);
  assert.deepEqual(await rebuilder.rollback(), { views: ['networks'], position: 500 });
  assert.equal(live.rows.networks.has('never'), true);
  live.rows.networks.delete('never');
  assert.deepEqual(compareViews(live, await foldTo(log, 500)), []);
  await assert.rejects(rebuilder.rollback(), refusedWith(/no view was replaced/));
});

/** What a ledger says of some kinds, whatever the order in which it learnt of the things. */
const told = (ledger: Ledger, kinds: readonly string[]): readonly string[] =>
  [...ledger.all()]
    .filter(({ kind }) => kinds.includes(kind))
    .map((interval: Interval) => JSON.stringify(interval))
    .sort();

test('who held what is as the log says once the views are, and goes back with them', async () => {
  const { log, live, ledger, rebuilder } = await stage(300);
  const kinds = ['address', 'mac', 'name', 'port'];
  const foldedTo = async (position: number): Promise<Ledger> => {
    const fresh = new Ledger();
    await foldTo(log, position, createViews(fresh));
    return fresh;
  };
  const [held] = [...live.rows.addresses].filter(([, { kind }]) => kind === 'endpoint');
  assert.ok(held);
  for (const view of ['endpoints', 'ports', 'names'] as const) {
    for (const key of [...live.rows[view].keys()]) live.rows[view].delete(key);
  }
  live.rows.addresses.delete(held[0]);
  live.rows.addresses.set(held[0], { ...held[1], holder: 'nobody', holderId: 'nobody' });
  const wrong = told(ledger, ['address']);
  assert.notDeepEqual(wrong, told(await foldedTo(300), ['address']));

  await rebuilder.rebuild({ view: 'addresses', swap: true });
  assert.deepEqual(told(ledger, ['address']), told(await foldedTo(300), ['address']));
  await rebuilder.rollback();
  assert.deepEqual(told(ledger, ['address']), wrong);

  await rebuilder.rebuild({ view: 'all', swap: true });
  await append(log, history.slice(300, 500));
  await foldTo(log, 500, live);
  const right = await foldedTo(500);
  assert.deepEqual(told(ledger, kinds), told(right, kinds));
  assert.deepEqual(ledger.size(), right.size());
  await rebuilder.rollback();
  assert.notDeepEqual(told(ledger, ['address']), told(right, ['address']));
  assert.ok(told(ledger, ['address']).some((text) => text.includes('"holder":"nobody"')));
});

test('a rebuild says how far it is, keeps to its pace, and is alone', async () => {
  let sleptMs = 0;
  const clock: Clock = {
    ...systemClock,
    monotonicMs: () => sleptMs,
    after: (delayMs, run) => {
      sleptMs += delayMs;
      const immediate = setImmediate(run);
      return () => clearImmediate(immediate);
    },
  };
  const { rebuilder } = await stage(400, clock);
  const positions: number[] = [];
  const onProgress = (position: number, of: number): void => {
    positions.push(position);
    assert.equal(of, 400);
  };
  const running = rebuilder.rebuild({ eventsPerSecond: 100, onProgress });
  await assert.rejects(rebuilder.rebuild(), (error) => error instanceof QueryFault && error.code === 'QUERY_BUSY');
  const { durationMs } = await running;
  assert.deepEqual(
    positions,
    Array.from({ length: 400 }, (_, index) => index + 1),
  );
  const events = history.slice(0, 400).reduce((sum, commit) => sum + commit.events.length, 0);
  // whole slices of 100 events take a second each; a commit may be more than what is left of one
  assert.ok(
    durationMs <= events * 10 && durationMs > (events - 200) * 10 - 1_000,
    `${durationMs} ms for ${events} events`,
  );
});
