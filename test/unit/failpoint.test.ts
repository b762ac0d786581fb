// Failpoints: what is recorded, where a process ends, and that there is nothing of it when they are off.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { batchName } from '../../drivers/kernel/batch-name.ts';
import { NL } from '../../drivers/kernel/constants.ts';
import { around, failpoint, isFailpoint, reach } from '../../drivers/kernel/failpoint.ts';
import { getLinkByIndex, setLink } from '../../drivers/kernel/rtnetlink.ts';
import { MessageWriter } from '../../drivers/kernel/writer.ts';
import { readConfig } from '../../services/lib/config.ts';
import { failingAppends, failingCalls, failingReplies } from '../../services/lib/failpoints.ts';
import { memoryStream } from '../support/memory-stream.ts';

const folder = mkdtempSync(join(tmpdir(), 'cnm-failpoint-'));
after(() => rmSync(folder, { recursive: true }));

const record = (name: string): { readonly setting: string; readonly names: () => readonly string[] } => ({
  setting: `record:${join(folder, name)}`,
  names: () => readFileSync(join(folder, name), 'utf8').trim().split('\n'),
});

/** A process whose one thread has failpoints, as those of the kernel have, and makes a directory three times. */
const inThread = (setting: string, name: string) => {
  const source = `
    import { Worker } from 'node:worker_threads';
    const code = \`
      import { mkdir } from '${new URL('../../drivers/kernel/libc.ts', import.meta.url)}';
      for (const at of [0, 1, 2]) if (mkdir('${join(folder, name)}' + at, 0o755) < 0) throw new Error('not made');
    \`;
    const url = new URL('data:text/javascript,' + encodeURIComponent(code));
    new Worker(url, { workerData: { failpoint: { setting: '${setting}', who: 'kernel.setup' } }, execArgv: [] })
      .once('exit', () => console.log('the thread has ended'));
    setInterval(() => undefined, 1_000).unref();`;
  return spawnSync(process.execPath, ['--input-type=module', '--eval', source], { encoding: 'utf8' });
};

const exists = (name: string): boolean => spawnSync('test', ['-d', join(folder, name)]).status === 0;

test('failpoints: off, a call is the bare function', () => {
  const call = (): number => 1;
  assert.equal(reach, null);
  assert.equal(around('call', call), call);
  const stream = memoryStream('T', { nowMs: Date.now });
  assert.equal(failingAppends('worker', null)(stream), stream);
  assert.equal(failingReplies('controller', null, call), call);
  assert.equal(failingCalls('worker.plugin', null, stream), stream);
});

test('failpoints: a thread passes one before and one after each call', () => {
  const { setting, names } = record('mkdir');
  const { stdout, stderr } = inThread(setting, 'a');
  assert.equal(stdout, 'the thread has ended\n', stderr);
  const pair = ['kernel.setup.mkdir:before', 'kernel.setup.mkdir:after'];
  assert.deepEqual(names(), [...pair, ...pair, ...pair]);
});

test('failpoints: the whole process ends at the time that is asked for, before the call or after it', () => {
  for (const [when, made] of [
    ['before@2', [true, false, false]],
    ['after@2', [true, true, false]],
  ] as const) {
    const { signal, stdout } = inThread(`kill:kernel.setup.mkdir:${when}`, when);
    assert.deepEqual([signal, stdout], ['SIGKILL', '']);
    assert.deepEqual(
      [0, 1, 2].map((at) => exists(`${when}${at}`)),
      made,
    );
  }
});

test('failpoints: a setting is one of both or refused', () => {
  const good = ['record:/tmp/x', 'kill:worker.append.outcome:after@1', 'kill:kernel.setup.nft.NEWSETELEM:before@12'];
  const bad = ['', 'record:x', 'record:', 'kill:x', 'kill:x@0', 'kill:@1', 'kill:a b@1', 'stop:x@1'];
  assert.deepEqual(
    good.filter((text) => !isFailpoint(text)),
    [],
  );
  assert.deepEqual(bad.filter(isFailpoint), []);
  assert.throws(() => failpoint('kill:x'), /no failpoint/);
  const read = readConfig({ CNM_FAILPOINT: 'kill:x' });
  assert.deepEqual(read.ok ? [] : read.problems, ['CNM_FAILPOINT=kill:x: record:FILE, run:FILE or kill:NAME@N']);
});

test('failpoints: what is appended is called as its subject says, what is asked as its method', async () => {
  const { setting, names } = record('services');
  const stream = failingAppends('controller', setting)(memoryStream('T', { nowMs: Date.now }));
  const message = (subject: string) => ({ subject, body: '[]', id: subject });
  for (const subject of [
    'cnm.event.host.h1',
    'cnm.event.realm._',
    'cnm.outcome.h1',
    'cnm.command.me.h1',
    'cnm.lease.x',
  ])
    await stream.append(message(subject));
  await stream.appendAll([message('cnm.event.host.h2'), message('cnm.event.host.h3'), message('cnm.event.realm.n')]);
  assert.equal(await stream.last(), 8);
  failingReplies('controller', setting, () => undefined)('cnm.reply.me.1', '{}');
  const plugin = failingCalls('worker.plugin', setting, { name: 'weave', join: async (to: string) => `joined ${to}` });
  assert.deepEqual([plugin.name, await plugin.join('web')], ['weave', 'joined web']);
  const places = ['append.decision', 'append.realm', 'append.outcome', 'append.command', 'append.lease'];
  const all = [...places, 'append.decision+realm', 'reply'].map((place) => `controller.${place}`);
  assert.deepEqual(
    names(),
    [...all, 'worker.plugin.join'].flatMap((name) => [`${name}:before`, `${name}:after`]),
  );
});

test('failpoints: a batch is called after what it changes; one that only reads has no name', () => {
  const writer = new MessageWriter(4096);
  getLinkByIndex(writer.reset(), 1);
  assert.equal(batchName(NL.ROUTE, writer), null);
  setLink(writer, 1, { up: true });
  setLink(writer, 2, { up: true });
  getLinkByIndex(writer, 2);
  const name = batchName(NL.ROUTE, writer);
  assert.match(name ?? '', /^rtnetlink\.(NEW|SET)LINK$/);
  const nft = (type: number): void => {
    writer.begin(type, 0, 4);
    writer.end();
  };
  writer.reset();
  for (const type of [16, (10 << 8) | 12, (10 << 8) | 12, (10 << 8) | 14, 17]) nft(type);
  assert.equal(batchName(NL.NETFILTER, writer), 'nft.NEWSETELEM+DELSETELEM');
  writer.reset();
  nft((1 << 8) | 2);
  assert.equal(batchName(NL.NETFILTER, writer), 'conntrack.DELETE');
  writer.reset();
  nft((10 << 8) | 1);
  assert.equal(batchName(NL.NETFILTER, writer), null);
});

test('failpoints: a program that is told of each place is run there, and waited for', () => {
  const program = join(folder, 'program');
  writeFileSync(
    program,
    `#!/bin/sh\nif test -d ${join(folder, 'third0')}; then echo "$1 yes"; else echo "$1 no"; fi >> ${join(folder, 'told')}\n`,
  );
  chmodSync(program, 0o755);
  assert.ok(isFailpoint(`run:${program}`));
  assert.equal(inThread(`run:${program}`, 'third').status, 0);
  const told = readFileSync(join(folder, 'told'), 'utf8').trim().split('\n');
  assert.deepEqual(told.slice(0, 2), ['kernel.setup.mkdir:before no', 'kernel.setup.mkdir:after yes']);
  assert.equal(told.length, 6);
});
