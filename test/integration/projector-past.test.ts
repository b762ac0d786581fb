// A projector that keeps snapshots: the same answers about every moment, over restarts, and with files that were lost.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pino } from 'pino';
import { encodeCommit } from '../../events/envelope.ts';
import { type QueryInput, viewNames } from '../../events/queries.ts';
import { diffViews } from '../../projections/diff.ts';
import { applyCommit, createViews, type Views } from '../../projections/views.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { createProjector, type Projector } from '../../services/projector/projector.ts';
import { QueryFault } from '../../services/projector/query-fault.ts';
import { type MemoryStream, memoryStream } from '../support/memory-stream.ts';
import type { RandomCommit } from '../support/random-history.ts';
import { someHistory } from '../support/some-history.ts';

const logger = pino({ level: 'silent' });
const directory = mkdtempSync(join(tmpdir(), 'cnm-projector-'));
after(() => rmSync(directory, { recursive: true }));

/** Each directory of its own, for one log. */
const place = (name: string) => ({ directory: join(directory, name), everyEvents: 40 });
const history = someHistory(600);

const append = async (log: MemoryStream, commits: readonly RandomCommit[]): Promise<void> => {
  for (const { subject, position, events } of commits) {
    const appended = await log.append({ subject, body: encodeCommit(events), id: `c${position}` });
    assert.deepEqual(appended, { kind: 'appended', position });
  }
};

const foldTo = (until: number): Views => {
  const views = createViews();
  for (const { subject, position, events } of history.slice(0, until)) applyCommit(views, subject, position, events);
  return views;
};

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

const checkAll = async (projector: Projector, positions: readonly number[]): Promise<void> => {
  for (const asOf of positions) {
    const expected = foldTo(asOf);
    for (const view of viewNames) {
      const answer = await projector.query(view, { asOf });
      assert.deepEqual(
        answer,
        { position: asOf, rows: plain([...expected.rows[view].values()]) },
        `${view} as of ${asOf}`,
      );
    }
  }
};

interface Status {
  readonly snapshots: { readonly count: number; readonly newest: number; readonly bytes: number };
}

const kept = async (projector: Projector): Promise<Status['snapshots']> =>
  ((await projector.query('status')).rows[0] as unknown as Status).snapshots;

/** Resolves when a snapshot of this position or a later one is kept. */
const keptSince = async (projector: Projector, position: number): Promise<Status['snapshots']> => {
  for (;;) {
    const status = await kept(projector);
    if (status.newest >= position) return status;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

const moments = [0, 1, 77, 250, 251, 299, 300, 410, 555, 599, 600];

test('a projector keeps snapshots as the log grows, and makes up for those of before its start', async () => {
  const log = memoryStream('CNM_LOG');
  await append(log, history.slice(0, 300));
  const projector = createProjector({ log, clock: systemClock, logger }, { snapshots: place('grows') });
  await projector.caughtUp;
  const before = await keptSince(projector, 260);
  for (let at = 300; at < 600; at += 100) {
    await append(log, history.slice(at, at + 100));
    await projector.query('networks', { atLeast: at + 100 });
    await keptSince(projector, at + 50);
  }
  const status = await kept(projector);
  assert.ok(before.count >= 5 && status.count > before.count && status.bytes > 0, JSON.stringify([before, status]));
  await checkAll(projector, moments);
  await projector.stop();
});

test('a projector goes on with the snapshots of the one before it, and without those that are broken', async () => {
  const log = memoryStream('CNM_LOG');
  await append(log, history);
  const first = createProjector({ log, clock: systemClock, logger }, { snapshots: place('restart') });
  await first.caughtUp;
  await keptSince(first, 560);
  await first.stop();
  const [folder = ''] = readdirSync(join(directory, 'restart'));
  const files = readdirSync(join(directory, 'restart', folder)).sort();
  const writtenAt = (name: string): number => statSync(join(directory, 'restart', folder, name)).mtimeMs;
  const times = files.map(writtenAt);
  const second = createProjector({ log, clock: systemClock, logger }, { snapshots: place('restart') });
  await second.caughtUp;
  await checkAll(second, moments);
  assert.deepEqual(files.map(writtenAt), times);
  for (const name of files.slice(0, -1)) writeFileSync(join(directory, 'restart', folder, name), 'no snapshot');
  await checkAll(second, moments);
  await second.stop();
  const third = createProjector({ log, clock: systemClock, logger }, { snapshots: place('restart') });
  await checkAll(third, moments.toReversed());
  await third.stop();
});

test('a projector that cannot write its directory answers all the same', async () => {
  const log = memoryStream('CNM_LOG');
  await append(log, history);
  const file = join(directory, 'file');
  writeFileSync(file, 'in the way');
  const snapshots = { directory: file, everyEvents: 40 };
  const projector = createProjector({ log, clock: systemClock, logger }, { snapshots });
  await checkAll(projector, moments);
  assert.deepEqual(await kept(projector), { count: 0, newest: 0, bytes: 0 });
  await projector.stop();
});

test('pages of commands as of a moment are of one moment, whatever is decided meanwhile', async () => {
  const log = memoryStream('CNM_LOG');
  await append(log, history.slice(0, 400));
  const projector = createProjector({ log, clock: systemClock, logger }, { snapshots: place('pages') });
  await projector.caughtUp;
  const rows: unknown[] = [];
  let after: string | undefined;
  do {
    const page = await projector.query('commands', { limit: 7, asOf: 400, ...(after === undefined ? {} : { after }) });
    rows.push(...page.rows);
    after = page.next;
    const next = history[log.stored().length];
    if (next) await append(log, [next]);
    await projector.query('hosts', { atLeast: log.stored().length });
  } while (after !== undefined);
  assert.ok(rows.length > 50);
  assert.deepEqual(rows, plain([...foldTo(400).rows.commands.values()]));
  await projector.stop();
});

test('what differs between two moments is told in pages of two moments, whatever happens meanwhile', async () => {
  const log = memoryStream('CNM_LOG');
  await append(log, history.slice(0, 400));
  const projector = createProjector({ log, clock: systemClock, logger }, { snapshots: place('diff') });
  await projector.caughtUp;
  for (const [from, to] of [
    [100, 400],
    [400, 100],
    [0, 250],
    [250, 250],
    [399, 400],
  ] as const) {
    const changes: unknown[] = [];
    let asOf: number | undefined = to === 400 ? undefined : to;
    let after: string | undefined;
    do {
      const moment = asOf === undefined ? { atLeast: 400 } : { asOf };
      const more = after === undefined ? {} : { after };
      const filter = { view: [...viewNames] };
      const page = await projector.query('diff', { from, ...moment, ...more, filter, limit: 13 });
      asOf ??= page.position;
      assert.equal(page.position, asOf);
      changes.push(...page.rows);
      after = page.next;
      const next = history[log.stored().length];
      if (next) await append(log, [next]);
    } while (after !== undefined);
    const expected = [...diffViews(foldTo(from), foldTo(asOf), { views: viewNames })];
    assert.deepEqual(changes, plain(expected), `${from} to ${to}`);
    assert.equal(expected.length === 0, from === to);
  }
  await projector.stop();
});

test('a question about differences that makes no sense is refused', async () => {
  const log = memoryStream('CNM_LOG');
  await append(log, history.slice(0, 50));
  const projector = createProjector({ log, clock: systemClock, logger });
  const refused = async (query: QueryInput, code: string, detail: RegExp, name = 'diff'): Promise<void> => {
    await assert.rejects(projector.query(name, query), (error) => {
      assert.ok(error instanceof QueryFault);
      assert.equal(error.code, code);
      assert.match(error.message, detail);
      return true;
    });
  };
  await refused({}, 'QUERY_MALFORMED', /from/);
  await refused({ from: 1 }, 'QUERY_MALFORMED', /from/, 'networks');
  await refused({ from: 1, filter: { colour: 'red' } }, 'QUERY_MALFORMED', /colour/);
  await refused({ from: 1, filter: { view: 'rooms' } }, 'QUERY_MALFORMED', /rooms/);
  await refused({ from: 1, filter: { host: ['h1', 'h2'] } }, 'QUERY_MALFORMED', /host/);
  await refused({ from: 51 }, 'QUERY_POSITION_UNKNOWN', /ends at position 50/);
  await refused({ from: 1, asOf: 51 }, 'QUERY_POSITION_UNKNOWN', /ends at position 50/);
  await projector.stop();
});
