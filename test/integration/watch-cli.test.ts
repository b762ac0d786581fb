// `cnm watch` as an integrator runs it: with a cursor in a file, ended and killed while things happen, and nothing is missed.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { decodeCommit } from '../../events/envelope.ts';
import { callCli } from '../support/called.ts';
import { cliStage } from '../support/cli-stage.ts';
import { readWhole } from '../support/log-checks.ts';
import { waitFor } from '../support/nats.ts';

const launcher = join(import.meta.dirname, '../../services/cli/cnm');

const stage = await cliStage();
const { streams, system, path } = stage;

before(async () => {
  await stage.answer();
  await system.run('CreateNetwork', { name: 'web', labels: { tier: 'front' } });
});
after(() => stage.stop());

interface Line {
  readonly kind?: string;
  readonly position: string | number;
  readonly rows?: readonly { readonly name: string }[];
}

interface Watcher {
  readonly child: ChildProcess;
  readonly lines: readonly Line[];
}

const watcher = (...words: string[]): Watcher => {
  const child = spawn(launcher, ['watch', '--json', ...words], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: Line[] = [];
  let rest = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const whole = (rest + text).split('\n');
    rest = whole.pop() ?? '';
    lines.push(...whole.map((line) => JSON.parse(line) as Line));
  });
  return { child, lines };
};

const ended = async ({ child }: Watcher, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
  const exit = once(child, 'exit');
  child.kill(signal);
  await exit;
};

/** Of all that is stored behind a position. */
const placesBehind = async (position: number): Promise<readonly string[]> =>
  (await readWhole(streams.log)).flatMap((message) =>
    message.position <= position
      ? []
      : decodeCommit(message.body, message.subject).map((_, index) => `${message.position}.${index}`),
  );

const attach = async (sandbox: string): Promise<void> => {
  await system.run('AttachSandbox', { sandbox, networks: [{ network: 'web' }] });
};

test('a watch with a cursor goes on where it was ended, and where it was killed at most repeats', async () => {
  const cursor = path('cursor');
  const first = watcher('networks', '--cursor', cursor);
  await waitFor(() => first.lines.length > 0, { what: 'the snapshot' });
  const [snapshot] = first.lines;
  assert.deepEqual([snapshot?.kind, snapshot?.rows?.map(({ name }) => name)], ['snapshot', ['web']]);
  const start = Number(snapshot?.position);
  await attach('a');
  const soFar = await placesBehind(start);
  await waitFor(() => first.lines.length > soFar.length, { what: 'what came' });
  await ended(first, 'SIGTERM');
  assert.deepEqual(
    first.lines.slice(1).map(({ position }) => position),
    soFar,
  );
  assert.equal((await readFile(cursor, 'utf8')).split('@')[0], soFar.at(-1));

  const seen: string[] = [...soFar];
  for (const [sandbox, signal] of [
    ['b', 'SIGKILL'],
    ['c', 'SIGKILL'],
    ['d', 'SIGTERM'],
  ] as const) {
    await attach(`${sandbox}-away`);
    const next = watcher('networks', '--cursor', cursor);
    await attach(sandbox);
    const places = await placesBehind(start);
    await waitFor(() => next.lines.some(({ position }) => position === places.at(-1)), { what: 'what came meanwhile' });
    await ended(next, signal);
    assert.ok(next.lines.every(({ kind }) => kind !== 'snapshot'));
    seen.push(...next.lines.map(({ position }) => String(position)));
  }
  assert.deepEqual(
    [...new Set(seen)].sort(
      (a, b) => Number(a.split('.')[0]) - Number(b.split('.')[0]) || Number(a.split('.')[1]) - Number(b.split('.')[1]),
    ),
    await placesBehind(start),
  );
});

test('a watch of a label shows what has it', async () => {
  const labelled = watcher('--label', 'tier=front', '--from', '0');
  await system.run('CreateNetwork', { name: 'back' });
  await system.run('UpdateNetwork', { network: 'web', labels: {} });
  await waitFor(() => labelled.lines.length >= 3, { what: 'three events' });
  await ended(labelled, 'SIGTERM');
  const types = labelled.lines.map((line) => String((line as unknown as { type: string }).type).split('.')[1]);
  assert.deepEqual(types, ['NetworkCreateRequested', 'NetworkCreated', 'NetworkUpdateRequested']);
});

test('for people a line says what happened, and who asked for it, marked where nobody vouches for him', async () => {
  const child = spawn(launcher, ['watch', 'networks', '--type', 'NetworkCreated'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  await waitFor(() => said.includes('networks\n'), { what: 'the snapshot' });
  await system.run('CreateNetwork', { name: 'shown' });
  await waitFor(() => said.includes('shown'), { what: 'the event' });
  const exit = once(child, 'exit');
  child.kill('SIGINT');
  assert.deepEqual(await exit, [0, null]);
  assert.match(
    said,
    /^\d+: 2 networks\n\{"id".*\n\{"id".*\n\d+\.0 +\S+ \S+ +NetworkCreated +network shown +by tester \(claimed\)\n$/,
  );
});

test('what cannot be watched is refused', async () => {
  await writeFile(path('junk'), 'hello\n');
  await writeFile(path('other'), '1.0@nobody\n');
  const last = await streams.log.last();
  const refusals: readonly (readonly [exit: number, said: RegExp, words: readonly string[]])[] = [
    [2, /no view nonsense: there are networks/, ['nonsense']],
    [2, /sandboxes have no labels/, ['sandboxes', '--label', 'a']],
    [2, /no event types: Nonsense/, ['--type', 'Nonsense']],
    [2, /--from: x is no position/, ['--from', 'x']],
    [1, /CURSOR_UNUSABLE: .*junk: hello is no cursor/, ['--cursor', path('junk')]],
    [1, /CURSOR_UNUSABLE: the cursor cannot be kept: ENOENT/, ['--cursor', path('none/cursor')]],
    [1, /QUERY_POSITION_UNKNOWN: the log ends at position/, ['--from', String(last + 5)]],
    [1, /QUERY_POSITION_UNKNOWN: another log than the one watched before/, ['--cursor', path('other')]],
  ];
  for (const [exit, said, words] of refusals) {
    const called = await callCli('watch', ...words);
    assert.equal(called.exit, exit, called.err);
    assert.match(called.err, said);
  }
});

test('a cursor moves on with what passes nobody: so much is not read again', async () => {
  const cursor = path('rare');
  const start = await streams.log.last();
  for (let batch = 0; batch < 11; batch++)
    await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        // Commits without events are commits all the same.
        streams.log.append({ subject: 'cnm.outcome.elsewhere', body: '[]', id: `empty-${batch}-${n}` }),
      ),
    );
  const rare = watcher('--type', 'NetworkDeleted', '--from', String(start), '--cursor', cursor);
  const placeOf = async (): Promise<number> => Number.parseInt(await readFile(cursor, 'utf8').catch(() => '0'), 10);
  await waitFor(async () => (await placeOf()) === start + 1_000, { what: 'the place behind a thousand commits' });
  await ended(rare, 'SIGKILL');
  assert.deepEqual(rare.lines, []);
  await system.run('CreateNetwork', { name: 'rare' });
  await system.run('DeleteNetwork', { network: 'rare' });
  const again = watcher('--type', 'NetworkDeleted', '--cursor', cursor);
  await waitFor(() => again.lines.length > 0, { what: 'what came' });
  await ended(again, 'SIGTERM');
  assert.equal(again.lines.length, 1);
});
