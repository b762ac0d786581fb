// A watch of a label against what the views say on both sides of every event.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Event, encodeCommit } from '../../events/envelope.ts';
import { applyCommit, createViews } from '../../projections/views.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { silentLogger } from '../../services/lib/logger.ts';
import { createProjector } from '../../services/projector/projector.ts';
import { type WatchItem, type WatchOptions, watch } from '../../services/projector/watch.ts';
import { memoryStream } from '../support/memory-stream.ts';
import { someHistory } from '../support/some-history.ts';

const label = 'tier=1';
/** A worker ends an intent once; the random one contradicts itself later, and events alone do not tell which of both counts. */
const history = ((ended = new Set<string>()) =>
  someHistory(3_000).map((commit) => ({
    ...commit,
    events: commit.events.filter(({ type, meta }) => {
      const isEnd = /^Network(Created|Updated|Deleted|\w+Failed)$/.test(type);
      const isFirst = !ended.has(meta.causationid);
      if (isEnd) ended.add(meta.causationid);
      return isFirst || !isEnd;
    }),
  })))();

const take = async (items: AsyncIterableIterator<WatchItem>, count: number): Promise<readonly WatchItem[]> => {
  const taken: WatchItem[] = [];
  while (taken.length < count) {
    const { done, value } = await items.next();
    assert.ok(!done, 'the watch ended');
    taken.push(value);
  }
  await items.return?.();
  return taken;
};

/** Networks that an event is about; one of an endpoint is about none. */
const networksOf = ({ type, data }: Event): readonly string[] => {
  const { networkId, network, endpointId } = data as {
    readonly networkId?: string;
    readonly network?: { readonly id: string };
    readonly endpointId?: string;
  };
  const culprits = type === 'CommandRefused' ? data.culprits.map(({ id }) => id) : [];
  return endpointId === undefined ? [networkId ?? network?.id ?? '', ...culprits] : culprits;
};

test('watch: filtered by a label, which networks get and lose, from the beginning and from the middle', async () => {
  const log = memoryStream('CNM_LOG');
  const [views, whole] = [createViews(), createViews()];
  const hadIt = new Map<string, boolean>();
  const isThere = (id: string): boolean => views.rows.networks.get(id)?.labels.tier === '1';
  // What is gone is what it was.
  const hasIt = (id: string): boolean => {
    if (views.rows.networks.has(id)) hadIt.set(id, isThere(id));
    return hadIt.get(id) ?? false;
  };
  const expected: { readonly position: number; readonly at: string; readonly type: string }[] = [];
  for (const { subject, position, events } of history) {
    await log.append({ subject, body: encodeCommit(events), id: `c${position}` });
    applyCommit(whole, subject, position, events);
    for (const [index, event] of events.entries()) {
      const ids = networksOf(event);
      const before = ids.some(hasIt);
      applyCommit(views, subject, position, [event]);
      if (before || ids.some(hasIt)) expected.push({ position, at: `${position}.${index}`, type: event.type });
    }
  }
  const types = new Set(expected.map(({ type }) => type));
  for (const type of ['NetworkUpdateRequested', 'NetworkUpdated', 'NetworkUpdateFailed', 'NetworkDeleted'])
    assert.ok(types.has(type), type);

  const projector = createProjector({ log, clock: systemClock, logger: silentLogger() });
  await projector.caughtUp;
  const watching = (options: WatchOptions) =>
    watch({ query: (name, query) => projector.query(name, query), log }, { label, ...options });
  const middle = expected[Math.floor(expected.length / 2)]?.position ?? 0;
  for (const from of [0, middle]) {
    const wanted = expected.filter(({ position }) => position > from).map(({ at }) => at);
    const items = await take(watching({ from }), wanted.length);
    assert.deepEqual(
      items.map(({ position }) => position),
      wanted,
    );
  }
  const behind = expected.slice(10).map(({ at }) => at);
  const items = await take(watching({ from: expected[9]?.at ?? '' }), behind.length);
  assert.deepEqual(
    items.map(({ position }) => position),
    behind,
  );
  const [snapshot] = await take(watching({ view: 'networks' }), 1);
  assert.ok(snapshot?.kind === 'snapshot');
  assert.deepEqual(
    snapshot.rows.map(({ id }) => id),
    [...whole.rows.networks.values()].filter(({ labels }) => labels.tier === '1').map(({ id }) => id),
  );
  await assert.rejects(watching({ view: 'sandboxes' }).next(), /sandboxes have no labels/);
  await projector.stop();
});
