// Watchers that are away or killed while the log goes on: what they have seen in the end is what the log holds, on a real nats-server.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { pino } from 'pino';
import { encodeCommit } from '../../events/envelope.ts';
import { Labelled } from '../../projections/labelled.ts';
import { originOf } from '../../projections/origin.ts';
import { LINES_AHEAD_MAX } from '../../services/cli/cursor-file.ts';
import { type Client, connect } from '../../services/client/index.ts';
import { systemClock } from '../../services/lib/clock.ts';
import type { Stream } from '../../services/lib/stream.ts';
import { connectNats } from '../../services/nats/connection.ts';
import { jetStream } from '../../services/nats/jetstream.ts';
import { STREAMS } from '../../services/nats/stream-config.ts';
import { provision } from '../../services/nats/streams.ts';
import { createProjector, type Projector } from '../../services/projector/projector.ts';
import { serveQueries } from '../../services/projector/serve.ts';
import type { WatchItem, WatchOptions } from '../../services/projector/watch.ts';
import { startNats, type TestNats, waitFor } from '../support/nats.ts';
import { someHistory } from '../support/some-history.ts';

const logger = pino({ level: 'silent' });
const launcher = join(import.meta.dirname, '../../services/cli/cnm');
const bareWatch = join(import.meta.dirname, '../e2e/bare-watch.py');

const FIRST = 1_000;
const AWAY = 20_000;
const commits = someHistory(FIRST + AWAY + 3_000);
/** The watchers that are killed begin behind this one. */
const BEGUN = 18_000;
const kills = 20;

/** As docs/protocol.md has them. */
const permissions = {
  watcher: `publish: [
    "cnm.query.*", "$JS.API.STREAM.INFO.CNM_LOG", "$JS.API.STREAM.MSG.GET.CNM_LOG", "$JS.API.CONSUMER.CREATE.CNM_LOG",
    "$JS.API.CONSUMER.CREATE.CNM_LOG.>", "$JS.API.CONSUMER.MSG.NEXT.CNM_LOG.>", "$JS.API.CONSUMER.DELETE.CNM_LOG.>",
  ], subscribe: ["_INBOX_watcher.>", "cnm.reply.watcher.*"]`,
  ordered: `publish: ["$JS.API.CONSUMER.CREATE.CNM_LOG.>", "$JS.API.CONSUMER.MSG.NEXT.CNM_LOG.>"], subscribe: ["_INBOX.>"]`,
  durable: `publish: [
    "$JS.API.CONSUMER.CREATE.CNM_LOG.shop", "$JS.API.CONSUMER.INFO.CNM_LOG.shop", "$JS.API.CONSUMER.MSG.NEXT.CNM_LOG.shop",
    "$JS.ACK.CNM_LOG.shop.>",
  ], subscribe: ["_INBOX.>"]`,
};
const users = Object.entries(permissions).map(
  ([name, text]) => `{ user: ${name}, password: pw, permissions: { ${text} } }`,
);

let nats: TestNats;
let connection: NatsConnection;
let log: Stream;
let projector: Projector;
let client: Client;
let folder: string;
let stored = 0;

const urlOf = (user: string): string => nats.url.replace('nats://', `nats://${user}:pw@`);

/** Appends up to a position, many at once. */
const grow = async (until: number): Promise<void> => {
  while (stored < until) {
    const batch = commits.slice(stored, Math.min(until, stored + 500));
    const sending = batch.map(({ subject, position, events }) =>
      log.append({ subject, body: encodeCommit(events), id: `c${position}` }),
    );
    for (const [index, appended] of (await Promise.all(sending)).entries())
      assert.deepEqual(appended, { kind: 'appended', position: stored + index + 1 });
    stored += batch.length;
  }
};

interface Selection {
  readonly host?: string;
  readonly label?: readonly string[];
}

/** Positions of all events that pass, up to a commit. */
const selection = ({ host, label }: Selection, until: number): readonly string[] => {
  const labelled = label === undefined ? null : new Labelled(label);
  return commits.slice(0, until).flatMap(({ subject, position, events }) =>
    events.flatMap((event, index) => {
      const passes = labelled?.concerns(event) ?? true;
      return passes && (host === undefined || originOf(subject).host === host) ? [`${position}.${index}`] : [];
    }),
  );
};

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cnm-watch-'));
  // What is stored is thrown away with the server: nothing here waits for the disk.
  const config = `authorization: { users: [{ user: all, password: pw }, ${users.join(', ')}] }`;
  nats = await startNats({ sync: '"2m"', config });
  connection = await connectNats({ url: urlOf('all'), role: 'projector', log: logger });
  assert.ok((await provision(connection, { sync: { kind: 'stated' } })).ok);
  log = jetStream(connection, STREAMS.log);
  await grow(FIRST);
  projector = createProjector({ log, clock: systemClock, logger });
  serveQueries(connection, projector, logger, { version: '0.0.0', realm: 'test' });
  await projector.caughtUp;
  client = await connect({ url: urlOf('watcher'), actor: 'watcher' });
});
after(async () => {
  await client.close();
  await projector.stop();
  await connection.close();
  await nats.stop();
  rmSync(folder, { recursive: true });
});

/** The next events of a watch, as positions. */
const take = async (items: AsyncIterableIterator<WatchItem>, count: number): Promise<readonly WatchItem[]> => {
  const taken: WatchItem[] = [];
  while (taken.length < count) {
    const { done, value } = await items.next();
    assert.ok(!done, 'the watch ended');
    taken.push(value);
  }
  return taken;
};

const positionsOf = (items: readonly WatchItem[]): readonly (string | number)[] =>
  items.map(({ position }) => position);

/** A bare client until it ends: the positions of what it told, and its exit code. */
const bare = async (mode: 'ordered' | 'durable', most: number): Promise<{ told: readonly string[]; exit: number }> => {
  const place = mode === 'ordered' ? join(folder, 'position') : 'shop';
  const { hostname, port } = new URL(nats.url);
  const filters = ['cnm.event.host.h1', 'cnm.outcome.h1'];
  const words = [bareWatch, hostname, port, mode, 'pw', mode, place, String(most), ...filters];
  const child = spawn('python3', words, { stdio: ['ignore', 'pipe', 'inherit'] });
  const told: string[] = [];
  for await (const line of createInterface(child.stdout)) told.push(JSON.parse(line).position);
  const exit = child.exitCode ?? (await new Promise<number>((resolve) => child.once('exit', resolve)));
  return { told, exit };
};

const labels: WatchOptions = { label: ['tier=1', 'team'] };
const before20: { cursor: string; seen: (string | number)[] }[] = [];
const bareTold: Record<'ordered' | 'durable', string[]> = { ordered: [], durable: [] };

test('watch: watchers that read a little, and go away', async () => {
  for (const options of [{}, labels, { host: 'h2' }] satisfies WatchOptions[]) {
    const items = client.watch({ ...options, from: 0 });
    const taken = await take(items, 30);
    await items.return?.();
    before20.push({ cursor: taken.at(-1)?.cursor ?? '', seen: [...positionsOf(taken)] });
  }
  for (const mode of ['ordered', 'durable'] as const) {
    const { told, exit } = await bare(mode, 200);
    assert.equal(exit, 9);
    bareTold[mode].push(...told);
  }
  await grow(FIRST + AWAY);
});

test('watch: away while 20,000 commits go by, a client misses nothing', async () => {
  for (const [index, options] of [{}, { label: ['tier=1', 'team'] }, { host: 'h2' }].entries()) {
    const { cursor, seen } = before20[index] ?? assert.fail();
    const expected = selection(options, FIRST + AWAY);
    const items = client.watch({ ...options, from: cursor });
    seen.push(...positionsOf(await take(items, expected.length - seen.length)));
    await items.return?.();
    assert.deepEqual(seen, expected);
  }
});

for (const mode of ['ordered', 'durable'] as const)
  test(`watch: away while 20,000 commits go by, a bare client misses nothing (${mode})`, async () => {
    const expected = selection({ host: 'h1' }, FIRST + AWAY);
    const { told, exit } = await bare(mode, 0);
    assert.equal(exit, 0);
    // It had died behind telling a commit, and before it said so.
    const dying = bareTold[mode].filter((position) => position.split('.')[0] === bareTold[mode].at(-1)?.split('.')[0]);
    assert.deepEqual(told.slice(0, dying.length), dying);
    assert.deepEqual([...bareTold[mode], ...told.slice(dying.length)], expected);
  });

/** Counts the consumers of the log that come from here on. */
const newConsumers = async (): Promise<() => Promise<number>> => {
  const manager = await jetstreamManager(connection);
  const consumers = async (): Promise<readonly string[]> => {
    const names: string[] = [];
    for await (const { name } of manager.consumers.list(STREAMS.log)) names.push(name);
    return names;
  };
  const others = await consumers();
  return async () => (await consumers()).filter((name) => !others.includes(name)).length;
};

test('watch: for a caller who takes nothing the server keeps nothing either', async () => {
  const own = await newConsumers();
  const items = client.watch({ from: 0, bufferMax: 100 });
  const [first] = await take(items, 1);
  assert.equal(first?.position, '1.0');
  await waitFor(async () => (await own()) === 0, { what: 'the consumer of the watch to go', timeoutMs: 20_000 });
  const expected = selection({}, 3_000);
  assert.deepEqual(positionsOf([first, ...(await take(items, expected.length - 1))]), expected);
  await items.return?.();
});

const env = (): NodeJS.ProcessEnv => {
  const { PATH } = process.env;
  return { PATH, HOME: folder, CNM_NATS_URL: urlOf('watcher'), CNM_ACTOR: 'watcher' };
};

test('cnm watch: where nobody reads what it prints, it stops reading too, and goes on with him', async () => {
  const own = await newConsumers();
  const words = ['watch', '--json', '--from', '0'];
  const child = spawn(launcher, words, { env: env(), stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = new Promise((resolve) => child.once('exit', resolve));
  await new Promise((resolve) => child.stdout.once('readable', resolve));
  await waitFor(async () => (await own()) === 0, { what: 'its consumer to go', timeoutMs: 20_000 });
  const expected = selection({}, stored);
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
  assert.equal(rows.length, selection({}, stored).length);
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
  const until = commits.length;
  const growing = (async () => {
    for (let position = stored + 150; stored < until; position += 150) {
      await grow(Math.min(until, position));
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  })();
  const expected = selection({ host: 'h1' }, until).filter((position) => Number.parseInt(position, 10) > BEGUN);
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
