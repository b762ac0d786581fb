// The embedded server: one per data directory, a port that stays, and life after kill -9.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { systemClock } from '../../services/lib/clock.ts';
import { findServerBinary } from '../../services/nats/binary.ts';
import { connectNats } from '../../services/nats/connection.ts';
import { NatsFault } from '../../services/nats/fault.ts';
import { jetStream } from '../../services/nats/jetstream.ts';
import { greeting } from '../../services/nats/ports.ts';
import { type EmbeddedServer, startServer } from '../../services/nats/server.ts';
import { serverSecret } from '../../services/nats/server-secret.ts';
import { provision } from '../../services/nats/streams.ts';
import { freePort, startNats, testServerBinary, testStream, waitFor } from '../support/nats.ts';

const log = pino({ level: 'silent' });
const binary = testServerBinary();
const failsWith = (code: string) => (error: unknown) => error instanceof NatsFault && error.code === code;

const tempDir = (t: TestContext): string => {
  const folder = mkdtempSync(join(tmpdir(), 'cnm-embedded-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
};
const start = async (t: TestContext, dataDir: string, port: number): Promise<EmbeddedServer> => {
  const server = await startServer({ binary, dataDir, port, log });
  t.after(() => server.stop());
  return server;
};

test('server: starts, is provisioned, keeps its port, and what was appended is there after a stop', async (t) => {
  const dataDir = tempDir(t);
  const port = await freePort();
  const server = await start(t, dataDir, port);
  assert.match(server.url, new RegExp(`^nats://cnm:[a-z0-9]{32}@127\\.0\\.0\\.1:${port}$`));
  const connection = await connectNats({ url: server.url, role: 'test', log });
  assert.equal((await provision(connection, { sync: { kind: 'embedded' } })).ok, true);
  assert.match(readFileSync(join(dataDir, 'nats.conf'), 'utf8'), /sync_interval: always/);
  await testStream(connection, 'CNM_LOG').append({ subject: 'cnm.event.host.a', body: 'x', id: '1', expectedLast: 0 });
  await connection.close();
  await server.stop();
  await server.closed;
  assert.equal(await greeting(port), null);
  // another port is asked for, the kept one counts
  const again = await start(t, dataDir, await freePort());
  assert.equal(again.port, port);
  const other = await connectNats({ url: again.url, role: 'test', log });
  assert.equal(await testStream(other, 'CNM_LOG').last(), 1);
  await other.close();
});

test('server: a second one on the same data directory is refused, naming the process', async (t) => {
  const dataDir = tempDir(t);
  const server = await start(t, dataDir, await freePort());
  await assert.rejects(
    () => startServer({ binary, dataDir, log }),
    (error: NatsFault) => {
      assert.match(error.message, new RegExp(`in use by process ${process.pid}`));
      return failsWith('DATA_DIR_IN_USE')(error);
    },
  );
  assert.ok(await greeting(server.port));
});

test('server: of many that start at once on a directory with a dead lock exactly one gets it', async (t) => {
  const dataDir = tempDir(t);
  writeFileSync(join(dataDir, 'cnm.lock'), JSON.stringify({ pid: 999_999_999, started: '1' }));
  const port = await freePort();
  const starts = await Promise.allSettled([1, 2, 3, 4].map(() => startServer({ binary, dataDir, port, log })));
  const started = starts.filter((one) => one.status === 'fulfilled').map(({ value }) => value);
  t.after(() => Promise.all(started.map((server) => server.stop())));
  assert.equal(started.length, 1);
});

test('server: killed, it comes back on the same port and connections resume', async (t) => {
  const server = await start(t, tempDir(t), await freePort());
  const connection = await connectNats({ url: server.url, role: 'test', log });
  t.after(() => connection.close());
  await provision(connection, { sync: { kind: 'embedded' } });
  const stream = jetStream(connection, 'CNM_LOG', { timeoutMs: 500 });
  const seen: number[] = [];
  const reader = stream.read({ from: 1 }, ({ position }) => seen.push(position));
  await reader.caughtUp;
  for (let kill = 1; kill <= 2; kill++) {
    const pid = server.pid();
    assert.ok(pid);
    process.kill(pid, 'SIGKILL');
    const message = { subject: 'cnm.event.host.a', body: '', id: `${kill}` };
    await waitFor(async () => (await stream.append(message)).kind === 'appended', { what: 'an append after the kill' });
    assert.notEqual(server.pid(), pid);
  }
  await waitFor(() => seen.length === 2, { what: 'both messages' });
  await reader.stop();
});

test('server: one that a killed cnm left behind is stopped first', async (t) => {
  const dataDir = tempDir(t);
  const port = await freePort();
  const program = `import { startServer } from ${JSON.stringify(join(import.meta.dirname, '../../services/nats/server.ts'))};
    import { pino } from 'pino';
    const server = await startServer({ binary: ${JSON.stringify(binary)}, dataDir: ${JSON.stringify(dataDir)}, port: ${port}, log: pino({ level: 'silent' }) });
    console.log(server.pid());`;
  const cnm = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: import.meta.dirname,
  });
  const orphan = await new Promise<number>((resolve) => cnm.stdout.once('data', (text) => resolve(Number(text))));
  const gone = new Promise((resolve) => cnm.once('exit', resolve));
  cnm.kill('SIGKILL');
  await gone;
  assert.ok(await greeting(port), 'the server outlives its parent');
  const server = await start(t, dataDir, port);
  assert.equal(server.port, port);
  // empty for what is left of a process that nobody has waited for
  const cmdline = `/proc/${orphan}/cmdline`;
  assert.equal(existsSync(cmdline) ? readFileSync(cmdline, 'utf8') : '', '');
});

test('server: where the preferred port is taken a free one is chosen and kept; a kept one that is taken is refused', async (t) => {
  const dataDir = tempDir(t);
  const taken = await freePort();
  const holder = createServer().listen(taken, '127.0.0.1');
  t.after(() => holder.close());
  const server = await start(t, dataDir, taken);
  assert.notEqual(server.port, taken);
  assert.equal(readFileSync(join(dataDir, 'nats.port'), 'utf8'), `${server.port}\n`);
  await server.stop();
  const thief = createServer().listen(server.port, '127.0.0.1');
  t.after(() => thief.close());
  await assert.rejects(() => startServer({ binary, dataDir, log }), failsWith('PORT_IN_USE'));
});

test('server: a program that does not run is reported with what it said', async (t) => {
  const dataDir = tempDir(t);
  const broken = join(dataDir, 'nats-server');
  writeFileSync(broken, '#!/bin/sh\necho no such luck >&2\nexit 3\n');
  chmodSync(broken, 0o755);
  const port = await freePort();
  await assert.rejects(
    () => startServer({ binary: broken, dataDir, port, log }),
    (error: NatsFault) => {
      assert.match(error.message, /no such luck/);
      return failsWith('SERVER_FAILED')(error);
    },
  );
  await assert.rejects(
    () => startServer({ binary: join(dataDir, 'none'), dataDir, port, log }),
    failsWith('SERVER_FAILED'),
  );
  // the lock was given back
  await start(t, dataDir, port);
});

test('server: the binary is found on PATH when new enough, else in the cache', (t) => {
  const folder = tempDir(t);
  const cacheDir = join(folder, 'cache');
  const program = (path: string, version: string): string => {
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, `#!/bin/sh\necho "nats-server: v${version}"\n`);
    chmodSync(path, 0o755);
    return path;
  };
  const nothing = findServerBinary({ searchPath: '', cacheDir });
  assert.ok(!nothing.ok);
  assert.equal(nothing.problems[0]?.code, 'SERVER_NOT_FOUND');
  program(join(folder, 'old/nats-server'), '2.9.10');
  const tooOld = findServerBinary({ searchPath: join(folder, 'old'), cacheDir });
  assert.ok(!tooOld.ok);
  assert.equal(tooOld.problems[0]?.code, 'SERVER_TOO_OLD');
  const cached = program(join(cacheDir, 'usr/sbin/nats-server'), '2.15.1');
  assert.deepEqual(findServerBinary({ searchPath: join(folder, 'old'), cacheDir }), {
    ok: true,
    path: cached,
    version: '2.15.1',
  });
  const newer = program(join(folder, 'new/nats-server'), '2.12.0');
  const searchPath = `${join(folder, 'old')}:${join(folder, 'new')}`;
  assert.deepEqual(findServerBinary({ searchPath, cacheDir }), { ok: true, path: newer, version: '2.12.0' });
});

test('connection: waits for a server that is not there yet, or gives up when told how long', async (t) => {
  const port = await freePort();
  const dataDir = tempDir(t);
  // by the password that it will have
  const secret = serverSecret(dataDir, systemClock);
  const url = `nats://cnm:${secret}@127.0.0.1:${port}`;
  await assert.rejects(() => connectNats({ url, role: 'test', log, waitMs: 600 }), failsWith('CONNECT_TIMEOUT'));
  const waiting = connectNats({ url, role: 'test', log });
  await start(t, dataDir, port);
  const connection = await waiting;
  assert.equal(connection.getServer(), `127.0.0.1:${port}`);
  await connection.close();
});

test('connection: refused credentials are told at once', async (t) => {
  const nats = await startNats({ config: 'authorization { user: u, password: p }' });
  t.after(() => nats.stop());
  await assert.rejects(() => connectNats({ url: nats.url, role: 'test', log }), failsWith('NOT_PERMITTED'));
  const connection = await connectNats({ url: nats.url.replace('//', '//u:p@'), role: 'test', log });
  await connection.close();
});
