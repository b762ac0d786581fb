// Watchers as processes: bare clients that are away, and `cnm watch` killed again and again while the log goes on.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { LINES_AHEAD_MAX } from '../../services/cli/cursor-file.ts';
import { waitFor } from '../support/nats.ts';
import { WatchedLog } from '../support/watched-log.ts';
import { launcher } from './cli-harness.ts';

const bareWatch = join(import.meta.dirname, 'bare-watch.py');

const FIRST = 1_000;
const AWAY = 20_000;
const LENGTH = FIRST + AWAY + 3_000;
/** The watchers that are killed begin behind this one. */
const BEGUN = 18_000;
const kills = 20;

let log: WatchedLog;
let folder: string;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cnm-watch-'));
  log = await WatchedLog.start(LENGTH);
  await log.grow(FIRST);
});
after(async () => {
  await log.stop();
  rmSync(folder, { recursive: true });
});

const modes = ['ordered', 'durable'] as const;
type Mode = (typeof modes)[number];

/** A bare client until it ends: the positions of what it told, and its exit code. */
const bare = async (mode: Mode, most: number): Promise<{ told: readonly string[]; exit: number }> => {
  const place = mode === 'ordered' ? join(folder, 'position') : 'shop';
  const { hostname, port } = new URL(log.urlOf(mode));
  const filters = ['cnm.event.host.h1', 'cnm.outcome.h1'];
  const words = [bareWatch, hostname, port, mode, 'pw', mode, place, String(most), ...filters];
  const child = spawn('python3', words, { stdio: ['ignore', 'pipe', 'inherit'] });
  const told: string[] = [];
  for await (const line of createInterface(child.stdout)) told.push(JSON.parse(line).position);
  const exit = child.exitCode ?? (await new Promise<number>((resolve) => child.once('exit', resolve)));
  return { told, exit };
};

const toldBefore = new Map<Mode, readonly string[]>();

test('watch: bare clients that read a little, and die', async () => {
  for (const mode of modes) {
    const { told, exit } = await bare(mode, 200);
    assert.equal(exit, 9);
    toldBefore.set(mode, told);
  }
  await log.grow(FIRST + AWAY);
});

for (const mode of modes)
  test(`watch: away while 20,000 commits go by, a bare client misses nothing (${mode})`, async () => {
    const expected = log.selection({ host: 'h1' }, FIRST + AWAY);
    const earlier = toldBefore.get(mode) ?? assert.fail();
    const { told, exit } = await bare(mode, 0);
    assert.equal(exit, 0);
    // It had died behind telling a commit, and before it said so.
    const last = earlier.at(-1)?.split('.')[0];
    const again = earlier.filter((position) => position.split('.')[0] === last);
    assert.deepEqual(told.slice(0, again.length), again);
    assert.deepEqual([...earlier, ...told.slice(again.length)], expected);
  });

const env = (): NodeJS.ProcessEnv => {
  const { PATH } = process.env;
  return { PATH, HOME: folder, CNM_NATS_URL: log.urlOf('watcher'), CNM_ACTOR: 'watcher' };
};

test('cnm watch: where nobody reads what it prints, it stops reading too, and goes on with him', async () => {
  const own = await log.newConsumers();
  const words = ['watch', '--json', '--from', '0'];
  const child = spawn(launcher, words, { env: env(), stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = new Promise((resolve) => child.once('exit', resolve));
  await new Promise((resolve) => child.stdout.once('readable', resolve));
  await waitFor(async () => (await own()) === 0, { what: 'its consumer to go', timeoutMs: 20_000 });
  const expected = log.selection({}, log.stored);
  const told: string[] = [];
  for await (const line of createInterface(child.stdout)) {
    if (told.length < expected.length) told.push(String(JSON.parse(line).position));
    if (told.length === expected.length) child.kill('SIGTERM');
  }
  assert.deepEqual(told, expected);
  assert.equal(await exit, 0);
});

test('cnm: what does not fit into a pipe is printed all the same', async () => {
  const child = spawn(launcher, ['events', '--json'], { env: env(), stdio: ['ignore', 'pipe', 'inherit'] });
  // Nobody reads until there is something to read, and the pipe holds no more than its 64 KB or so.
  await new Promise((resolve) => child.stdout.once('readable', resolve));
  const chunks: Buffer[] = [];
  for await (const chunk of child.stdout) chunks.push(chunk);
  const { rows } = JSON.parse(Buffer.concat(chunks).toString());
  assert.equal(rows.length, log.selection({}, log.stored).length);
});

/** `cnm watch` until it has told so many lines; then it is killed, and what is left in the pipe is read too. */
const watchUntil = async (file: string, most: number): Promise<readonly string[]> => {
  const words = ['watch', '--json', '--host', 'h1', '--from', String(BEGUN), '--cursor', file];
  const child = spawn(launcher, words, { env: env(), stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  for await (const line of createInterface(child.stdout)) {
    // The kill may have cut the last one.
    if (line.endsWith('}')) lines.push(String(JSON.parse(line).position));
    if (lines.length === most) child.kill('SIGKILL');
  }
  return lines;
};

test(`watch: killed ${kills} times while the log goes on, it has told everything, and little of it twice`, async () => {
  const file = join(folder, 'cursor');
  const until = LENGTH;
  const growing = (async () => {
    for (let position = log.stored + 150; log.stored < until; position += 150) {
      await log.grow(Math.min(until, position));
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  })();
  const expected = log.selection({ host: 'h1' }, until).filter((position) => Number.parseInt(position, 10) > BEGUN);
  const places = new Map(expected.map((position, index) => [position, index]));
  let next = 0;
  let again = 0;
  const check = (lines: readonly string[]): void => {
    const first = places.get(lines[0] ?? '') ?? assert.fail('not of this selection');
    assert.ok(first <= next, `a gap: ${first} follows ${next}`);
    assert.ok(next - first <= LINES_AHEAD_MAX, `${next - first} lines again`);
    assert.deepEqual(lines, expected.slice(first, first + lines.length));
    again += next - first;
    next = first + lines.length;
  };
  for (let kill = 0; kill < kills; kill++) {
    const most = 1 + Math.floor(((kill * 0.618034) % 1) * 600);
    assert.ok(next < expected.length, `all of it was told with ${kill} kills`);
    check(await watchUntil(file, Math.min(most, expected.length - next)));
  }
  await growing;
  while (next < expected.length) check(await watchUntil(file, expected.length - next));
  assert.ok(again > 0);
});
