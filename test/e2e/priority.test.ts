// Who goes first where processors are short: nice values and timer slack of everything that `cnm up` runs, as the kernel has them.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { waitFor } from '../support/nats.ts';
import { inOwnNamespaces, sh } from '../support/netns.ts';
import { makePlace } from './cli-harness.ts';

interface Thread {
  readonly id: number;
  readonly name: string;
  readonly nice: number;
  /** Nanoseconds. */
  readonly slack: number;
}

/** proc_pid_stat(5), behind the name, which may hold anything: nice is field 19. */
const threadsOf = (pid: number): readonly Thread[] =>
  readdirSync(`/proc/${pid}/task`).map((id) => {
    const stat = readFileSync(`/proc/${pid}/task/${id}/stat`, 'utf8');
    const end = stat.lastIndexOf(')');
    return {
      id: Number(id),
      name: stat.slice(stat.indexOf('(') + 1, end),
      nice: Number(stat.slice(end + 2).split(' ')[16]),
      slack: Number(readFileSync(`/proc/${id}/timerslack_ns`, 'utf8')),
    };
  });

const distinct = (numbers: readonly number[]): readonly number[] => [...new Set(numbers)].sort((a, b) => a - b);

if (inOwnNamespaces(import.meta.filename)) {
  const place = makePlace();
  after(() => place.remove());

  const serverPid = (): number => Number(readFileSync(join(place.env.CNM_DATA_DIR ?? '', 'nats.pid'), 'utf8'));

  const assertServerFirst = (pid: number): void => {
    const threads = threadsOf(pid);
    assert.equal(threads[0]?.name, 'nats-server');
    assert.deepEqual(distinct(threads.map(({ nice }) => nice)), [-18]);
    assert.deepEqual(distinct(threads.map(({ slack }) => slack)), [1_000_000]);
  };

  test('priority: of server, loop, threads of the kernel and of V8, also once the server has died', async () => {
    sh('ip link set lo up');
    const up = await place.up();
    const own = threadsOf(up.pid);
    const niceOf = (name: string) => distinct(own.filter((thread) => thread.name === name).map(({ nice }) => nice));
    assert.equal(own.find(({ id }) => id === up.pid)?.nice, -10, 'the loop');
    assert.deepEqual(niceOf('V8Worker'), [-18]);
    // the reaper, the listener, who makes ahead, who sets up, who answers questions
    assert.deepEqual(niceOf('WorkerThread'), [-18, -15, -5, 5, 10]);
    assert.deepEqual(distinct(own.map(({ slack }) => slack)), [50_000], 'as late as the kernel has it');
    const first = serverPid();
    assertServerFirst(first);
    process.kill(first, 'SIGKILL');
    await waitFor(() => serverPid() !== first && place.cnm('network', 'ls').exit === 0, { what: 'another server' });
    assertServerFirst(serverPid());
    assert.equal(threadsOf(up.pid).find(({ id }) => id === up.pid)?.nice, -10, 'the loop is as before');
    assert.equal(await up.end(), 0);
  });
}
