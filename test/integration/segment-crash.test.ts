// Putting a log away, stopped at every step and begun again: nothing is lost, nothing is there twice, and no damaged file takes its place.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { exportToFile } from '../../services/audit/export-file.ts';
import { importExport } from '../../services/audit/import.ts';
import { openExport } from '../../services/audit/open-export.ts';
import { putAway, type SegmentOptions } from '../../services/audit/segment.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { chainHash } from '../../services/lib/hash.ts';
import { foldLog } from '../../services/lib/realm.ts';
import { jetStream } from '../../services/nats/jetstream.ts';
import { provision } from '../../services/nats/streams.ts';
import { createProjector } from '../../services/projector/projector.ts';
import { dump } from '../property/model-checks.ts';
import { readWhole } from '../support/log-checks.ts';
import { startNats, type TestNats } from '../support/nats.ts';
import { realmStream } from '../support/tampered.ts';
import { silent } from '../support/world.ts';

const { privateKey: key } = generateKeyPairSync('ed25519');
type Step = Parameters<NonNullable<SegmentOptions['onStep']>>[0];
const steps: readonly Step[] = ['stored', 'deleted', 'made', 'opened'];

let source: string;
let folder: string;
let nats: TestNats;
let file: string;

before(async () => {
  source = mkdtempSync(join(tmpdir(), 'cnm-whole-'));
  await exportToFile(join(source, 'log'), { log: await realmStream(), checkpoints: [] });
});
after(() => rmSync(source, { recursive: true, force: true }));
beforeEach(async () => {
  nats = await startNats();
  folder = mkdtempSync(join(tmpdir(), 'cnm-segment-'));
  file = join(folder, 'segment-1');
  await importExport(await nats.connect(), await openExport(join(source, 'log')), systemClock);
});
afterEach(async () => {
  await nats.stop();
  rmSync(folder, { recursive: true, force: true });
});

const log = async () => jetStream(await nats.connect(), 'CNM_LOG');
const options = async (more: Partial<SegmentOptions> = {}): Promise<SegmentOptions> => ({
  ...{ connection: await nats.connect(), file, key, keys: new Map(), clock: systemClock, chunkBytes: 2_000 },
  ...more,
});
const stopAt = (wanted: Step) => (step: Step) => {
  if (step === wanted) throw new Error(`stopped at ${wanted}`);
};
const code = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error) => error.code ?? error.message,
  );
/** The state, whatever it was made of. */
const stateOf = async (): Promise<unknown> => {
  const folded = foldLog(await readWhole(await log()));
  const { position: _, networks: _n, ...state } = JSON.parse(JSON.stringify(dump(folded)));
  const living = [...folded.networks].filter(([id]) => folded.shared.networks.has(id));
  const plain = JSON.parse(JSON.stringify(state, (name, value) => (/ead$/.test(name) ? undefined : value)));
  return { ...plain, networks: living.map(([id, { decidedThrough }]) => [id, decidedThrough]) };
};
const viewsOf = async (): Promise<unknown> => {
  const projector = createProjector({ log: await log(), clock: systemClock, logger: silent });
  await projector.caughtUp;
  const views = [];
  for (const view of ['networks', 'endpoints', 'sandboxes', 'addresses', 'names', 'ports', 'hosts', 'commands'])
    views.push((await projector.query(view)).rows);
  await projector.stop();
  return views;
};

for (const step of steps) {
  test(`segment: stopped before what follows ${step}, it goes on from there`, async () => {
    const whole = (await readWhole(await log())).map(chainHash);
    const [state, views] = [await stateOf(), await viewsOf()];
    assert.equal(await code(putAway(await options({ onStep: stopAt(step) }))), `stopped at ${step}`);
    const put = await putAway(await options());
    assert.deepEqual([put.segment, put.first, put.messages], [2, whole.length + 1, whole.length]);
    const there = await readWhole(await log());
    const parts = there.filter(({ subject }) => subject.startsWith('cnm.event.segment.'));
    assert.ok(parts.length > 2, 'a state in several parts');
    assert.deepEqual([there[0]?.position, there.length], [whole.length + 1, parts.length + 1]);
    assert.deepEqual([await stateOf(), await viewsOf()], [state, views]);
    assert.deepEqual((await readWhole(await openExport(file))).map(chainHash), whole);
    assert.equal((await provision(await nats.connect(), { sync: { kind: 'embedded' } as never })).ok, true);
    assert.deepEqual(await putAway(await options()), put);
  });
}

test('segment: stopped between, no service begins on what is there', async () => {
  for (const step of ['made', 'opened'] as const) {
    assert.equal(await code(putAway(await options({ onStep: stopAt(step) }))), `stopped at ${step}`);
    const made = await provision(await nats.connect(), { sync: { kind: 'embedded' } as never });
    const problems = made.ok ? [] : made.problems.map((problem) => problem.code);
    assert.ok(problems.includes('HISTORY_LOST'), `${step}: ${problems.join(' ')}`);
  }
});

test('segment: a file that was changed, or is of something else, takes the place of nothing', async () => {
  const end = await (await log()).last();
  await code(putAway(await options({ onStep: stopAt('deleted') })));
  const text = readFileSync(file);
  appendFileSync(file, '\n');
  assert.equal(await (await log()).last(), end, 'nothing is deleted yet');
  await code(putAway(await options({ onStep: stopAt('made') })));
  writeFileSync(file, text.subarray(0, text.length - 10));
  assert.equal(await code(putAway(await options())), 'SEGMENT_DAMAGED');
  assert.equal(await code(putAway(await options({ file: join(folder, 'none') }))), 'SEGMENT_NOTHING');
  writeFileSync(file, text);
  const put = await putAway(await options());
  assert.equal(put.first, end + 1);
});

test('segment: a log that is damaged, or goes on meanwhile, stays where it is', async () => {
  const connection = await nats.connect();
  const manager = await jetstreamManager(connection);
  const end = await (await log()).last();
  const onStep = (step: Step): void => {
    if (step === 'stored') void connection.publish('cnm.outcome.h1', '[]');
  };
  assert.equal(await code(putAway(await options({ onStep }))), 'SEGMENT_IN_USE');
  assert.equal(await (await log()).last(), end + 1);
  assert.equal(existsSync(file), true);
  // what was written is no report that follows the one before
  assert.equal(await code(putAway(await options())), 'SEGMENT_DAMAGED');
  assert.equal((await manager.streams.info('CNM_LOG')).state.messages, end + 1);
});
