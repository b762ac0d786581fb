// Poison in small: what counts as it, what waits behind it, and what a trial says of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeParts, isMalformed, toCloudEvent, UnreadableCommit } from '../../events/envelope.ts';
import { subjects } from '../../events/names.ts';
import { discardedBy, discardOf, isOutdated } from '../../projections/discards.ts';
import { BEHIND_MAX, Poisoned } from '../../projections/parked.ts';
import { Parking } from '../../projections/parking.ts';
import { createViews, type Views } from '../../projections/views.ts';
import { describeTrial } from '../../services/cli/parked.ts';
import { someHistory } from '../support/some-history.ts';

const bytes = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
const some = someHistory(60);
const first =
  some.flatMap(({ events }) => events).find(({ type }) => type === 'NetworkCreateRequested') ?? assert.fail();
const cloud = toCloudEvent(first);
const host = subjects.host('h1');

test('parked: what nobody can read is malformed in its place, whatever else the commit holds', () => {
  const spoilt = { ...cloud, data: null };
  const { subject: _subject, ...aimless } = cloud;
  for (const [one, subject] of [
    [spoilt, first.meta.subject],
    [{ ...cloud, data: 7 }, first.meta.subject],
    [{ ...cloud, time: 1 }, first.meta.subject],
    [{ ...cloud, time: 'zzzz' }, first.meta.subject],
    [{ ...cloud, actor: null }, first.meta.subject],
    [aimless, ''],
    [{ ...cloud, subject: 'x'.repeat(301), data: null }, ''],
  ] as const) {
    const parts = decodeParts(bytes([cloud, one, cloud]), host);
    assert.deepEqual(parts.map(isMalformed), [false, true, false], JSON.stringify(one));
    assert.partialDeepStrictEqual(parts[1], { type: cloud.type, subject });
  }
  for (const body of [
    'hello',
    '{}',
    '7',
    'null',
    '[null]',
    '[[]]',
    '[{"type":7}]',
    '{"type":"cnm.EndpointJoined.v3","data":null}',
  ]) {
    const parts = decodeParts(bytes(body), host);
    assert.deepEqual([parts.length, parts.map(isMalformed)], [1, [true]], body);
  }
  assert.deepEqual(decodeParts(bytes([]), host), []);
});

test('parked: what is newer stops the reader, beside what is malformed too, and says so', () => {
  for (const type of ['cnm.EndpointJoined.v99', 'cnm.EndpointTeleported.v1', 'com.example.other'])
    for (const batch of [
      [{ type }],
      [
        { ...cloud, data: null },
        { ...cloud, type },
      ],
    ])
      assert.throws(
        () => decodeParts(bytes(batch), host),
        (error) =>
          error instanceof UnreadableCommit &&
          error.kind === 'newer' &&
          /upgrade before reading on/.test(error.message),
      );
});

const fold = (views: Views, parking: Parking, position: number, body: unknown, subject = host): void =>
  parking.fold(views, { subject, position, recordedMs: () => position, parts: decodeParts(bytes(body), subject) });

test('parked: of what waits the first are named and all are counted, on all that a host decides and reports', () => {
  const [views, parking] = [createViews(), new Parking()];
  fold(views, parking, 1, 'hello');
  for (let position = 2; position < 2 + BEHIND_MAX; position++) fold(views, parking, position, [cloud, cloud]);
  fold(views, parking, 500, [{ ...cloud, source: '/cnm/test/worker/h1' }], subjects.outcome('h1'));
  assert.equal(views.rows.networks.size, 0);
  const [[key, row]] = [...views.rows.parked] as never as [
    [string, { waiting: number; behind: string[]; since: string }],
  ];
  assert.deepEqual([key, row.waiting, row.behind.length], [host, 2 * BEHIND_MAX + 1, BEHIND_MAX]);
  assert.deepEqual([row.behind[0], row.behind[1], row.since], ['2.0', '2.1', '1970-01-01T00:00:00.001Z']);
  fold(views, parking, 501, [cloud], subjects.host('h2'));
  assert.deepEqual([views.rows.networks.size, views.position], [1, 501]);
});

test('parked: what decides about parked events waits behind nothing', () => {
  const [views, parking] = [createViews(), new Parking()];
  fold(views, parking, 1, 'hello', subjects.realm);
  const settling = { ...cloud, type: 'cnm.ParkedRetried.v1', subject: 'parked/1.0', data: { position: 1, index: 0 } };
  fold(views, parking, 2, [settling, cloud], subjects.realm);
  assert.deepEqual(
    [...views.rows.parked.values()].map(({ waiting, behind }) => [waiting, ...behind]),
    [[1, '2.1']],
  );
  assert.deepEqual([...views.rows.commands.values()].length, 1);
});

test('parked: a fold that throws has spoilt its views, and parks the event when it begins anew', () => {
  const parking = new Parking();
  const spoilt = { ...cloud, data: {} };
  assert.throws(
    () => fold(createViews(), parking, 1, [spoilt]),
    (error) => error instanceof Poisoned && error.position === 1,
  );
  const views = createViews();
  fold(views, parking, 1, [spoilt]);
  fold(views, parking, 2, [{ ...spoilt, subject: 'network/other' }]);
  assert.deepEqual([...views.rows.parked.keys()], [first.meta.subject, 'network/other'], 'careful from there on');
  const left = createViews();
  const discarding = new Parking({ careful: true, isDiscarded: (event) => event === '1.0' });
  fold(left, discarding, 1, [spoilt, cloud]);
  assert.deepEqual([left.rows.parked.size, left.rows.networks.size], [0, 1]);
});

test('parked: a state is of use further on unless something before it was discarded in between', () => {
  const meta = first.meta;
  const discard = (position: number, at: number) =>
    discardOf({ type: 'ParkedDiscarded', version: 1, data: { position, index: 2, reason: 'x' }, meta }, at);
  assert.equal(discard(9, 9), null);
  assert.equal(discard(10, 9), null);
  assert.equal(discardOf(first, 9), null);
  const discards = [discard(5, 20) ?? assert.fail(), discard(15, 30) ?? assert.fail()];
  assert.deepEqual(discards[0], { event: '5.2', position: 5, at: 20 });
  assert.deepEqual(
    [19, 20, 30].map((until) => [...discardedBy(discards, until)]),
    [[], ['5.2'], ['5.2', '15.2']],
  );
  for (const [from, until, outdated] of [
    [4, 40, false],
    [5, 19, false],
    [5, 20, true],
    [14, 30, true],
    [19, 20, true],
    [20, 20, false],
    [20, 29, false],
    [20, 30, true],
    [30, 40, false],
  ] as const)
    assert.equal(isOutdated(discards, from, until), outdated, `${from} to ${until}`);
});

test('parked: a trial says whether this version folds it, what follows, and what would change', () => {
  const row = {
    position: '8.0',
    key: 'endpoint/e',
    type: 't',
    reason: 'r',
    since: 's',
    waiting: 2,
    behind: ['9.0', '9.1'],
    host: 'h1',
  };
  const trial = { position: 20, reason: 'no data', parked: [{ ...row, position: '9.1' }], changes: [] };
  assert.equal(
    describeTrial('8.0', row, trial, 'discard'),
    '8.0: this version cannot fold it: no data\n2 events wait behind it: 9.0 9.1\ndiscarding it changes no view\nthen 9.1 is parked: r\n',
  );
  assert.match(describeTrial('8.0', row, trial, 'retry'), /a retry would change nothing here\n$/);
  const fine = { ...trial, reason: null, parked: [] };
  assert.equal(describeTrial('8.0', null, fine, 'retry'), '8.0: this version folds it\nnothing waits behind it\n');
  assert.match(describeTrial('8.0', row, fine, 'discard'), /a discard would change nothing here\n$/);
  const change = { view: 'endpoints', key: 'e', name: 'web/e', change: 'gone', row: { host: 'h1' } } as const;
  assert.match(
    describeTrial('8.0', row, { ...trial, changes: [change] }, 'discard'),
    /discarding it changes:\n- endpoint web\/e on h1\n/,
  );
});
