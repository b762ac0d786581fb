// Who goes first where processors are short: nice values and timer slack of everything that `cnm up` runs, as the kernel has them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { waitFor } from '../support/nats.ts';
import { inOwnNamespaces, sh } from '../support/netns.ts';
import { type Thread, threadsOf } from '../support/threads.ts';
import { makePlace } from './cli-harness.ts';

/** How late its timers may go off, nanoseconds. */
const slackOf = ({ id }: Thread): number => Number(readFileSync(`/proc/${id}/timerslack_ns`, 'utf8'));
const niceOf = ({ id }: Thread): number => getPriority(id);

const distinct = (numbers: readonly number[]): readonly number[] => [...new Set(numbers)].sort((a, b) => a - b);

if (inOwnNamespaces(import.meta.filename)) {
  const place = makePlace();
  after(() => place.remove());

  const serverPid = (): number => Number(readFileSync(join(place.env.CNM_DATA_DIR ?? '', 'nats.pid'), 'utf8'));

  const assertServerFirst = (pid: number): void => {
    const threads = threadsOf(pid);
    assert.equal(threads[0]?.name, 'nats-server');
    assert.deepEqual(distinct(threads.map(niceOf)), [-18]);
    assert.deepEqual(distinct(threads.map(slackOf)), [1_000_000]);
  };

  test('priority: of server, loop, threads of the kernel and of V8, also once the server has died', async () => {
    sh('ip link set lo up');
    const up = await place.up();
    const own = threadsOf(up.pid);
    const nicesOf = (name: string) => distinct(own.filter((thread) => thread.name === name).map(niceOf));
    assert.equal(getPriority(up.pid), -10, 'the loop');
    assert.deepEqual(nicesOf('V8Worker'), [-18]);
    // the reaper, the listener, who makes ahead, who sets up, who answers questions
    assert.deepEqual(nicesOf('WorkerThread'), [-18, -15, -5, 5, 10]);
    assert.deepEqual(distinct(own.map(slackOf)), [50_000], 'as late as the kernel has it');
    const first = serverPid();
    assertServerFirst(first);
    process.kill(first, 'SIGKILL');
    await waitFor(() => serverPid() !== first && place.cnm('network', 'ls').exit === 0, { what: 'another server' });
    assertServerFirst(serverPid());
    assert.equal(getPriority(up.pid), -10, 'the loop is as before');
    assert.equal(await up.end(), 0);
  });
}
