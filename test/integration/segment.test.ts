// A log is put away and goes on: every service over the boundary, on a real server, with a worker on a kernel in memory.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { viewNames } from '../../events/queries.ts';
import { openExport } from '../../services/audit/open-export.ts';
import { connect } from '../../services/client/index.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { type SegmentData, segmentIn } from '../../services/lib/opening.ts';
import { foldLog } from '../../services/lib/realm.ts';
import { packText, stateText } from '../../services/lib/state-text.ts';
import type { Message } from '../../services/lib/stream.ts';
import { provision } from '../../services/nats/streams.ts';
import { deploymentOf, Moment, standing } from '../../services/replay/moment.ts';
import { callCli } from '../support/called.ts';
import { readWhole } from '../support/log-checks.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { startNats, testStream, waitFor } from '../support/nats.ts';
import { Served } from '../support/served.ts';
import { System } from '../support/system.ts';

let served: Served;
let system: System;
let file: string;
const services = ['controller', 'projector', 'collector'] as const;

const works = async (...words: string[]): Promise<string> => {
  const { exit, out, err } = await callCli(...words);
  assert.equal(exit, 0, `${words.join(' ')}: ${err}`);
  return out;
};
const document = async (...words: string[]) => JSON.parse(await works(...words, '--json'));
const refusedWith = async (...words: string[]): Promise<string> => {
  const { exit, err } = await callCli(...words);
  assert.equal(exit, 1, err);
  return err;
};
const stream = async (name: string) => testStream(await served.nats.connect(), name);
const startAll = async (): Promise<void> => {
  await system.startWorker();
  for (const name of services) await served.startService(name);
};
const stopAll = async (): Promise<void> => {
  for (const name of services) await served.stopService(name);
  await system.stopWorker();
};
/** Rows of all views, without what a worker says anew at its start. */
const rowsOfAll = async (): Promise<Record<string, unknown>> => {
  const client = await connect({ url: served.nats.url, actor: 'reader' });
  const rows: Record<string, unknown> = {};
  for (const view of viewNames) if (view !== 'hosts') rows[view] = (await client.view(view)).rows;
  await client.close();
  return rows;
};

/** Commands of a segment that is put away are not known any more; what a host has left is said anew whenever its worker starts. */
const carriedOver = ({ commands: _, capacity: __, ...others }: Record<string, unknown>): unknown => others;

/** What is answered to everything that alice sent before, sent once more. */
const repeatedAnswers = async (): Promise<readonly string[]> => {
  const connection = await served.nats.connect();
  const commands = await stream('CNM_COMMANDS');
  const all = (await readWhole(commands)).filter(({ subject }) => subject.startsWith('cnm.command.alice.'));
  firstSent ??= all;
  const got: string[] = [];
  let silentSinceMs = performance.now();
  const subscription = connection.subscribe('cnm.reply.alice.>', {
    callback: (_, message) => {
      got.push(`${message.subject} ${message.string()}`);
      silentSinceMs = performance.now();
    },
  });
  await connection.flush();
  for (const { subject, body } of firstSent) await commands.append({ subject, body, id: systemClock.randomId() });
  await waitFor(async () => got.length > 0 && performance.now() - silentSinceMs > 500, { what: 'the last answer' });
  subscription.unsubscribe();
  return got.sort();
};

before(async () => {
  served = await Served.start([]);
  file = join(served.folder, 'segment-1.ndjson');
  const key = join(served.folder, 'key.pem');
  await works('audit', 'keygen', key);
  process.env.CNM_CHECKPOINT_KEY_FILE = key;
  const kernel = memoryKernel(new MemoryMachine(), { realm: 'test', host: 'h1' });
  system = new System({
    log: await stream('CNM_LOG'),
    commands: await stream('CNM_COMMANDS'),
    kernel,
    runDir: '/run/cnm',
  });
  await startAll();
});
after(async () => {
  await stopAll();
  await served.stop();
});

let known: Record<string, unknown>;
let answers: readonly string[];
let firstSent: readonly Message[] | null = null;
let last: number;

test('a log is put away only while nothing runs, nothing is held, and by whoever means it', async () => {
  await works('network', 'create', 'web', '--subnet', '10.9.1.0/24');
  await works('sandbox', 'attach', 'c1', '--network', 'web', '-p', '8080:80');
  await works('sandbox', 'attach', 'gone', '--network', 'web');
  await works('sandbox', 'detach', 'gone');
  await works('endpoint', 'create', 'web', 'idle');
  await works('audit', 'hold', 'set', 'case-1', '--subject', 's-1', '--reason', 'r');
  assert.equal((await callCli('audit', 'segment', file)).exit, 2);
  assert.match(await refusedWith('audit', 'segment', file, '--yes'), /^SEGMENT_IN_USE: stop these first: cnm-c/);
  await stopAll();
  assert.match(await refusedWith('audit', 'segment', file, '--yes'), /^LEGAL_HOLD: the log is held: case-1 \(r\)/);
  await startAll();
  await works('audit', 'hold', 'lift', 'case-1', '--reason', 'r');
  // It becomes garbage while nobody looks.
  await served.stopService('collector');
  await works('endpoint', 'create', 'web', 'short', '--gc', '1s');
  answers = await repeatedAnswers();
  assert.ok(answers.length >= 12, String(answers.length));
  last = (await document('network', 'ls')).position;
  known = await rowsOfAll();
  await stopAll();
  assert.equal(await (await stream('CNM_LOG')).first(), 1);
});

test('it is put away, verified, and goes on at the next position', async () => {
  const log = await stream('CNM_LOG');
  const end = await log.last();
  assert.ok(end >= last);
  const put = await document('audit', 'segment', file, '--yes');
  assert.deepEqual([put.segment, put.first, put.messages, put.file], [2, end + 1, end, file]);
  assert.equal(await log.first(), end + 1);
  assert.match(await works('audit', 'verify', file, '--key', join(served.folder, 'key.pem.pub')), /whole/);
  assert.match(await works('audit', 'verify', '--key', join(served.folder, 'key.pem.pub')), /whole/);
  const made = await provision(await served.nats.connect(), { sync: { kind: 'embedded' } as never });
  assert.equal(made.ok, true, JSON.stringify(made));
  // Doing it again with the same file changes nothing.
  assert.deepEqual(await document('audit', 'segment', file, '--yes'), put);
});

test('views are what they were, and everything goes on', async () => {
  await system.startWorker();
  for (const name of ['controller', 'projector'] as const) await served.startService(name);
  assert.deepEqual(carriedOver(await rowsOfAll()), carriedOver(known));
  await served.startService('collector');
  // One that became garbage before, or while nothing ran, is collected all the same.
  await waitFor(async () => !(await works('endpoint', 'ls')).includes('short'), { what: 'the collector' });
  assert.match(await works('events'), /EndpointSuspected/);
  await system.check();
  const { endpoints } = await document('sandbox', 'attach', 'c2', '--network', 'web');
  const held = [...(JSON.stringify(known.addresses).match(/10\.9\.1\.\d+/g) ?? [])];
  assert.equal(held.includes(String(endpoints[0].ipv4).split('/')[0] ?? ''), false, 'the address of nobody else');
  assert.match(await refusedWith('sandbox', 'attach', 'c3', '--network', 'web', '-p', '8080:80'), /^PORT_IN_USE/);
  await works('sandbox', 'detach', 'c1');
  await works('endpoint', 'rm', 'web', 'idle');
  await works('sandbox', 'attach', 'c3', '--network', 'web', '-p', '8080:80');
  await system.check();
});

test('what was before is not known any more, but where it is; who holds something since then is', async () => {
  const { position } = await document('network', 'ls');
  const [first] = [await (await stream('CNM_LOG')).first()];
  for (const words of [
    ['network', 'ls', '--as-of', '3'],
    ['network', 'ls', '--as-of', '2020-01-01T00:00:00Z'],
    ['diff', '2', String(position)],
    ['events', '--since', '3'],
    ['history', 'network', 'web', '--since', '2020-01-01T00:00:00Z'],
  ])
    assert.match(
      await refusedWith(...words),
      new RegExp(`^QUERY_POSITION_UNKNOWN: position \\d+ lies before ${first}, .*segment-1.ndjson, sha256 `),
      words.join(' '),
    );
  const rows = (await document('network', 'ls', '--as-of', String(first))).rows;
  assert.deepEqual(rows, known.networks);
  const [row] = (await document('ledger', 'address', '10.9.1.1')).rows;
  assert.ok(Number.parseInt(row.from.position, 10) < first, 'the gateway is held since before');
  assert.deepEqual([row.holderKind, row.from.command, row.from.actor], ['gateway', 'CreateNetwork', 'alice']);
  assert.ok((await document('history', 'sandbox', 'c1')).rows.length > 0);
  // Whoever names no time is told that this is not all.
  for (const words of [['events'], ['history', 'sandbox', 'c1'], ['ledger', 'address', '10.9.1.1']]) {
    const { exit, err } = await callCli(...words);
    assert.equal(exit, 0, err);
    assert.match(
      err,
      new RegExp(`^cnm: the log begins at position ${first}: what was before is in .*segment-1.ndjson `),
    );
  }
  assert.match(
    await refusedWith('ledger', 'address', '10.9.9.9'),
    /^cnm: the log begins at .*\nNOT_FOUND: nobody held/,
  );
  assert.equal((await callCli('history', 'sandbox', 'c1', '--since', String(first))).err, '');
});

test('a moment of the segment is had from its export alone: what was carried over stands there', async () => {
  const log = join(served.folder, 'now.ndjson');
  await works('audit', 'export', log);
  const opened = await openExport(log);
  const [first, last] = [await opened.first(), await opened.last()];
  assert.ok(first > 1);
  const { chunks } = segmentIn((await opened.get(first)) as Message) as SegmentData;
  const namesAt = async (position: number): Promise<readonly string[]> => {
    const moment = await Moment.open(opened, position);
    const [host, state] = [...moment.hosts()][0] ?? assert.fail('no host');
    assert.equal(host, 'h1');
    assert.equal(moment.position, Math.max(position, first + chunks));
    assert.ok(standing(state, deploymentOf(opened.header.realm, host, state)).length > 0);
    return [...state.networks.values()].map(({ facts }) => facts.name).sort();
  };
  const names = async (asOf: number): Promise<readonly string[]> =>
    (await document('network', 'ls', '--as-of', String(asOf))).rows.map(({ name }: { name: string }) => name).sort();
  for (const position of [first, first + chunks, last])
    assert.deepEqual(await namesAt(position), await names(position));
  await assert.rejects(Moment.open(opened, first - 1), { code: 'REPLAY_POSITION_UNKNOWN' });
  const cut = join(served.folder, 'cut.ndjson');
  await works('audit', 'export', cut, '--from', String(first + 1));
  await assert.rejects(Moment.open(await openExport(cut), last), { code: 'REPLAY_POSITION_UNKNOWN' });
});

test('commands that were decided before get the same answers again', async () => {
  assert.deepEqual(await repeatedAnswers(), answers);
});

test('the next segment is put away too, and an export of it is a whole log for an empty server', async () => {
  await stopAll();
  const second = join(served.folder, 'segment-2.ndjson');
  const before = await (await stream('CNM_LOG')).first();
  const copied = join(served.folder, 'copy.ndjson');
  // Ends with what the segment begins with: nothing was decided in it.
  const { first, chunks } = segmentIn((await (await stream('CNM_LOG')).get(before)) as Message) as SegmentData;
  await works('audit', 'export', copied, '--until', String(first + chunks));
  const decided = foldLog(await readWhole(await openExport(copied))).roundFrom;
  assert.ok(decided > 1);
  const put = await document('audit', 'segment', second, '--yes');
  assert.deepEqual([put.segment, put.first > before], [3, true]);
  assert.match(await works('audit', 'verify', second, '--key', join(served.folder, 'key.pem.pub')), /whole/);
  await startAll();
  await works('sandbox', 'detach', 'c3');
  await system.check();

  const other = await startNats();
  const { url } = served.nats;
  process.env.CNM_NATS_URL = other.url;
  try {
    await works('audit', 'import', copied);
    const imported = testStream(await other.connect(), 'CNM_LOG');
    assert.equal(await imported.first(), before);
    assert.match(await works('audit', 'verify'), /whole/);
    // Commands go on behind those that the state calls decided, which no commit of the segment names.
    const command = { subject: 'cnm.command.alice._', body: '{}', id: 'next' };
    const appended = await testStream(await other.connect(), 'CNM_COMMANDS').append(command);
    assert.deepEqual(appended, { kind: 'appended', position: decided + 1 });
    const made = await provision(await other.connect(), { sync: { kind: 'embedded' } as never });
    assert.equal(made.ok, true, JSON.stringify(made));
  } finally {
    process.env.CNM_NATS_URL = url;
    await other.stop();
  }
});

test('a changed state, a changed opening or another key is found', async () => {
  await stopAll();
  const path = join(served.folder, 'third.ndjson');
  await works('audit', 'export', path);
  const lines = readFileSync(path, 'utf8').split('\n');
  const chunk = lines.findIndex((line) => line.includes('"subject":"cnm.event.segment.1"'));
  const line = JSON.parse(lines[chunk] ?? '');
  const text = stateText(Buffer.from(line.body, 'base64'));
  assert.ok(text.includes('"web"'));
  const changed = { ...line, body: Buffer.from(packText(text.replace('"web"', '"wax"'))).toString('base64') };
  writeFileSync(path, lines.with(chunk, JSON.stringify(changed)).join('\n'));
  assert.match(
    await refusedWith('audit', 'verify', path),
    /altered: the state is not the one that the segment was opened with/,
  );
  await works('audit', 'keygen', join(served.folder, 'other.pem'));
  assert.match(
    await refusedWith('audit', 'verify', '--key', join(served.folder, 'other.pem.pub')),
    /signed with the key .*, which is none of those given/,
  );
  await startAll();
});

test('without its log, and with checkpoints of it, no server is begun anew', async () => {
  await stopAll();
  const connection = await served.nats.connect();
  await (await jetstreamManager(connection)).streams.delete('CNM_LOG');
  const made = await provision(connection, { sync: { kind: 'embedded' } as never });
  assert.deepEqual(made.ok ? [] : made.problems.map(({ code }) => code), ['HISTORY_LOST']);
});
