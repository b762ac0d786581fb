// Controllers and a collector on a real nats-server: what holds in memory holds there.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { gcPeriods } from '../../events/garbage.ts';
import { createCollector } from '../../services/collector/collector.ts';
import { type Clock, systemClock } from '../../services/lib/clock.ts';
import type { Stream } from '../../services/lib/stream.ts';
import { jetStream } from '../../services/nats/jetstream.ts';
import { commandsStream, logStream } from '../../services/nats/stream-config.ts';
import { addStream, startNats, type TestNats, waitFor } from '../support/nats.ts';
import { Stage } from '../support/stage.ts';
import { silent } from '../support/world.ts';

let nats: TestNats;
before(async () => {
  nats = await startNats();
});
after(() => nats.stop());

/** Streams on a connection of their own, as each process has. */
const streams = async (): Promise<{ commands: Stream; log: Stream }> => {
  const connection = await nats.connect();
  return { commands: jetStream(connection, commandsStream.name), log: jetStream(connection, logStream.name) };
};

const staged = async (play: (stage: Stage) => Promise<void>): Promise<void> => {
  const manager = await jetstreamManager(await nats.connect());
  for (const definition of [commandsStream, logStream]) {
    await manager.streams.delete(definition.name).catch(() => undefined);
    await addStream(manager, { ...definition, deny_delete: false, deny_purge: false });
  }
  const stage = new Stage(await streams());
  await stage.reporter.start();
  try {
    await play(stage);
  } finally {
    await stage.stop();
  }
};

const quiet = async (stage: Stage): Promise<void> => {
  const total = await stage.commands.last();
  await waitFor(() => stage.decided() === total, { what: 'all commands decided', timeoutMs: 60_000 });
  await waitFor(() => stage.isReported(), { what: 'all intents reported', timeoutMs: 60_000 });
  assert.deepEqual(stage.audit().open(), []);
};

test('two controllers that are active at once', () =>
  staged(async (stage) => {
    await stage.controller(systemClock, await streams());
    await stage.controller(systemClock, await streams());
    await stage.send('CreateNetwork', { name: 'web' });
    for (let count = 0; count < 40; count++) await stage.life(`e${count % 7}`);
    await quiet(stage);
    assert.deepEqual(stage.codes(), []);
    assert.equal(stage.events('RealmOpened').length, 1);
  }));

test('poisoned messages are refused and recorded, and the stream goes on', () =>
  staged(async (stage) => {
    await stage.controller();
    const poison = ['', '{', '{"type":{"toString":1}}', 'x'.repeat(900_000), '['.repeat(60_000)];
    for (const body of poison) await stage.raw(body);
    await stage.raw('{}', 'cnm.command.a.b.c.d');
    const id = await stage.send('CreateNetwork', { name: 'web' });
    await quiet(stage);
    assert.equal(stage.codes().length, poison.length + 1);
    await waitFor(() => stage.answersTo(id).length === 2, { what: 'the next one is answered' });
  }));

test('one controller after the other, in the middle of everything', () =>
  staged(async (stage) => {
    let isSending = true;
    const sending = (async () => {
      await stage.send('CreateNetwork', { name: 'web' });
      for (let count = 0; count < 60; count++) await stage.life(`e${count % 7}`);
      isSending = false;
    })();
    for (let turn = 0; isSending; turn++) {
      const controller = await stage.controller(systemClock, await streams());
      await new Promise((resolve) => setTimeout(resolve, 10 + ((turn * 37) % 90)));
      // sometimes two overlap for a while
      if (turn % 3 === 2) await stage.controller(systemClock, await streams());
      await controller.stop();
    }
    await sending;
    await stage.controller(systemClock, await streams());
    await quiet(stage);
    assert.deepEqual(stage.codes(), []);
  }));

test('the server is killed while commands are decided: none is lost, none decided twice', () =>
  staged(async (stage) => {
    // whoever reports has no second try, so all is reported afterwards
    stage.reporter.isPaused = true;
    await stage.controller(systemClock, await streams());
    await stage.controller(systemClock, await streams());
    await stage.send('CreateNetwork', { name: 'web' });
    for (let count = 0; count < 300; count++) await stage.send('CreateEndpoint', { network: 'web', name: `e${count}` });
    await waitFor(() => stage.decided() > 20, { what: 'under way' });
    await nats.restart();
    await waitFor(() => stage.decided() === 301, { what: 'all decided', timeoutMs: 60_000 });
    stage.reporter.isPaused = false;
    stage.reporter.work();
    await quiet(stage);
    // a /24 has 253 addresses beside its gateway
    assert.deepEqual(
      stage.codes(),
      Array.from({ length: 47 }, () => 'ADDRESS_POOL_EXHAUSTED'),
    );
  }));

test('collectors on a server: an endpoint is collected once', () =>
  staged(async (stage) => {
    let aheadMs = 0;
    const clock: Clock = { ...systemClock, nowMs: () => systemClock.nowMs() + aheadMs };
    await stage.controller(clock);
    await stage.send('CreateNetwork', { name: 'web' });
    await stage.send('CreateEndpoint', { network: 'web', name: 'a', gc: 1_000 });
    await quiet(stage);
    aheadMs = gcPeriods.leftMs;
    const collectors = await Promise.all(
      [1, 2].map(async () =>
        createCollector({ realm: 'test', ...(await streams()), clock, logger: silent, confirmMs: 50 }),
      ),
    );
    for (const collector of collectors) await collector.start();
    await waitFor(() => stage.events('EndpointDeleted').length === 1, { what: 'collected' });
    for (const collector of collectors) await collector.stop();
    assert.equal(stage.events('EndpointSuspected').length, 1);
    assert.deepEqual(stage.codes(), []);
  }));
