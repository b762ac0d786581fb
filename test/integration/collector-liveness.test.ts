// Collectors that look whether workers are alive: beside a real controller on streams in memory, by a clock that the test moves.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeCommit } from '../../events/envelope.ts';
import { applyCommit, createViews } from '../../projections/views.ts';
import { type Collector, createCollector } from '../../services/collector/collector.ts';
import type { Clock } from '../../services/lib/clock.ts';
import type { Message, ReadOptions, Stream } from '../../services/lib/stream.ts';
import { type MemoryStream, memoryStream } from '../support/memory-stream.ts';
import { type Answered, eventsOn, FakeClock, Reporter, silent, startController, turn } from '../support/world.ts';

class Stage {
  readonly clock = new FakeClock();
  readonly log: MemoryStream = this.#stream('LOG');
  readonly commands: MemoryStream = this.#stream('COMMANDS');
  readonly leases: MemoryStream = this.#stream('LEASE');
  readonly reporter = new Reporter(this.log, this.clock, 'h.1');
  readonly answers: Answered[] = [];
  #serial = 0;

  #stream(name: string): MemoryStream {
    return memoryStream(name, { nowMs: () => this.clock.nowMs() });
  }

  async start(controllerClock: Clock = this.clock): Promise<void> {
    await this.reporter.start();
    const controller = startController(this, controllerClock, this.answers);
    await controller.start();
    controller.activate();
    await turn();
  }

  async collector(leases: Stream = this.leases): Promise<Collector> {
    const { log, commands, clock } = this;
    const collector = createCollector({ realm: 'test', log, commands, leases, clock, logger: silent });
    await collector.start();
    return collector;
  }

  /** A renewal of the host's lease. */
  async renew(released = false): Promise<void> {
    this.#serial += 1;
    const body = JSON.stringify({ holder: 'x', term: 1, ...(released ? { released } : {}) });
    await this.leases.append({ subject: 'cnm.lease.worker.h=2E1', body, id: `r${this.#serial}` });
    await turn();
  }

  /** The worker stops, and starts again with other facts. */
  async restart(facts: Reporter['facts']): Promise<void> {
    await this.reporter.stop();
    this.reporter.facts = facts;
    await this.reporter.start();
  }

  async wait(ms: number): Promise<void> {
    await this.clock.advance(ms, () => turn());
  }

  lapses() {
    return eventsOn(this.log.stored()).flatMap((event) => (event.type === 'HostLapsed' ? [event.data] : []));
  }

  row() {
    const views = createViews();
    for (const { subject, position, body } of this.log.stored())
      applyCommit(views, subject, position, decodeCommit(body, subject));
    const row = views.rows.hosts.get('h.1');
    return row && { epoch: row.epoch, alive: row.alive, awaySince: row.awaySince };
  }
}

const staged = async (): Promise<Stage> => {
  const stage = new Stage();
  await stage.start();
  return stage;
};

test('liveness: a host that renews is alive; one that stops is away since its last renewal, and back with its next epoch', async () => {
  const stage = await staged();
  const collector = await stage.collector();
  await stage.renew();
  for (let second = 0; second < 20; second += 2) {
    await stage.wait(2_000);
    await stage.renew();
  }
  assert.deepEqual(stage.lapses(), []);
  const since = new Date(stage.clock.nowMs()).toISOString();
  await stage.wait(5_999);
  assert.deepEqual(stage.lapses(), []);
  await stage.wait(1);
  assert.deepEqual(stage.lapses(), [{ host: 'h.1', epoch: 1, since }]);
  assert.deepEqual(stage.row(), { epoch: 1, alive: false, awaySince: since });
  await stage.wait(60_000);
  await stage.renew();
  await stage.restart({ epoch: 2 });
  assert.deepEqual(stage.row(), { epoch: 2, alive: true, awaySince: null });
  await stage.wait(6_000);
  assert.deepEqual(
    stage.lapses().map(({ epoch }) => epoch),
    [1, 2],
  );
  await collector.stop();
});

test('liveness: facts that are stated again within the epoch are no return', async () => {
  const stage = await staged();
  const collector = await stage.collector();
  await stage.renew();
  await stage.wait(6_000);
  await stage.restart({ routes: ['192.0.2.0/24'] });
  await stage.wait(60_000);
  assert.equal(stage.row()?.alive, false);
  assert.equal(stage.lapses().length, 1);
  await collector.stop();
});

test('liveness: a lease that was given back, and that nobody takes, ends the same way; one without a lease is not looked at', async () => {
  const stage = await staged();
  const collector = await stage.collector();
  await stage.wait(60_000);
  assert.deepEqual(stage.lapses(), []);
  await stage.renew(true);
  await stage.wait(6_000);
  assert.equal(stage.lapses().length, 1);
  await collector.stop();
});

test('liveness: several collectors ask under one id, and one that starts late asks for nothing that is known', async () => {
  const stage = await staged();
  const both = [await stage.collector(), await stage.collector()];
  await stage.renew();
  await stage.wait(6_000);
  const asked = stage.commands.stored().map(({ body }) => JSON.parse(new TextDecoder().decode(body)).id);
  assert.equal(new Set(asked).size, 1);
  assert.equal(stage.lapses().length, 1);
  const late = await stage.collector();
  await stage.wait(60_000);
  assert.equal(stage.commands.stored().length, asked.length);
  for (const collector of [...both, late]) await collector.stop();
});

test('liveness: a collector that was cut off does not take others for dead, and asks when it has an answer', async () => {
  const stage = await staged();
  const { leases } = stage;
  let [isDeaf, isAlone] = [false, false];
  const wire: Stream = Object.assign(Object.create(leases), {
    read: (options: ReadOptions, onMessage: (message: Message) => void) =>
      leases.read(options, (message) => {
        if (!isDeaf) onMessage(message);
      }),
    lastOn: (subject: string) => (isAlone ? Promise.reject(new Error('no answer')) : leases.lastOn(subject)),
  });
  const collector = await stage.collector(wire);
  await stage.renew();
  isDeaf = true;
  isAlone = true;
  await stage.wait(4_000);
  await stage.renew();
  await stage.wait(4_000);
  assert.deepEqual(stage.lapses(), [], 'nobody has said that it is silent');
  isAlone = false;
  await stage.wait(4_000);
  assert.deepEqual(stage.lapses(), [], 'there is a newer renewal');
  await stage.wait(4_000);
  assert.equal(stage.lapses().length, 1, 'and none after that');
  await collector.stop();
});

test('liveness: what was refused is asked again until it is decided, under ids that all collectors share', async () => {
  const stage = new Stage();
  // its clock is ten minutes behind, and ids may be five ahead of it
  const behind: Clock = {
    nowMs: () => stage.clock.nowMs() - 600_000,
    monotonicMs: () => stage.clock.monotonicMs(),
    after: (delayMs, run) => stage.clock.after(delayMs, run),
    randomId: (length) => stage.clock.randomId(length),
  };
  await stage.start(behind);
  const first = await stage.collector();
  await stage.renew();
  await stage.wait(6_000);
  const ids = () => stage.commands.stored().map(({ body }) => JSON.parse(new TextDecoder().decode(body)).id as string);
  assert.equal(ids().length, 1);
  await stage.wait(999);
  assert.equal(ids().length, 1);
  await stage.wait(1);
  assert.equal(ids().length, 2);
  // one that was not there counts the refusals on the log
  await first.stop();
  const second = await stage.collector();
  await stage.wait(290_000);
  assert.deepEqual(stage.lapses(), []);
  await stage.wait(290_000);
  assert.equal(stage.lapses().length, 1);
  assert.equal(new Set(ids()).size, ids().length, 'each under an id of its own');
  const asked = ids().length;
  assert.ok(asked <= 12, `${asked} times`);
  await stage.wait(1_200_000);
  assert.equal(ids().length, asked, 'and not any more');
  await second.stop();
});
