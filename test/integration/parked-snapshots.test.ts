// Deciding about a parked event does not cost the whole log: it is folded on from a state before the event, and comes to the same.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pino } from 'pino';
import { type Event, encodeCommit, eventVersions } from '../../events/envelope.ts';
import { subjects } from '../../events/names.ts';
import { viewNames } from '../../events/queries.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { inFrontOf } from '../../services/lib/stream.ts';
import { createProjector, type Projector } from '../../services/projector/projector.ts';
import { type MemoryStream, memoryStream } from '../support/memory-stream.ts';
import { waitFor } from '../support/nats.ts';
import type { RandomCommit } from '../support/random-history.ts';
import { someHistory } from '../support/some-history.ts';

const logger = pino({ level: 'silent' });
const directory = mkdtempSync(join(tmpdir(), 'cnm-parked-'));
const history = someHistory(600);
const opened = history[3]?.events[0]?.meta ?? assert.fail('an event to begin with');

let log: MemoryStream;
let projector: Projector;
/** Where reads of all subjects have begun since the last look. */
let begun: number[] = [];

const append = async (subject: string, body: string): Promise<number> => {
  const appended = await log.append({ subject, body, id: `c${(await log.last()) + 1}` });
  return appended.kind === 'appended' ? appended.position : assert.fail(appended.kind);
};
const appendAll = async (commits: readonly RandomCommit[]): Promise<void> => {
  for (const { subject, events } of commits) await append(subject, encodeCommit(events));
};

const decide = (type: 'ParkedDiscarded' | 'ParkedRetried', position: number): Promise<number> => {
  const data = { position, index: 0, ...(type === 'ParkedDiscarded' ? { reason: 'by mistake' } : {}) };
  const meta = { ...opened, id: `${type}${position}.0`, subject: `event/${position}.0` };
  return append(subjects.realm, encodeCommit([{ type, version: eventVersions[type], data, meta } as Event]));
};

const parkedAt = async (atLeast: number): Promise<readonly unknown[]> =>
  (await projector.query('parked', { atLeast })).rows.map(({ position }) => position);

const addresses = new Set(
  history.flatMap(({ events }) =>
    events.flatMap((event) =>
      event.type === 'EndpointCreateRequested' && event.data.endpoint.ipv4 ? [event.data.endpoint.ipv4] : [],
    ),
  ),
);

/** All that it answers about now, then and who held what is what one answers that has folded all of the log. */
const isAsFoldedAnew = async (): Promise<void> => {
  const anew = createProjector({ log, clock: systemClock, logger });
  await anew.caughtUp;
  for (const view of viewNames) assert.deepEqual(await projector.query(view), await anew.query(view), view);
  assert.deepEqual(projector.remembered(), anew.remembered());
  for (const what of addresses) {
    const asked = { filter: { kind: 'address', what } };
    assert.deepEqual(await projector.query('ledger', asked), await anew.query('ledger', asked), what);
  }
  const { equal, differences } = await projector.rebuild({ view: 'all' });
  assert.deepEqual([equal, differences], [true, []]);
  await anew.stop();
};

before(async () => {
  log = memoryStream('CNM_LOG');
  const watched = inFrontOf(log, {
    read: (options, onMessage) => {
      if (options.subjects === undefined) begun.push(options.from);
      return log.read(options, onMessage);
    },
  });
  projector = createProjector(
    { log: watched, clock: systemClock, logger },
    { snapshots: { directory, everyEvents: 30 } },
  );
  await projector.caughtUp;
});
after(async () => {
  await projector.stop();
  rmSync(directory, { recursive: true });
});

/** Grows the log, and waits for a state that is kept near its end. */
const grow = async (from: number, to: number): Promise<void> => {
  for (let at = from; at < to; at += 50) {
    await appendAll(history.slice(at, Math.min(to, at + 50)));
    const last = await log.last();
    await projector.query('networks', { atLeast: last });
    await waitFor(
      async () => {
        const [status] = (await projector.query('status')).rows as unknown as [{ snapshots: { newest: number } }];
        return status.snapshots.newest > last - 100;
      },
      { what: `a state of the views near ${last}` },
    );
  }
};

test('parked: a retry and a discard fold on from a state before the event', async () => {
  await grow(0, 300);
  const poison = await append(subjects.host('h1'), 'no JSON');
  await grow(300, 400);
  assert.deepEqual(await parkedAt(await log.last()), [`${poison}.0`]);
  begun = [];
  assert.deepEqual(await parkedAt(await decide('ParkedRetried', poison)), [`${poison}.0`]);
  await isAsFoldedAnew();
  const discarded = await decide('ParkedDiscarded', poison);
  assert.deepEqual(await parkedAt(discarded), []);
  // All that was read is behind a state that stands before the event, which rebuilding is not.
  const folds = begun.filter((from) => from !== 1);
  assert.ok(
    folds.some((from) => from > poison - 120 && from <= poison),
    begun.join(' '),
  );
  assert.ok(begun.filter((from) => from === 1).length <= 1, begun.join(' '));
  await isAsFoldedAnew();
});

test('parked: states from between another event and its discard are of no use', async () => {
  const first = await append(subjects.host('h1'), 'no JSON');
  await grow(400, 500);
  const second = await append(subjects.host('h2'), 'no JSON');
  await grow(500, 600);
  assert.deepEqual(await parkedAt(await decide('ParkedDiscarded', first)), [`${second}.0`]);
  await isAsFoldedAnew();
  begun = [];
  assert.deepEqual(await parkedAt(await decide('ParkedDiscarded', second)), []);
  const [from = 0] = begun;
  assert.ok(from > 1 && from <= first, begun.join(' '));
  await isAsFoldedAnew();
});
