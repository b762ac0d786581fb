// What discarding a parked event would change, tried on logs in memory: as two folds of the whole log say it, and the log is read once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeEvent, joinCommit, toCloudEvent } from '../../events/envelope.ts';
import { diffViews, shownViews } from '../../projections/diff.ts';
import { inFrontOf, type Stream } from '../../services/lib/stream.ts';
import { refold } from '../../services/projector/refold.ts';
import { tryParked } from '../../services/projector/try-parked.ts';
import { memoryStream } from '../support/memory-stream.ts';
import { someHistory } from '../support/some-history.ts';

const history = someHistory(300);

/** The history with these events spoilt. @param spoilt positions of commits: the first event of each */
const logWith = async (spoilt: readonly number[]): Promise<Stream> => {
  const log = memoryStream('CNM_LOG');
  for (const { subject, position, events } of history) {
    const encoded = events.map((event, index) =>
      index === 0 && spoilt.includes(position)
        ? JSON.stringify({ ...toCloudEvent(event), data: null })
        : encodeEvent(event),
    );
    await log.append({ subject, body: joinCommit(encoded), id: `c${position}` });
  }
  return log;
};

const counted = (log: Stream): { readonly log: Stream; readonly read: () => number } => {
  let count = 0;
  const counting = inFrontOf(log, {
    read: (options, onMessage) =>
      log.read(options, (message) => {
        if (options.subjects === undefined && message.position <= (options.until ?? 0)) count += 1;
        onMessage(message);
      }),
  });
  return { log: counting, read: () => count };
};

test('parked, tried: what stands before the event is folded once, what stands behind it twice', async () => {
  for (const [position, other] of [
    [249, 250],
    [42, 249],
    [2, 201],
  ] as const) {
    const plain = await logWith([position, other]);
    const { log, read } = counted(plain);
    const event = `${position}.0`;
    const trial = await tryParked(log, event);
    assert.match(trial.reason ?? '', /data/);
    // what cannot be read is seen before it is folded, so nothing is begun anew
    assert.equal(read(), position - 1 + 2 * (history.length - position + 1));

    const [until, note] = [history.length, () => {}];
    const now = await refold({ log: plain, discards: [], until, note });
    const then = await refold({ log: plain, discards: [{ event, position, at: until }], until, note });
    assert.deepEqual(trial.changes, [...diffViews(now.views, then.views, { views: shownViews })]);
    assert.deepEqual(
      trial.parked.map((row) => row.position),
      [...then.views.rows.parked.values()]
        .map((row) => row.position)
        .filter((one) => ![...now.views.rows.parked.values()].some((row) => row.position === one)),
    );
  }
});

test('parked, tried: an event that can be folded, and one that the log does not hold, change nothing', async () => {
  const log = await logWith([40]);
  for (const event of ['100.0', '0.0', '999.0'])
    assert.deepEqual(await tryParked(log, event), { position: history.length, reason: null, parked: [], changes: [] });
});
