/**
 * Whatever waits in memory has a limit with a name (docs/operations.md, Quotas and load). Each is driven over its edge here, or in the test that is
 * named beside it, and the numbers of the page are those that hold.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { gcPeriods } from '../../events/garbage.ts';
import { commandId } from '../../events/names.ts';
import { refuse } from '../../events/refusals.ts';
import { rangeWith, withRange } from '../../events/refused-ranges.ts';
import { emptyMemory } from '../../projections/event-filter.ts';
import { createCollector } from '../../services/collector/collector.ts';
import { Refusals } from '../../services/controller/refusals.ts';
import { systemClock } from '../../services/lib/clock.ts';
import type { Message, Stream } from '../../services/lib/stream.ts';
import { shareReads } from '../../services/nats/shared-reads.ts';
import { Deadline } from '../../services/plugins/deadline.ts';
import { Slots } from '../../services/plugins/slots.ts';
import { IN_FLIGHT_MAX } from '../../services/plugins/transport.ts';
import { EventFeed } from '../../services/projector/event-feed.ts';
import { createGate } from '../../services/projector/gate.ts';
import { READS_AT_ONCE_MAX, READS_WAITING_MAX } from '../../services/projector/projector.ts';
import { QueryFault } from '../../services/projector/query-fault.ts';
import { Waiters } from '../../services/projector/waiters.ts';
import { CollectorStage } from '../support/collector-stage.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { memoryStream } from '../support/memory-stream.ts';
import { staged } from '../support/stage.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';
import { silent, until } from '../support/world.ts';

/** What was let in, and what was not, of so many as the page says and one more; or the test that drives it. */
type Driven = { readonly by: string } | { readonly limit: string; readonly drive: () => Promise<void> };

const never = (): Promise<never> => new Promise(() => undefined);
const isBusy = (error: unknown): boolean => error instanceof QueryFault && error.code === 'QUERY_BUSY';
const code = (results: readonly PromiseSettledResult<unknown>[]): readonly boolean[] =>
  results.map((result) => result.status === 'rejected' && isBusy(result.reason));

/** Commits of decisions, as the sizes of their bodies and how many commands each decides. */
const commitsOf = (logged: readonly Message[]) =>
  logged
    .filter(({ subject }) => subject.startsWith('cnm.event.host.'))
    .map(({ body }) => {
      const events = JSON.parse(new TextDecoder().decode(body)) as readonly { readonly commandid: string }[];
      return { bytes: body.length, commands: new Set(events.map(({ commandid }) => commandid)).size };
    });

/** A kernel that answers nothing until it is let go, and counts what it was asked for at once. */
const heldKernel = () => {
  const kernel = memoryKernel(new MemoryMachine(), { realm, host });
  const gate = Promise.withResolvers<void>();
  const asked = { open: 0, most: 0, plans: [] as number[] };
  let isHeld = false;
  const apply: typeof kernel.apply = async (plans) => {
    if (!isHeld || plans.length === 0) return kernel.apply(plans);
    asked.open += 1;
    asked.most = Math.max(asked.most, asked.open);
    asked.plans.push(plans.length);
    const results = await kernel.apply(plans);
    await gate.promise;
    asked.open -= 1;
    return results;
  };
  return {
    kernel: { ...kernel, apply },
    asked,
    hold: () => {
      isHeld = true;
    },
    letGo: () => gate.resolve(),
  };
};

const limits: Readonly<Record<string, Driven>> = {
  laneLimits: { by: 'test/unit/lanes.test.ts' },
  queueLimits: { by: 'test/unit/lanes.test.ts' },
  pendingMax: { by: 'test/unit/client-busy.test.ts' },
  connectionsMax: { by: 'test/integration/dns-server.test.ts' },
  questionsMax: { by: 'test/integration/dns-server.test.ts' },
  perTurnMax: { by: 'test/unit/dns-questions.test.ts' },
  waitingMax: { by: 'test/unit/dns-questions.test.ts' },

  unansweredMax: {
    limit: '8,192',
    drive: async () => {
      const refusals = new Refusals();
      const sender = { actor: 'mallory', id: 'x', correlationid: 'x', type: 'CreateNetwork' };
      const refusal = refuse('RATE_LIMITED', 'too many');
      for (let sequence = 1; sequence < 8_192; sequence++) refusals.add({ ...sender, sequence }, refusal);
      assert.equal(refusals.isFull, false);
      refusals.add({ ...sender, sequence: 8_192 }, refusal);
      assert.equal(refusals.isFull, true);
      const [sum] = refusals.due(0);
      assert.equal(sum?.senders.length, 8_192);
      if (sum) refusals.recorded(sum, 1, 0);
      assert.equal(refusals.isFull, false, 'one is recorded');
    },
  },

  recordedBytesMax: { by: 'test/integration/controller-apart.test.ts' },
  sumsAtOnceMax: { by: 'test/integration/controller-apart.test.ts' },
  repeatsMax: { by: 'test/integration/controller-apart.test.ts' },
  REFUSED_ACTORS_MAX: { by: 'test/integration/refused-forgotten.test.ts' },
  rangesMax: {
    limit: '64 each',
    drive: async () => {
      const sum = { actor: 'mallory', code: 'RATE_LIMITED', detail: 'too many', count: 5 };
      let ranges: ReturnType<typeof withRange> = [];
      for (let n = 1; n <= 64; n++) ranges = withRange(ranges, { ...sum, first: 10 * n, last: 10 * n + 5 }, n);
      assert.equal(ranges.length, 64);
      assert.equal(rangeWith(ranges, 18), undefined, 'between the oldest two');
      ranges = withRange(ranges, { ...sum, first: 1_000, last: 1_005 }, 65);
      assert.equal(ranges.length, 64);
      assert.equal(rangeWith(ranges, 18)?.first, 10, 'the oldest two are one');
      assert.equal(rangeWith(ranges, 1_003)?.position, 65);
    },
  },

  commandBytesMax: {
    limit: '64 KiB',
    drive: () =>
      staged(async (stage) => {
        await stage.controller();
        for (const bytes of [65_536, 65_537]) {
          const id = commandId(systemClock.nowMs(), `large${bytes}`);
          const bare = JSON.stringify({ id, type: 'DeleteNetwork', data: { network: 'none' }, correlationid: '' });
          await stage.raw(bare.padEnd(bytes, ' '));
        }
        await stage.allDecided();
        assert.deepEqual(stage.codes(), ['COMMAND_MALFORMED', 'COMMAND_TOO_LARGE']);
      }),
  },

  roundCommandsMax: {
    limit: '16',
    drive: () =>
      staged(async (stage) => {
        for (let n = 0; n < 100; n++) await stage.send('CreateNetwork', { name: `n${n}` });
        await stage.controller();
        await stage.allDecided();
        const sizes = commitsOf(stage.logged).map(({ commands }) => commands);
        assert.equal(Math.max(...sizes), 16);
        assert.equal(
          sizes.reduce((sum, size) => sum + size, 0),
          100,
        );
      }),
  },

  commitBytesMax: {
    limit: '256 KiB',
    drive: () =>
      staged(async (stage) => {
        const labels = Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`l${n}`, 'x'.repeat(1_000)]));
        for (let n = 0; n < 32; n++) await stage.send('CreateNetwork', { name: `n${n}`, labels });
        await stage.controller();
        await stage.allDecided();
        const commits = commitsOf(stage.logged);
        assert.ok(
          commits.every(({ bytes }) => bytes <= 256 * 1024),
          commits.map(({ bytes }) => bytes).join(),
        );
        // Half of it is full: the next command begins a commit of its own.
        assert.equal(Math.max(...commits.map(({ commands }) => commands)), 3);
        assert.equal(stage.events('NetworkCreateRequested').length, 32);
      }),
  },

  batchUnitsMax: { limit: '16', drive: async () => assert.deepEqual((await batches()).plans.slice(0, 2), [16, 16]) },
  batchesMax: { limit: '2', drive: async () => assert.equal((await batches()).most, 2) },

  IN_FLIGHT_MAX: {
    limit: '16 a plugin',
    drive: async () => {
      const slots = new Slots(IN_FLIGHT_MAX);
      const clock = new FakeClock();
      let running = 0;
      const last = Promise.withResolvers<string>();
      const call = (ends: Promise<unknown>) =>
        slots.run(new Deadline(clock, 1_000, {}), async () => {
          running += 1;
          await ends;
          return 'done';
        });
      const calls = Array.from({ length: 16 }, (_, n) => call(n === 0 ? last.promise : never()));
      const [waiting, late] = [call(Promise.resolve()), call(Promise.resolve())];
      await turn();
      assert.equal(running, 16);
      last.resolve('');
      assert.deepEqual([await calls[0], await waiting], ['done', 'done'], 'one ends, and the next one has its turn');
      assert.equal(await late, 'done');
      assert.equal(running, 18);
    },
  },

  WAITERS_MAX: {
    limit: '10,000',
    drive: async () => {
      const waiters = new Waiters(new FakeClock());
      const wait = () => waiters.wait(7, 1_000, () => '1');
      const all = Array.from({ length: 10_000 }, wait);
      await assert.rejects(wait(), isBusy);
      waiters.release(7);
      assert.equal((await Promise.allSettled(all)).filter(({ status }) => status === 'fulfilled').length, 10_000);
      const again = wait();
      waiters.release(7);
      await again;
    },
  },

  READS_AT_ONCE_MAX: {
    limit: '2, and 32 waiting',
    drive: async () => {
      assert.deepEqual([READS_AT_ONCE_MAX, READS_WAITING_MAX], [2, 32]);
      const gate = createGate(READS_AT_ONCE_MAX, READS_WAITING_MAX);
      const end = Promise.withResolvers<void>();
      let [running, most] = [0, 0];
      const work = async () => {
        most = Math.max(most, ++running);
        await end.promise;
        running -= 1;
      };
      const asked = Promise.allSettled(Array.from({ length: 40 }, () => gate(work)));
      await turn();
      end.resolve();
      const busy = code(await asked);
      assert.deepEqual([busy.indexOf(true), busy.filter(Boolean).length], [34, 6]);
      assert.equal(most, 2);
    },
  },

  BUFFER_MAX: {
    limit: '4,096, 8 MiB',
    drive: async () => {
      // As few as make the bytes count, then so many that their number does.
      assert.equal(await readAhead(1_000, 64 * 1024), 128);
      assert.equal(await readAhead(5_000, 0), 4_096);
    },
  },

  keptMessagesMax: {
    limit: '1,024, 8 MiB',
    drive: async () => {
      assert.equal(await readsOf(1_024, 0), 1, 'whoever comes later takes what is kept');
      assert.equal(await readsOf(1_025, 0), 2, 'or reads for itself');
      assert.equal(await readsOf(128, 64 * 1024), 1);
      assert.equal(await readsOf(129, 64 * 1024), 2);
    },
  },

  publishedAtOnceMax: {
    limit: '64',
    drive: async () => {
      const stage = new CollectorStage();
      await stage.start();
      await stage.send('CreateNetwork', { name: 'web' });
      for (let n = 0; n < 100; n++) await stage.send('CreateEndpoint', { network: 'web', name: `e${n}` });
      const gate = Promise.withResolvers<void>();
      let open = 0;
      const commands: Stream = {
        ...stage.commands,
        append: async (message) => {
          open += 1;
          await gate.promise;
          return stage.commands.append(message);
        },
      };
      const { log, clock } = stage;
      const collector = createCollector({ realm: 'test', log, commands, clock, logger: silent, confirmMs: 5_000 });
      await collector.start();
      await stage.wait(gcPeriods.neverJoinedMs);
      assert.equal(open, 64);
      gate.resolve();
      await until(() => open >= 100, 'the rest is asked for');
      await collector.stop();
      await stage.controller?.stop();
    },
  },
};

/** 60 attaches for a kernel that is held: how many plans each call has, and how many calls there are at once. */
const batches = async () => {
  const { kernel, asked, hold, letGo } = heldKernel();
  const system = await new System({ ...memoryStreams(), kernel, runDir: '/run/cnm' }).start();
  await system.run('CreateNetwork', { name: 'web' });
  hold();
  const sent = Array.from({ length: 60 }, (_, n) =>
    system.send('AttachSandbox', { sandbox: `s${n}`, networks: [{ network: 'web' }] }),
  );
  await Promise.all(sent.map(({ first }) => first));
  for (let turns = 0; turns < 20; turns++) await turn();
  letGo();
  for (const { outcome } of sent) {
    const { status, fault } = await outcome;
    assert.equal(status, 'succeeded', fault?.text);
  }
  await system.stop();
  assert.ok(
    asked.plans.every((plans) => plans <= 16),
    asked.plans.join(),
  );
  return asked;
};

/** How many commits with one event of `bytes` are read for a watcher who takes none, of so many. */
const readAhead = async (count: number, bytes: number): Promise<number> => {
  const log = memoryStream('CNM_LOG');
  const meta = {
    specversion: '1.0',
    source: '/cnm/test/controller',
    subject: 'realm',
    time: new Date(0).toISOString(),
  };
  const own = { actor: '', commandid: '', correlationid: 'x', causationid: '' };
  for (let n = 1; n <= count; n++) {
    const event = { ...meta, ...own, id: `c${n}.0`, type: 'cnm.RealmOpened.v1', data: { realm: 'test', epoch: 'e' } };
    const body = JSON.stringify([event]);
    await log.append({ subject: 'cnm.event.realm._', body: body.padEnd(bytes, ' '), id: `c${n}` });
  }
  let read = 0;
  const counted: Stream = {
    ...log,
    read: (options, onMessage) =>
      log.read(options, (message) => {
        read += 1;
        onMessage(message);
      }),
  };
  const options = { filter: {}, memory: emptyMemory(), behind: { position: 0, index: 0 }, readFrom: 1 };
  const feed = new EventFeed(counted, { ...options, bufferMax: 4_096, passingEvery: null });
  for (let turns = 0; turns < 2 * count; turns++) await turn();
  await feed.close();
  return read;
};

/** How many reads of the server there are for two who read all of so many messages of that size. */
const readsOf = async (count: number, bytes: number): Promise<number> => {
  const memory = memoryStream('T');
  let reads = 0;
  const shared = shareReads({
    ...memory,
    read: (options, onMessage) => {
      reads += 1;
      return memory.read(options, onMessage);
    },
  }).keeping;
  for (let n = 0; n < count; n++) await memory.append({ subject: 't', body: ' '.repeat(bytes), id: String(n) });
  const seen = [0, 0];
  for (const at of [0, 1]) {
    const reader = shared.read({ from: 1 }, () => {
      seen[at] = (seen[at] ?? 0) + 1;
    });
    await reader.caughtUp;
  }
  assert.deepEqual(seen, [count, count]);
  return reads;
};

const page = readFileSync(join(import.meta.dirname, '../../docs/operations.md'), 'utf8');
const rows = page
  .slice(page.indexOf('Whatever waits in memory has a limit'), page.indexOf('## Metrics and alerts'))
  .split('\n')
  .filter((line) => /^\| .* \|$/.test(line))
  .slice(1);

/** Those that are driven with the one before them. */
const without = new Set(['keptBytesMax', 'BUFFER_BYTES_MAX', 'READS_WAITING_MAX']);

it('limits: each one that the page names is driven over its edge, and none beside', () => {
  const named = rows.flatMap((row) => [...(row.split('|')[2] ?? '').matchAll(/`(\w+)`/g)].map(([, name = '']) => name));
  assert.ok(named.length > 15, named.join());
  assert.deepEqual(
    named.filter((name) => !(name in limits) && !without.has(name)),
    [],
  );
  assert.deepEqual(
    Object.keys(limits).filter((name) => !named.includes(name)),
    [],
  );
});

for (const [name, driven] of Object.entries(limits)) {
  const row = rows.find((one) => one.includes(`\`${name}\``)) ?? '';
  if ('by' in driven)
    it(`limits: ${name} is driven in ${driven.by}`, () => {
      const text = readFileSync(join(import.meta.dirname, '../..', driven.by), 'utf8');
      assert.match(text, name === 'connectionsMax' ? /holds too many connections/ : new RegExp(name));
    });
  else
    it(`limits: ${name}, ${driven.limit}`, async () => {
      assert.ok(row.split('|')[3]?.includes(driven.limit), row);
      await driven.drive();
    });
}
