// Whatever nobody can fold, wherever it stands: the views are those of the log without it and without what comes later about the same
// thing; once it is discarded, those of the log without it alone; now, as of any moment, rebuilt, and with snapshots.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { pino } from 'pino';
import { type Event, encodeEvent, eventVersions, joinCommit, toCloudEvent } from '../../events/envelope.ts';
import { subjects } from '../../events/names.ts';
import { type ViewName, viewNames } from '../../events/queries.ts';
import { compareViews } from '../../projections/compare.ts';
import { originOf } from '../../projections/origin.ts';
import { Poisoned } from '../../projections/parked.ts';
import { applyCommit, copyViews, createViews, type Views } from '../../projections/views.ts';
import { type Clock, systemClock } from '../../services/lib/clock.ts';
import { follow } from '../../services/projector/follower.ts';
import { createGate } from '../../services/projector/gate.ts';
import { createPast } from '../../services/projector/past.ts';
import { Rebuilder } from '../../services/projector/rebuild.ts';
import { createSnapshots, type Snapshots } from '../../services/projector/snapshots.ts';
import { type MemoryStream, memoryStream } from '../support/memory-stream.ts';
import { historyOf, type RandomCommit } from '../support/random-history.ts';
import { rollsOf, unit } from './histories.ts';

const logger = pino({ level: 'silent' });
const clock: Clock = {
  ...systemClock,
  after: (_delayMs, run) => {
    const immediate = setImmediate(run);
    return () => clearImmediate(immediate);
  },
};
const root = mkdtempSync(join(tmpdir(), 'cnm-parked-'));
let directories = 0;
after(() => rmSync(root, { recursive: true }));

/** How an event, or all of its commit, is spoilt. */
const poisons = ['null', 'empty', 'timeless', 'aimless', 'no JSON', 'no batch'] as const;
type Poison = (typeof poisons)[number];
interface Spoilt {
  readonly index: number;
  readonly poison: Poison;
}

/** A commit of a history: its events, and what of it is spoilt. */
interface Stored extends RandomCommit {
  readonly spoilt: Spoilt | null;
  /** `SEQ.INDEX` of what it discards or tries again. */
  readonly about: readonly string[];
}

const isWhole = ({ poison }: Spoilt): boolean => poison === 'no JSON' || poison === 'no batch';

const spoil = (event: Event, poison: Poison): string => {
  const cloud = toCloudEvent(event);
  if (poison === 'null') return JSON.stringify({ ...cloud, data: null });
  if (poison === 'empty') return JSON.stringify({ ...cloud, data: {} });
  if (poison === 'timeless') return JSON.stringify({ ...cloud, time: 'yesterday' });
  return JSON.stringify({ ...cloud, subject: 7 });
};

const bodyOf = ({ events, spoilt }: Stored): string => {
  if (spoilt?.poison === 'no JSON') return 'hello';
  if (spoilt?.poison === 'no batch') return '{"type":"cnm.EndpointJoined.v3","data":null}';
  return joinCommit(events.map((event, n) => (n === spoilt?.index ? spoil(event, spoilt.poison) : encodeEvent(event))));
};

const append = async (log: MemoryStream, commit: Stored): Promise<void> => {
  await log.append({ subject: commit.subject, body: bodyOf(commit), id: `c${commit.position}` });
};

// ---------------------------------------------------------------- what is to be expected, said in another way

const sameBoundary = (one: string, other: string): boolean => {
  const [a, b] = [originOf(one).host, originOf(other).host];
  return one === other || (a !== null && a === b);
};

/** The views of the first `until` commits without what is spoilt, and, unless it is discarded, what comes later about the same. */
const expected = (commits: readonly Stored[], until: number): { readonly views: Views; readonly parked: string[] } => {
  const discarded = new Set(
    commits.slice(0, until).flatMap(({ about, events }) => (events[0]?.type === 'ParkedDiscarded' ? about : [])),
  );
  let views = createViews();
  const abouts = new Map<string, string>();
  const boundaries: { readonly subject: string; readonly event: string }[] = [];
  for (const { subject, position, events, spoilt } of commits.slice(0, until)) {
    const kept: Event[] = [];
    const blocked = (event: Event): boolean =>
      !event.type.startsWith('Parked') &&
      (abouts.has(event.meta.subject) || boundaries.some((one) => sameBoundary(one.subject, subject)));
    for (const [index, event] of events.entries()) {
      if (spoilt && isWhole(spoilt) && index > 0) break;
      const id = `${position}.${index}`;
      const isSpoilt = spoilt?.index === index || (spoilt !== null && isWhole(spoilt));
      const aimless = isSpoilt && (isWhole(spoilt) || spoilt.poison === 'aimless');
      if (aimless ? boundaries.some((one) => sameBoundary(one.subject, subject)) : blocked(event)) continue;
      if (!isSpoilt) kept.push(event);
      else if (spoilt.poison === 'empty' && folds(views, subject, position, [...kept, { ...event, data: {} } as Event]))
        kept.push({ ...event, data: {} } as Event);
      else if (discarded.has(id)) continue;
      else if (aimless) boundaries.push({ subject, event: id });
      else abouts.set(event.meta.subject, id);
    }
    applyCommit(views, subject, position, kept);
    views = copyViews(views);
  }
  return { views, parked: [...abouts.values(), ...boundaries.map(({ event }) => event)].sort() };
};

const folds = (views: Views, subject: string, position: number, events: readonly Event[]): boolean => {
  try {
    applyCommit(copyViews(views), subject, position, events);
    return true;
  } catch (error) {
    assert.ok(error instanceof Poisoned);
    return false;
  }
};

const others = viewNames.filter((view) => view !== 'parked');

const assertViews = (
  views: Views,
  commits: readonly Stored[],
  until: number,
  what: string,
  names: readonly ViewName[] = others,
) => {
  const wanted = expected(commits, until);
  const differences = compareViews(views, wanted.views).filter(({ view }) => names.includes(view));
  assert.deepEqual(differences, [], what);
  assert.deepEqual([...views.rows.parked.values()].map(({ position }) => position).sort(), wanted.parked, what);
  assert.deepEqual([views.position, views.day], [wanted.views.position, wanted.views.day], what);
};

// ---------------------------------------------------------------- histories

const rolls = rollsOf({ minLength: 30, maxLength: 120 });
const spoiling = fc.record({
  at: unit,
  which: unit,
  poison: fc.constantFrom(...poisons),
  /** How far behind it is decided about it; null: never. */
  settledAt: fc.option(unit, { nil: null }),
  retried: fc.boolean(),
});
type Spoiling = typeof spoiling extends fc.Arbitrary<infer Value> ? Value : never;

const settling = (event: string, type: 'ParkedDiscarded' | 'ParkedRetried', like: Event): Event => {
  const [position = 0, index = 0] = event.split('.').map(Number);
  const meta = {
    ...like.meta,
    id: `settle-${event}-${type}.0`,
    subject: `parked/${event}`,
    commandid: `settle-${event}-${type}`,
    commandtype: 'DiscardParked',
    commandseq: 1_000 + position,
  };
  const data = type === 'ParkedDiscarded' ? { position, index, reason: 'never happened' } : { position, index };
  return { type, version: eventVersions[type], data, meta } as Event;
};

/** A history with poison in it, and with what is decided about it. Reports of other programs would count for nothing, so these are ours. */
const spoiltHistory = (history: readonly RandomCommit[], spoilings: readonly Spoiling[]): readonly Stored[] => {
  const like = history.find(({ events }) => events.some(({ meta }) => meta.commandseq !== undefined))?.events[0];
  if (!like) return [];
  const spoilt = new Map<number, Spoilt>();
  const settled: {
    readonly behind: number;
    readonly event: (position: number) => string;
    readonly origin: number;
    readonly retried: boolean;
  }[] = [];
  for (const { at, which, poison, settledAt, retried } of spoilings) {
    const origin = 1 + Math.floor(at * (history.length - 1));
    const commit = history[origin];
    // What is not ours and does not fit counts for nothing.
    if (
      !commit ||
      spoilt.has(origin) ||
      (originOf(commit.subject).reports && (poison === 'no JSON' || poison === 'no batch'))
    )
      continue;
    const index = poison === 'no JSON' || poison === 'no batch' ? 0 : Math.floor(which * commit.events.length);
    spoilt.set(origin, { index, poison });
    if (settledAt === null) continue;
    const behind = origin + Math.floor(settledAt * (history.length - origin));
    settled.push({ behind, origin, retried, event: (position) => `${position}.${index}` });
  }
  const commits: Stored[] = [];
  const places = new Map<number, number>();
  for (const [n, commit] of history.entries()) {
    const position = commits.length + 1;
    places.set(n, position);
    commits.push({ ...commit, position, spoilt: spoilt.get(n) ?? null, about: [] });
    for (const { origin, retried, event } of settled.filter(({ behind }) => behind === n)) {
      const about = event(places.get(origin) ?? 0);
      const type = retried ? 'ParkedRetried' : 'ParkedDiscarded';
      const settle = { events: [settling(about, type, like)], spoilt: null, about: [about] };
      commits.push({ subject: subjects.realm, position: commits.length + 1, ...settle });
    }
  }
  return commits;
};

const seen = { parked: 0, waiting: 0, discarded: 0, folded: 0, asOf: 0, files: 0 };

interface Following {
  readonly follower: ReturnType<typeof follow>;
  readonly snapshots: Snapshots;
}

const start = (log: MemoryStream, directory: string): Following => {
  const discards = () => follower.discards();
  const snapshots = createSnapshots({
    directory,
    code: 'code',
    epoch: () => 'epoch',
    log,
    clock,
    logger,
    everyEvents: 9,
    discards,
  });
  const follower = follow({
    log,
    clock: systemClock,
    logger,
    passed: (events) => snapshots.passed(follower.views, events),
    doubted: () => void snapshots.clear(),
  });
  return { follower, snapshots };
};

const checkPast = async (
  log: MemoryStream,
  commits: readonly Stored[],
  { follower, snapshots }: Following,
  asked: readonly number[],
) => {
  const discards = () => follower.discards();
  const past = createPast({ log, live: follower.views, gate: createGate(2, 1_000), snapshots, discards });
  for (const one of asked) {
    const position = one % (commits.length + 1);
    const all = await past.asOf(position, 'all');
    assertViews(all, commits, position, `as of ${position} of ${commits.length}`);
    seen.asOf++;
  }
  const {
    memory: { ledger },
    views: live,
  } = follower;
  const rebuilder = new Rebuilder({ log, live, ledger, clock, onReplaced: async () => undefined, discards });
  const report = await rebuilder.rebuild({ swap: true });
  assert.deepEqual([report.equal, report.differences], [true, []]);
};

test('parked: the views are those of the log without what is parked, live and from the start, then and now, and once it is discarded', async () => {
  const property = fc.asyncProperty(
    rolls,
    fc.array(spoiling, { minLength: 1, maxLength: 3 }),
    unit,
    fc.array(fc.nat(), { minLength: 4, maxLength: 8 }),
    async (rolled, spoilings, share, asked) => {
      const commits = spoiltHistory(historyOf(rolled).commits, spoilings);
      if (commits.length === 0) return;
      const log = memoryStream('CNM_LOG');
      const before = Math.floor(share * commits.length);
      for (const commit of commits.slice(0, before)) await append(log, commit);
      const directory = join(root, String(++directories));
      const live = start(log, directory);
      await live.follower.caughtUp;
      assertViews(live.follower.views, commits, before, `live at ${before}`);
      await live.snapshots.live(before);
      for (const commit of commits.slice(before)) {
        await append(log, commit);
        await live.follower.reached(commit.position, 10_000);
        assertViews(live.follower.views, commits, commit.position, `live at ${commit.position}`);
        await live.snapshots.idle();
      }
      await checkPast(log, commits, live, asked);
      seen.files += (await live.snapshots.status()).count;
      const late = start(log, directory);
      await late.follower.caughtUp;
      assertViews(late.follower.views, commits, commits.length, 'from the start');
      assert.deepEqual(late.follower.memory.size(), live.follower.memory.size());
      await checkPast(log, commits, late, asked.toReversed());
      const rows = [...late.follower.views.rows.parked.values()];
      seen.parked += rows.length;
      seen.waiting += rows.reduce((sum, { waiting }) => sum + waiting, 0);
      seen.discarded += late.follower.discards().length;
      seen.folded += commits.filter(({ spoilt }) => spoilt?.poison === 'empty').length;
      for (const { follower, snapshots } of [live, late]) {
        await follower.stop();
        await snapshots.stop();
      }
    },
  );
  await fc.assert(property, { numRuns: 60, endOnFailure: true });
  assert.ok(
    seen.parked > 30 && seen.waiting > 30 && seen.discarded > 15 && seen.asOf > 300 && seen.files > 100,
    JSON.stringify(seen),
  );
});
