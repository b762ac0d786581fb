// Watchers of the client that are away, or slow, on a real server: what they have seen in the end is what the log holds.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Client, connect } from '../../services/client/index.ts';
import type { WatchItem, WatchOptions } from '../../services/projector/watch.ts';
import { waitFor } from '../support/nats.ts';
import { take, WatchedLog } from '../support/watched-log.ts';

const FIRST = 1_000;
const AWAY = 20_000;

let log: WatchedLog;
let client: Client;

before(async () => {
  log = await WatchedLog.start(FIRST + AWAY);
  await log.grow(FIRST);
  client = await connect({ url: log.urlOf('watcher'), actor: 'watcher' });
});
after(async () => {
  await client.close();
  await log.stop();
});

const positionsOf = (items: readonly WatchItem[]): readonly (string | number)[] =>
  items.map(({ position }) => position);

test('watch: away while 20,000 commits go by, a client misses nothing', async () => {
  const away: { readonly options: WatchOptions & { readonly label?: string[] }; readonly seen: WatchItem[] }[] = [];
  for (const options of [{}, { label: ['tier=1', 'team'] }, { host: 'h2' }]) {
    const items = client.watch({ ...options, from: 0 });
    away.push({ options, seen: [...(await take(items, 30))] });
    await items.return?.();
  }
  await log.grow(FIRST + AWAY);
  for (const { options, seen } of away) {
    const expected = log.selection(options, FIRST + AWAY);
    const items = client.watch({ ...options, from: seen.at(-1)?.cursor ?? '' });
    seen.push(...(await take(items, expected.length - seen.length)));
    await items.return?.();
    assert.deepEqual(positionsOf(seen), expected);
  }
});

test('watch: for a caller who takes nothing the server keeps nothing either', async () => {
  const own = await log.newConsumers();
  const items = client.watch({ from: 0, bufferMax: 100 });
  const [first] = await take(items, 1);
  assert.equal(first?.position, '1.0');
  await waitFor(async () => (await own()) === 0, { what: 'the consumer of the watch to go', timeoutMs: 20_000 });
  const expected = log.selection({}, 3_000);
  assert.deepEqual(positionsOf([first, ...(await take(items, expected.length - 1))]), expected);
  await items.return?.();
});
