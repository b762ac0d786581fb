// Views, ledger and peers that begin with a segment, anywhere in histories of the model: as if everything before had been folded.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeCommit } from '../../events/envelope.ts';
import { subjects } from '../../events/names.ts';
import { compareViews } from '../../projections/compare.ts';
import { Ledger } from '../../projections/ledger.ts';
import { PeerView } from '../../projections/peers.ts';
import { createViews, type Views } from '../../projections/views.ts';
import { WholeLog } from '../../services/audit/segment-state.ts';
import { eventsOf } from '../../services/lib/commit.ts';
import { Opening, type SegmentData } from '../../services/lib/opening.ts';
import type { Message } from '../../services/lib/stream.ts';
import { foldMessage } from '../../services/projector/fold.ts';
import { Model } from './model.ts';
import { moves, realmMoves } from './model-moves.ts';
import { play, playTogether } from './model-play.ts';

const plain = { recordedMs: 0, pending: 0, header: () => '', headers: () => [] };
/** What opens the segment, and its state in one part. */
const SHIFT = 2;

const opened = (whole: WholeLog, first: number): readonly [SegmentData, readonly Message[]] => {
  const body = Buffer.from([...whole.lines()].map((line) => `${JSON.stringify(line)}\n`).join(''));
  const data: SegmentData = {
    ...{ realm: 'model', epoch: '000000000000', segment: 2, first, chunks: 1 },
    state: createHash('sha256').update(body).digest('base64url'),
    previous: { first: 1, last: first - 1, digest: '', heads: {}, file: 'f', sha256: '' },
    ...{ key: '', signature: '' },
  };
  const meta = {
    ...{ id: 's.0', source: '/cnm/model/segment', subject: 'segment/2', time: '2026-01-01T00:00:00.000Z', actor: '' },
    ...{ commandid: '', correlationid: '', causationid: '' },
  };
  const commit = encodeCommit([{ type: 'SegmentOpened', version: 1, data, meta }]);
  return [
    data,
    [
      { ...plain, position: first, subject: subjects.realm, body: Buffer.from(commit) },
      { ...plain, position: first + 1, subject: subjects.segment(0), body },
    ],
  ];
};

const fold = (views: Views, message: Message): void => foldMessage(views, message);
const held = (ledger: Ledger): readonly string[] =>
  [...ledger.all()]
    .filter(({ until }) => until === null)
    .map((interval) => JSON.stringify(interval))
    .sort();
const peersOf = (view: PeerView): readonly string[] => [...view.all()].map((row) => JSON.stringify(row)).sort();

const check = ({ log }: Model, cut: number): void => {
  const whole = new WholeLog();
  const [ledger, peers] = [new Ledger(), new PeerView('h1')];
  const views = createViews(ledger);
  let at = 0;
  for (; at < log.length && (at < cut % log.length || whole.realm.isTorn || whole.realm.awaited.size > 0); at++) {
    const message = log[at] as Message;
    whole.take(message);
    fold(views, message);
    const [, family, host = ''] = message.subject.split('.');
    for (const event of eventsOf(message))
      if (event.type === 'PeersForgotten') peers.apply(event.data.host, event);
      else if (family === 'outcome') peers.apply(host, event);
  }
  if (whole.realm.isTorn || at === 0) return;
  for (const message of log.slice(0, at)) whole.tell(message);
  const [data, messages] = opened(whole, at + 1);

  const beganLedger = new Ledger();
  const began = createViews(beganLedger);
  for (const message of messages) fold(began, message);
  assert.deepEqual(compareViews(began, views), []);
  assert.deepEqual(held(beganLedger), held(ledger));
  for (const interval of beganLedger.all())
    assert.equal(beganLedger.carried(interval.from)?.position, `${interval.from.position}.${interval.from.index}`);

  const opening = new Opening(data);
  opening.take(messages[1] as Message);
  const carried = new PeerView('h1');
  for (const [kind, row] of opening.lines()) if (kind === 'peer') carried.carry(row as never);
  assert.deepEqual(peersOf(carried), peersOf(peers));

  for (const message of log.slice(at)) {
    const shifted: Message = { ...plain, ...message, position: message.position + SHIFT, decoded: eventsOf(message) };
    fold(views, shifted);
    fold(began, shifted);
  }
  assert.deepEqual(compareViews(began, views), []);
  assert.deepEqual(held(beganLedger), held(ledger));
};

test('segment: on hosts alone', () => {
  fc.assert(
    fc.property(moves, fc.nat(300), (steps, cut) => {
      const model = new Model(2, ['h1', 'h2']);
      play(model, steps);
      check(model, cut);
    }),
    { numRuns: 40 },
  );
});

test('segment: on hosts with networks between them', () => {
  fc.assert(
    fc.property(realmMoves, fc.nat(300), (steps, cut) => {
      const model = new Model(2, ['h1', 'h2', 'h3'], 'together');
      playTogether(model, steps);
      check(model, cut);
    }),
    { numRuns: 40 },
  );
});
