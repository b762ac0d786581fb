// Legal holds over the command line and the log: who set which and why, what they refuse, and as of when.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { decodeCommit } from '../../events/envelope.ts';
import { callCli } from '../support/called.ts';
import { readWhole } from '../support/log-checks.ts';
import { testStream } from '../support/nats.ts';
import { Served } from '../support/served.ts';

let served: Served;
before(async () => {
  served = await Served.start(['controller', 'projector']);
});
after(() => served.stop());

const works = async (...words: string[]): Promise<string> => {
  const { exit, out, err } = await callCli(...words);
  assert.equal(exit, 0, err);
  return out;
};
const document = async (...words: string[]) => JSON.parse(await works(...words, '--json'));

test('holds are set and lifted by name, listed with actor and reason, as of any position', async () => {
  assert.equal(
    await works('audit', 'hold', 'set', 'case-17', '--reason', 'case 17 against us'),
    'hold case-17 on everything\n',
  );
  const { position } = await document('audit', 'hold', 'set', 'case-18', '--subject', 's-1', '--reason', 'case 18');
  const listed = await works('audit', 'hold', 'ls');
  assert.match(listed, /^HOLD +ON +SINCE +BY +REASON$/m);
  assert.match(listed, /^case-17 +everything +\d{4}-.* alice \(claimed\) +case 17 against us$/m);
  assert.match(listed, /^case-18 +subject s-1 +\d{4}-.* alice \(claimed\) +case 18$/m);
  assert.equal(await works('audit', 'hold', 'lift', 'case-17', '--reason', 'closed'), 'lifted hold case-17\n');
  const names = async (...words: string[]) =>
    (await document('audit', 'hold', 'ls', ...words)).rows.map(({ name }: { name: string }) => name);
  assert.deepEqual(await names(), ['case-18']);
  assert.deepEqual(await names('--as-of', String(position)), ['case-17', 'case-18']);
  await works('audit', 'hold', 'lift', 'case-18', '--reason', 'closed');
  assert.deepEqual(await names(), []);
});

test('what makes no sense is refused, and a reason has to be given', async () => {
  await works('audit', 'hold', 'set', 'one', '--reason', 'r');
  const twice = await callCli('audit', 'hold', 'set', 'one', '--reason', 'other');
  assert.deepEqual([twice.exit, twice.err.split('\n')[0]], [1, 'HOLD_EXISTS: hold one is set: r']);
  const none = await callCli('audit', 'hold', 'lift', 'two', '--reason', 'r');
  assert.deepEqual([none.exit, none.err.split(':')[0]], [1, 'HOLD_NOT_FOUND']);
  for (const verb of ['set', 'lift']) {
    const silent = await callCli('audit', 'hold', verb, 'three');
    assert.deepEqual([silent.exit, /--reason is missing/.test(silent.err)], [2, true]);
  }
  await works('audit', 'hold', 'lift', 'one', '--reason', 'done');
});

test('each stands on the log with actor and reason, on the subject of no host, and what it refused too', async () => {
  const log = testStream(await served.nats.connect(), 'CNM_LOG');
  const messages = await readWhole(log);
  const events = messages.flatMap(({ body, subject }) =>
    decodeCommit(body, subject).map((event) => ({ subject, event })),
  );
  const told = events.flatMap(({ subject, event: { type, meta, data } }) =>
    type === 'LegalHoldSet' || type === 'LegalHoldLifted'
      ? [[subject, type, meta.subject, meta.actor, data.reason]]
      : [],
  );
  assert.deepEqual(told.slice(0, 3), [
    ['cnm.event.realm._', 'LegalHoldSet', 'hold/case-17', 'alice', 'case 17 against us'],
    ['cnm.event.realm._', 'LegalHoldSet', 'hold/case-18', 'alice', 'case 18'],
    ['cnm.event.realm._', 'LegalHoldLifted', 'hold/case-17', 'alice', 'closed'],
  ]);
  const refused = events.flatMap(({ event: { type, data } }) => (type === 'CommandRefused' ? [data.code] : []));
  assert.deepEqual(refused, ['HOLD_EXISTS', 'HOLD_NOT_FOUND']);
});
