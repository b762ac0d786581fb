// Collectors that erase the keys of shredded subjects: when, how often, and that nothing stops them for good.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { type Collector, createCollector } from '../../services/collector/collector.ts';
import { MemoryKeys } from '../support/memory-keys.ts';
import { type MemoryStream, memoryStream } from '../support/memory-stream.ts';
import { Stage } from '../support/stage.ts';
import { FakeClock, silent, until } from '../support/world.ts';

const reason = 'request 1';
let stage: Stage<MemoryStream>;
let clock: FakeClock;
let keys: MemoryKeys;
const running: Collector[] = [];

const collector = async (): Promise<Collector> => {
  const commands = memoryStream('COMMANDS');
  const one = createCollector({ realm: 'test', log: stage.log, commands, clock, logger: silent, keys });
  running.push(one);
  await one.start();
  return one;
};
const wait = (holds: () => boolean) => until(holds, 'what the log leads to');
const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
};
const shred = async (subject: string): Promise<void> => {
  const id = await stage.send('ShredSubject', { subject, reason });
  await wait(() => stage.answersTo(id).length > 0);
};
const key = new Uint8Array(32);

beforeEach(async () => {
  clock = new FakeClock();
  keys = new MemoryKeys();
  stage = new Stage({ commands: memoryStream('CNM_COMMANDS'), log: memoryStream('CNM_LOG') });
  await stage.controller();
});
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop();
  await stage.stop();
});

test('shredding: the key goes when the log says so, and nobody else’s', async () => {
  for (const subject of ['s1', 's2']) await keys.make(subject, key);
  await collector();
  await shred('s1');
  await wait(() => !keys.kept.has('s1'));
  assert.deepEqual([[...keys.kept.keys()], keys.asked], [['s2'], ['s1']]);
});

test('shredding: what was decided while no collector ran is done at the next start, and looked at again at each', async () => {
  await keys.make('s1', key);
  await shred('s1');
  await shred('s2');
  assert.deepEqual(keys.asked, []);
  const first = await collector();
  await wait(() => keys.asked.length === 2);
  await first.stop();
  await collector();
  await wait(() => keys.asked.length === 4);
  assert.deepEqual([keys.kept.size, keys.asked], [0, ['s1', 's2', 's1', 's2']]);
});

test('shredding: a key that somebody made who was sealing meanwhile goes a minute later, and then no more is asked', async () => {
  await collector();
  await shred('s1');
  await wait(() => keys.asked.length === 1);
  await turns();
  await clock.advance(30_000, turns);
  await shred('s2');
  await wait(() => keys.asked.length === 2);
  await turns();
  await keys.make('s1', key);
  await clock.advance(29_999, turns);
  assert.equal(keys.asked.length, 2);
  await clock.advance(1, turns);
  assert.deepEqual([keys.kept.size, keys.asked], [0, ['s1', 's2', 's1']]);
  await clock.advance(600_000, turns);
  assert.deepEqual(keys.asked, ['s1', 's2', 's1', 's2']);
});

test('shredding: keys that cannot be reached are tried again, and a stop does not wait for them', async () => {
  await keys.make('s1', key);
  keys.isAway = true;
  const one = await collector();
  await shred('s1');
  await wait(() => keys.asked.length === 1);
  await turns();
  await clock.advance(15_000, turns);
  // after 1, 2, 4 and 8 s
  assert.equal(keys.asked.length, 5);
  assert.equal(keys.kept.size, 1);
  keys.isAway = false;
  await clock.advance(16_000, turns);
  assert.equal(keys.kept.size, 0);
  keys.isAway = true;
  await shred('s2');
  await wait(() => keys.asked.at(-1) === 's2');
  await one.stop();
  const asked = keys.asked.length;
  await clock.advance(600_000, turns);
  assert.equal(keys.asked.length, asked);
});
