// Files that a process was writing when it ended go with the next one that writes there; what somebody still writes stays.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { systemClock } from '../../services/lib/clock.ts';
import { removeLeftovers } from '../../services/lib/leftovers.ts';
import { lockFile } from '../../services/lib/lock-file.ts';
import { SnapshotFolder } from '../../services/projector/snapshot-folder.ts';
import { announce } from '../../services/up/state-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'cnm-leftovers-'));
after(() => rmSync(folder, { recursive: true }));

/** Of a process that has ended. */
const deadPid = spawnSync('true').pid;

const place = (name: string, ...files: readonly string[]): string => {
  const directory = join(folder, name);
  mkdirSync(directory, { recursive: true });
  for (const file of files) writeFileSync(join(directory, file), '');
  return directory;
};

test('leftovers: only those of processes that are dead, and only beside this file', () => {
  const kept = [`lock.${process.pid}`, 'lock.1', 'lock.x', `lock.0${deadPid}`, `other.${deadPid}`, 'lock'];
  const directory = place('names', `lock.${deadPid}`, ...kept);
  removeLeftovers(join(directory, 'lock'));
  assert.deepEqual(readdirSync(directory).sort(), [...kept].sort());
  removeLeftovers(join(folder, 'nowhere/lock'));
});

test('leftovers: a lock and a state file are written over those of a process that was killed', async () => {
  const directory = place('run', `h1.lock.${deadPid}`, `r-h1.json.${deadPid}`);
  const lock = await lockFile(join(directory, 'h1.lock'), systemClock);
  const withdraw = announce({ runDir: directory, realm: 'r', host: 'h1', rootless: false }, 'nats://127.0.0.1:4222');
  assert.deepEqual(readdirSync(directory).sort(), ['h1.lock', 'r-h1.json']);
  withdraw();
  lock.release();
  assert.deepEqual(readdirSync(directory), []);
});

test('leftovers: a snapshot that was never finished goes with the next that is, one that is being written stays', async () => {
  const directory = place('snapshots/epoch-code', '7.zst.dead', '8.zst.live');
  const past = new Date(Date.now() - 3_600_000);
  utimesSync(join(directory, '7.zst.dead'), past, past);
  const snapshots = new SnapshotFolder(join(folder, 'snapshots'), 'epoch', 'code');
  await snapshots.write(9, new Uint8Array(1), 'mine');
  assert.deepEqual(readdirSync(directory).sort(), ['8.zst.live', '9.zst']);
});
