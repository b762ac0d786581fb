// Views as of any position are the fold of the log up to there, whatever was kept on the way and whatever became of it.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { pino } from 'pino';
import { decodeCommit, type Event, encodeCommit } from '../../events/envelope.ts';
import { compareViews } from '../../projections/compare.ts';
import { createViews, type Views } from '../../projections/views.ts';
import { type Clock, systemClock } from '../../services/lib/clock.ts';
import type { Stream } from '../../services/lib/stream.ts';
import { foldMessage, foldUntil } from '../../services/projector/fold.ts';
import { createGate } from '../../services/projector/gate.ts';
import { createPast } from '../../services/projector/past.ts';
import { createSnapshots, type Snapshots } from '../../services/projector/snapshots.ts';
import { type MemoryStream, memoryStream } from '../support/memory-stream.ts';
import { historyOf, type RandomCommit } from '../support/random-history.ts';
import { someHistory } from '../support/some-history.ts';
import { rollsOf, unit } from './histories.ts';
import { Model } from './model.ts';
import { moves } from './model-moves.ts';
import { play } from './model-play.ts';

const logger = pino({ level: 'silent' });
/** Nobody waits for a pace here. */
const clock: Clock = {
  ...systemClock,
  after: (_delayMs, run) => {
    const immediate = setImmediate(run);
    return () => clearImmediate(immediate);
  },
};
const DAY_MS = 86_400_000;
const root = mkdtempSync(join(tmpdir(), 'cnm-past-'));
let directories = 0;
const newDirectory = (): string => join(root, String(++directories));
after(() => rmSync(root, { recursive: true }));

/** Each commit a while later than it was, so that commands are forgotten within a history. */
const spread = (commits: readonly RandomCommit[], stepMs: number): readonly RandomCommit[] =>
  commits.map((commit) => ({
    ...commit,
    events: commit.events.map(
      (event): Event => ({
        ...event,
        meta: {
          ...event.meta,
          time: new Date(Date.parse(event.meta.time) + commit.position * stepMs).toISOString(),
        },
      }),
    ),
  }));

const logOf = async (commits: readonly RandomCommit[]): Promise<MemoryStream> => {
  const log = memoryStream('CNM_LOG');
  for (const { subject, position, events } of commits) {
    await log.append({ subject, body: encodeCommit(events), id: `c${position}` });
  }
  return log;
};

const foldTo = async (log: Stream, position: number): Promise<Views> => {
  const views = createViews();
  await foldUntil(log, views, position);
  return views;
};

interface Kept {
  readonly directory: string;
  readonly everyEvents: number;
}

const open = (log: Stream, { directory, everyEvents }: Kept, code = 'code'): Snapshots =>
  createSnapshots({ directory, code, epoch: () => 'epoch', log, clock, logger, everyEvents });

/** As a projector does that started at `startedAt`: makes up for what was before, and keeps what comes. */
const keepAll = async (log: MemoryStream, kept: Kept, startedAt: number, code?: string): Promise<Views> => {
  const live = await foldTo(log, startedAt);
  const snapshots = open(log, kept, code);
  await snapshots.live(startedAt);
  for (const message of log.stored().slice(startedAt)) {
    foldMessage(live, message);
    snapshots.passed(live, decodeCommit(message.body, message.subject).length);
    await snapshots.idle();
  }
  await snapshots.stop();
  return live;
};

type Mishap = 'none' | 'cut' | 'altered' | 'misplaced' | 'gone' | 'garbage';

/** What may become of a file while nobody looks. */
const strike = (folder: string, name: string, mishap: Mishap, other: string): void => {
  const path = join(folder, name);
  const bytes = readFileSync(path);
  if (mishap === 'cut') writeFileSync(path, bytes.subarray(0, bytes.length >> 1));
  else if (mishap === 'garbage') writeFileSync(path, 'no snapshot');
  else if (mishap === 'gone') rmSync(path);
  else if (mishap === 'misplaced') renameSync(path, join(folder, other));
  else if (mishap === 'altered') {
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    writeFileSync(path, bytes);
  }
};

const mishaps = fc.array(fc.constantFrom<Mishap>('none', 'none', 'cut', 'altered', 'misplaced', 'gone', 'garbage'), {
  minLength: 1,
  maxLength: 12,
});
const rolls = rollsOf({ minLength: 20, maxLength: 200 });

const seen = { asked: 0, files: 0, struck: 0, forgotten: 0, commands: 0 };

const checkPast = async (log: MemoryStream, live: Views, snapshots: Snapshots | null, asked: readonly number[]) => {
  const past = createPast({ log, live, gate: createGate(2, 1_000), snapshots });
  const positions = asked.map((one) => one % (live.position + 1));
  await Promise.all(
    positions.map(async (position, index) => {
      const expected = await foldTo(log, position);
      const wanted = index % 2 === 0 ? 'all' : 'needed';
      const views = await past.asOf(position, wanted);
      const differences = compareViews(views, expected);
      const counted = wanted === 'all' ? differences : differences.filter(({ view }) => view !== 'commands');
      assert.deepEqual(counted, [], `as of ${position}, commands ${wanted}`);
      assert.deepEqual([views.position, views.day], [expected.position, expected.day]);
      seen.asked++;
      seen.commands += wanted === 'all' ? expected.rows.commands.size : 0;
    }),
  );
};

test('past: as of any position is the fold up to there, with snapshots kept, made up for, broken, gone or of other code', async () => {
  const property = fc.asyncProperty(
    fc.record({
      rolls,
      start: unit,
      everyEvents: fc.integer({ min: 1, max: 60 }),
      stepMs: fc.constantFrom(0, DAY_MS),
      struck: mishaps,
      asked: fc.array(fc.nat(), { minLength: 6, maxLength: 12 }),
    }),
    async (given) => {
      const commits = spread(historyOf(given.rolls).commits, given.stepMs);
      const log = await logOf(commits);
      const kept = { directory: newDirectory(), everyEvents: given.everyEvents };
      if (given.asked.length % 2 === 0) await keepAll(log, kept, commits.length, 'former');
      const live = await keepAll(log, kept, Math.floor(given.start * commits.length));
      seen.forgotten += live.forgottenAt > 0 ? 1 : 0;
      const folder = join(kept.directory, 'epoch-code');
      const files = existsSync(folder) ? readdirSync(folder) : [];
      seen.files += files.length;
      for (const [index, name] of files.entries()) {
        const mishap = given.struck[index % given.struck.length] ?? 'none';
        if (mishap !== 'none') seen.struck++;
        strike(folder, name, mishap, `${Number.parseInt(name, 10) + 1}.zst`);
      }
      await checkPast(log, live, open(log, kept), given.asked);
      await checkPast(log, live, open(log, kept), given.asked.toReversed());
      await checkPast(log, live, null, given.asked);
    },
  );
  await fc.assert(property, { numRuns: 40, endOnFailure: true });
  assert.ok(seen.files > 100 && seen.struck > 50 && seen.forgotten > 3 && seen.commands > 1_000, JSON.stringify(seen));
});

test('past: nor does it matter in histories that the deciders have made', async () => {
  const property = fc.asyncProperty(
    moves,
    unit,
    fc.array(fc.nat(), { minLength: 6, maxLength: 6 }),
    async (steps, start, asked) => {
      const model = new Model(2, ['h1', 'h2']);
      play(model, steps);
      const commits = model.log.map(({ subject, position, body }) => ({
        subject,
        position,
        events: decodeCommit(body, subject),
      }));
      const log = await logOf(commits);
      const kept = { directory: newDirectory(), everyEvents: 7 };
      const live = await keepAll(log, kept, Math.floor(start * commits.length));
      await checkPast(log, live, open(log, kept), asked);
    },
  );
  await fc.assert(property, { numRuns: 25, endOnFailure: true });
});

test('past: snapshots of other folds and of other logs are removed once there is one of these', async () => {
  const log = await logOf(someHistory(100));
  const kept = { directory: newDirectory(), everyEvents: 10 };
  const last = log.stored().length;
  await keepAll(log, kept, last, 'former');
  assert.deepEqual(readdirSync(kept.directory), ['epoch-former']);
  await keepAll(log, kept, last);
  assert.deepEqual(readdirSync(kept.directory), ['epoch-code']);
  const snapshots = open(log, kept);
  const { count, newest, bytes } = await snapshots.status();
  assert.ok(count >= 3 && newest <= last && bytes > 0);
  assert.equal((await snapshots.nearest(last, 0))?.position, newest);
  assert.equal(await snapshots.nearest(last, newest), null);
  await snapshots.clear();
  assert.equal(await snapshots.nearest(last, 0), null);
});

test('past: a snapshot of another history of the same name is not believed', async () => {
  const history = someHistory(100);
  const kept = { directory: newDirectory(), everyEvents: 10 };
  await keepAll(await logOf(history), kept, history.length);
  assert.ok(readdirSync(join(kept.directory, 'epoch-code')).length >= 3);
  const other = await logOf(spread(history, 1_000));
  const live = await foldTo(other, history.length);
  await checkPast(other, live, open(other, kept), [20, 40, 60, 80, 90, 99]);
  assert.equal((await open(other, kept).status()).count, 0);
});

test('past: of very many snapshots every second one of the older half goes', async () => {
  const log = await logOf(someHistory(400));
  const kept = { directory: newDirectory(), everyEvents: 1 };
  const last = log.stored().length;
  const live = await keepAll(log, kept, last);
  const files = readdirSync(join(kept.directory, 'epoch-code')).map((name) => Number.parseInt(name, 10));
  assert.ok(files.length <= 256 && files.length > 128, `${files.length} of ${last}`);
  assert.ok(files.includes(last));
  await checkPast(log, live, open(log, kept), [1, 2, 3, 50, 51, 52, 53, 200, last - 1, last - 2]);
});
