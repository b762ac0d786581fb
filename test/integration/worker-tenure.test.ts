// One worker per host: a second one is refused, a killed one is followed at once, another machine's only when it shows no sign of life.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '../../services/lib/clock.ts';
import { silentLogger } from '../../services/lib/logger.ts';
import { jetStream } from '../../services/nats/jetstream.ts';
import { STREAMS } from '../../services/nats/stream-config.ts';
import { provision } from '../../services/nats/streams.ts';
import { HostInUse, holdHost, type TenureOptions, workerLease } from '../../services/worker/tenure.ts';
import { memoryStream } from '../support/memory-stream.ts';
import { startNats, type TestNats } from '../support/nats.ts';

const folder = mkdtempSync(join(tmpdir(), 'cnm-tenure-'));
/** Nobody waits for so long: whoever gets a name with it, got it at once. */
const never = 3_600_000;

let nats: TestNats;
before(async () => {
  nats = await startNats();
});
after(async () => {
  await nats.stop();
  rmSync(folder, { recursive: true });
});

const optionsOf = (machine: string, timing: TenureOptions['timing'] = {}): TenureOptions => ({
  ...{ lockPath: join(folder, `${machine}.lock`), clock: systemClock, logger: silentLogger(), timing },
});

const refused = (pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof HostInUse, String(error));
  assert.equal(error.code, 'HOST_IN_USE');
  assert.match(error.message, pattern);
  return true;
};

test('tenure: a second worker on the same machine is refused at once, and gets the name when the first stops', async () => {
  const leases = memoryStream('L');
  const options = optionsOf('one', { takeoverMs: never });
  const first = await holdHost(leases, 'h1', options);
  await assert.rejects(holdHost(leases, 'h1', options), refused(new RegExp(`process ${process.pid} of this machine`)));
  await first.stop();
  const second = await holdHost(leases, 'h1', options);
  await second.stop();
});

test('tenure: on another machine it is refused by the first renewal that it sees, however long the takeover takes', async () => {
  const leases = memoryStream('L');
  const first = await holdHost(leases, 'h1', optionsOf('two', { renewMs: 50, takeoverMs: never }));
  const other = holdHost(leases, 'h1', optionsOf('three', { takeoverMs: never }));
  await assert.rejects(other, refused(new RegExp(`host h1 has a live worker: process ${process.pid} on `)));
  // what was refused leaves nothing behind
  await first.stop();
  await (await holdHost(leases, 'h1', optionsOf('three', { takeoverMs: never }))).stop();
  const holders = leases.stored().map(({ body }) => JSON.parse(new TextDecoder().decode(body)).holder.split('/')[0]);
  assert.equal(new Set(holders).size, 2);
});

test('tenure: of two machines that start at once one gets the name', async () => {
  const leases = memoryStream('L');
  const timing = { renewMs: 50, takeoverMs: never };
  const both = await Promise.allSettled(
    ['four', 'five'].map((machine) => holdHost(leases, 'h1', optionsOf(machine, timing))),
  );
  const held = both.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const reasons = both.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
  assert.equal(held.length, 1);
  refused(/host h1 has a live worker/)(reasons[0]);
  await held[0]?.stop();
});

test('tenure: a silent holder of which nothing is known is followed after the takeover time', async () => {
  const leases = memoryStream('L');
  const body = JSON.stringify({ holder: 'gone/elsewhere/7/x', term: 4 });
  await leases.append({ subject: `cnm.lease.${workerLease('h1')}`, body, id: 'a' });
  const tenure = await holdHost(leases, 'h1', optionsOf('six', { renewMs: 50, takeoverMs: 200 }));
  assert.equal(JSON.parse(new TextDecoder().decode(leases.stored()[1]?.body)).term, 5);
  await tenure.stop();
});

test('tenure: names do not clash, and one with dots is one token', async () => {
  const leases = memoryStream('L');
  const both = await Promise.all(['a.b', 'a'].map((host) => holdHost(leases, host, optionsOf(`seven-${host}`))));
  assert.deepEqual(
    leases
      .stored()
      .map(({ subject }) => subject)
      .sort(),
    ['cnm.lease.worker.a', 'cnm.lease.worker.a=2Eb'],
  );
  for (const one of both) await one.stop();
});

/** A process that holds h9 until it is killed. */
const holder = async (lockPath: string): Promise<ChildProcess> => {
  const root = join(import.meta.dirname, '../..');
  const script = `
    import { systemClock } from '${root}/services/lib/clock.ts';
    import { createLogger } from '${root}/services/lib/logger.ts';
    import { connectNats } from '${root}/services/nats/connection.ts';
    import { jetStream } from '${root}/services/nats/jetstream.ts';
    import { holdHost } from '${root}/services/worker/tenure.ts';
    const logger = createLogger('silent');
    const connection = await connectNats({ url: '${nats.url}', role: 'test', log: logger });
    await holdHost(jetStream(connection, 'CNM_LEASE'), 'h9', { lockPath: '${lockPath}', clock: systemClock, logger });
    console.log('held');`;
  const argv = ['--input-type=module', '-e', script];
  const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`ended with ${code}`)));
  });
  return child;
};

test('tenure: over a server, the successor of a killed worker is up at once', async () => {
  const connection = await nats.connect();
  await provision(connection, { sync: { kind: 'stated' } });
  const leases = jetStream(connection, STREAMS.lease);
  const options = optionsOf('eight', { takeoverMs: never });
  const child = await holder(options.lockPath);
  await assert.rejects(holdHost(leases, 'h9', options), refused(new RegExp(`process ${child.pid} of this machine`)));
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
  const tenure = await holdHost(leases, 'h9', options);
  await tenure.stop();
});
