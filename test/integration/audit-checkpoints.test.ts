// Collectors that sign what the log adds up to: how often, which of several, and what they do not sign.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { checkpointSubject, isSignedBy, parseCheckpoint, signedIn } from '../../services/audit/checkpoint.ts';
import { keyIdOf } from '../../services/audit/keys.ts';
import { verifyLog } from '../../services/audit/verify.ts';
import { type Collector, createCollector } from '../../services/collector/collector.ts';
import { type MemoryStream, memoryStream } from '../support/memory-stream.ts';
import { messageOf, realmLog, type Stored } from '../support/tampered.ts';
import { FakeClock, silent, until } from '../support/world.ts';

const pair = generateKeyPairSync('ed25519');
const keys = new Map([[keyIdOf(pair.publicKey), pair.publicKey]]);
const everyMs = 60_000;

let stored: readonly Stored[];
let clock: FakeClock;
let log: MemoryStream;
let checkpoint: MemoryStream;
let folder: string;
const running: Collector[] = [];

/** The next messages of a log that was recorded before, guards and hashes as they are. */
const grow = async (count: number): Promise<void> => {
  const from = log.stored().length;
  for (const one of stored.slice(from, from + count)) {
    const { subject, body, header, headers } = messageOf(one);
    const own = Object.fromEntries(
      headers().filter(([name]) => !name.startsWith('Nats-') || name.startsWith('Nats-Batch-')),
    );
    const expectedLast = Number(header('Nats-Expected-Last-Subject-Sequence'));
    const appended = await log.append({ subject, body, id: header('Nats-Msg-Id'), expectedLast, headers: own });
    assert.equal(appended.kind, 'appended');
  }
};
/** All collectors have read what is new. */
const followed = (): Promise<void> =>
  until(() => running.every((one) => one.look().position === log.stored().length), 'the log is read');
const collector = async (name: string): Promise<Collector> => {
  const commands = memoryStream('COMMANDS');
  const checkpoints = { stream: checkpoint, key: pair.privateKey, file: join(folder, name), everyMs };
  const one = createCollector({ realm: 'test', log, commands, clock, logger: silent, checkpoints });
  running.push(one);
  await one.start();
  return one;
};
const made = () => checkpoint.stored().map((message) => parseCheckpoint(signedIn(message).checkpoint)?.position);
const linesOf = (name: string): readonly string[] =>
  existsSync(join(folder, name))
    ? readFileSync(join(folder, name), 'utf8')
        .split('\n')
        .filter((line) => line !== '')
    : [];
const keptIn = (name: string) => linesOf(name).map((line) => parseCheckpoint(JSON.parse(line).checkpoint)?.position);
const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
};
const verified = () => verifyLog({ log, checkpoint, commands: null }, keys);

beforeEach(async () => {
  stored ??= await realmLog();
  clock = new FakeClock();
  log = memoryStream('CNM_LOG', { nowMs: () => clock.nowMs() });
  checkpoint = memoryStream('CHECKPOINT', { nowMs: () => clock.nowMs() });
  folder = await mkdtemp(join(tmpdir(), 'cnm-signed-'));
});
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop();
  await rm(folder, { recursive: true, force: true });
});

test('a log that has grown is signed at each turn, and once more at the end; one that has not is not', async () => {
  await grow(5);
  let looks = 0;
  const lastOn = checkpoint.lastOn.bind(checkpoint);
  checkpoint = Object.assign(checkpoint, {
    lastOn: (subject: string) => {
      looks += 1;
      return lastOn(subject);
    },
  });
  const one = await collector('file');
  await clock.advance(everyMs, turns);
  await until(() => made().length === 1, 'the first checkpoint');
  await clock.advance(everyMs, turns);
  // Each turn waits until the one before has synced its file: two at the start, and two a turn, one of them for the file.
  await until(() => looks === 6, 'the second turn');
  await turns();
  assert.deepEqual(made(), [5]);
  await grow(4);
  await followed();
  await clock.advance(everyMs, turns);
  await until(() => made().length === 2, 'the second one');
  await grow(1);
  await followed();
  await one.stop();
  assert.deepEqual(made(), [5, 9, 10]);
  for (const message of checkpoint.stored()) assert.ok(isSignedBy(signedIn(message), pair.publicKey));
  assert.deepEqual(
    linesOf('file').map((line) => JSON.parse(line)),
    checkpoint.stored().map(signedIn),
  );
  const report = await verified();
  assert.deepEqual(report.findings, []);
  assert.equal(report.checkpoints, 3);
});

test('of two collectors one signs, and each goes on from what the other has signed', async () => {
  await grow(5);
  await collector('a');
  await collector('b');
  for (const [round, more] of [0, 3, 2, 4].entries()) {
    await grow(more);
    await followed();
    await clock.advance(everyMs, turns);
    // The file comes last: whoever is not there yet would sign what has grown by half.
    for (const name of ['a', 'b'])
      await until(() => linesOf(name).length === round + 1, `checkpoint ${round} in ${name}`);
  }
  for (const one of running) await one.stop();
  assert.deepEqual(made(), [5, 8, 10, 14]);
  for (const name of ['a', 'b']) assert.deepEqual(keptIn(name), [5, 8, 10, 14]);
  assert.deepEqual((await verified()).findings, []);
});

test('a collector that comes back goes on, and an answer that was lost makes no second one', async () => {
  await grow(5);
  await (await collector('a')).stop();
  await grow(5);
  checkpoint.injectNext('unacknowledged');
  await (await collector('a')).stop();
  assert.deepEqual(made(), [5, 10]);
  assert.equal(linesOf('a').length, 2);
  assert.deepEqual((await verified()).findings, []);
});

test('what the file lacks is appended at the next start, and what was half written is not left in its way', async () => {
  await grow(5);
  await (await collector('a')).stop();
  await grow(5);
  await (await collector('a')).stop();
  const lines = linesOf('a');
  // killed before the file was written, in the midst of it, and with a file that is gone
  for (const left of [`${lines[0]}\n`, `${lines[0]}\n${lines[1]?.slice(0, 40)}`, lines[0]?.slice(0, 40) ?? '', '']) {
    await writeFile(join(folder, 'a'), left);
    const one = await collector('a');
    await until(() => readFileSync(join(folder, 'a'), 'utf8') === `${lines.join('\n')}\n`, 'the file is whole again');
    await one.stop();
    assert.deepEqual(linesOf('a'), lines);
  }
  assert.deepEqual(made(), [5, 10]);
});

test('a file that ends with something else is left alone, and the stream goes on', async () => {
  await grow(5);
  for (const [round, notes] of [
    'notes of somebody\n',
    'without a line end',
    'two\nof which one is not ended',
  ].entries()) {
    if (round > 0) await grow(5);
    await writeFile(join(folder, 'a'), notes);
    await (await collector('a')).stop();
    assert.equal(await readFile(join(folder, 'a'), 'utf8'), notes);
  }
  assert.deepEqual(made(), [5, 10, 15]);
});

test('a log that is not the one that was signed is signed no more', async () => {
  await grow(5);
  await (await collector('a')).stop();
  const [first, ...rest] = stored;
  assert.ok(first);
  const body = new TextEncoder().encode(`${new TextDecoder().decode(first.body)} `);
  const before = stored;
  try {
    stored = [{ ...first, body }, ...rest];
    log = memoryStream('CNM_LOG', { nowMs: () => clock.nowMs() });
    await grow(9);
    await (await collector('a')).stop();
    log = memoryStream('CNM_LOG', { nowMs: () => clock.nowMs() });
    await grow(3);
    await (await collector('a')).stop();
  } finally {
    stored = before;
  }
  assert.deepEqual(made(), [5]);
  const kinds = (await verified()).findings.map(({ kind }) => kind);
  assert.ok(kinds.includes('cut'), kinds.join());
});

test('what somebody else writes onto the stream is found', async () => {
  await grow(5);
  await (await collector('a')).stop();
  const body = JSON.stringify({ position: 5 });
  await checkpoint.append({ subject: checkpointSubject, body, id: 'x', expectedLast: 1 });
  assert.deepEqual(
    (await verified()).findings.map(({ kind, position }) => [kind, position]),
    [['checkpoint', 5]],
  );
});

test('what somebody else writes onto the stream, though it looks like a checkpoint, keeps nobody from signing', async () => {
  await grow(5);
  await (await collector('a')).stop();
  const ours = checkpoint.stored().at(-1);
  assert.ok(ours);
  const said = parseCheckpoint(signedIn(ours).checkpoint);
  // of another log, and of a position that this one has not reached
  for (const [index, forged] of [{ digest: 'x' }, { position: 1_000_000 }].entries()) {
    const body = JSON.stringify({ ...said, ...forged });
    await checkpoint.append({ subject: checkpointSubject, body, id: `forged${index}`, expectedLast: index + 1 });
  }
  await grow(3);
  await (await collector('a')).stop();
  assert.deepEqual(made(), [5, 5, 1_000_000, 8]);
  const { findings } = await verified();
  assert.deepEqual([...new Set(findings.map(({ kind }) => kind))], ['checkpoint']);
});
