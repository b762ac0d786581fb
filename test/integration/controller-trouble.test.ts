// The controller when something goes wrong on the way: nothing is lost, nothing is decided twice, the chain holds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { subjects } from '../../events/names.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { inFrontOf } from '../../services/lib/stream.ts';
import { type Injected, type MemoryStreamOptions, memoryStream } from '../support/memory-stream.ts';
import { Stage, staged } from '../support/stage.ts';
import { until } from '../support/world.ts';

/** A generator of its own, so that a failure can be repeated. */
const random = (seed: number) => () => {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
  return seed / 2 ** 32;
};

const trouble = (seed: number): MemoryStreamOptions => {
  const next = random(seed);
  const kinds: readonly Injected[] = ['conflict', 'lost', 'unacknowledged'];
  return {
    inject: ({ subject }) =>
      // the reporter has no second try
      subject.startsWith('cnm.event.') && next() < 0.4 ? kinds[Math.floor(next() * 3)] : undefined,
  };
};

for (const seed of [1, 2, 3]) {
  test(`appends that fail, get lost or are not acknowledged: nothing is lost, nothing twice (seed ${seed})`, () =>
    staged(async (stage) => {
      await stage.controller();
      await stage.send('CreateNetwork', { name: 'web' });
      for (let count = 0; count < 20; count++) await stage.life(`e${count % 7}`);
      await stage.allDecided();
      assert.deepEqual(stage.codes(), []);
      await stage.allEnded();
    }, trouble(seed)));

  test(`two controllers that are active at once, in trouble (seed ${seed})`, () =>
    staged(
      async (stage) => {
        await Promise.all([stage.controller(), stage.controller()]);
        await stage.send('CreateNetwork', { name: 'web' });
        for (let count = 0; count < 20; count++) await stage.life(`e${count % 7}`);
        await stage.allDecided();
        assert.deepEqual(stage.codes(), []);
        await stage.allEnded();
      },
      trouble(seed + 100),
    ));

  test(`controllers that come and go in the middle of everything (seed ${seed})`, () =>
    staged(
      async (stage) => {
        const next = random(seed);
        let isSending = true;
        const sending = (async () => {
          await stage.send('CreateNetwork', { name: 'web' });
          for (let count = 0; count < 40; count++) await stage.life(`e${count % 7}`);
          isSending = false;
        })();
        while (isSending) {
          const controller = await stage.controller();
          await new Promise((resolve) => setTimeout(resolve, Math.floor(next() * 20)));
          await controller.stop();
        }
        await sending;
        await stage.controller();
        await stage.allDecided();
        assert.deepEqual(stage.codes(), []);
        await stage.allEnded();
      },
      trouble(seed + 200),
    ));
}

test('one takes over when the other dies with a commit that nobody acknowledged', () =>
  staged(async (stage) => {
    const first = await stage.controller();
    await stage.send('CreateNetwork', { name: 'web' });
    await stage.allDecided();
    stage.log.injectNext('unacknowledged');
    const id = await stage.send('CreateEndpoint', { network: 'web', name: 'a' });
    await until(() => stage.events('EndpointCreateRequested').length === 1, 'stored');
    const dead = first.stop();
    await stage.controller();
    await stage.send('JoinEndpoint', { network: 'web', endpoint: 'a', sandbox: 's1' });
    await stage.allDecided();
    await dead;
    await until(() => stage.answersTo(id).length > 0, 'the new one answers what it finds decided');
    assert.equal(stage.events('EndpointCreateRequested').length, 1);
    stage.audit();
  }));

test('the server goes away and comes back: commands wait, and a stop does not', () =>
  staged(async (stage) => {
    const controller = await stage.controller();
    await stage.send('CreateNetwork', { name: 'web' });
    await stage.allDecided();
    stage.log.disconnect();
    await stage.send('CreateEndpoint', { network: 'web', name: 'a' });
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.equal(stage.decided(), 1);
    stage.log.connect();
    await stage.allDecided();
    stage.log.disconnect();
    await stage.send('CreateEndpoint', { network: 'web', name: 'b' });
    await new Promise((resolve) => setTimeout(resolve, 30));
    await controller.stop();
    stage.log.connect();
    await stage.controller();
    await stage.allDecided();
    stage.audit();
  }));

test('a stop does not wait for a commit that was acknowledged and never comes back', () =>
  staged(async (stage) => {
    let isHeld = false;
    const log = inFrontOf(stage.log, {
      read: (options, onMessage) => stage.log.read(options, (message) => isHeld || onMessage(message)),
    });
    const controller = await stage.controller(systemClock, { commands: stage.commands, log });
    await until(() => stage.events('RealmOpened').length === 1, 'opened');
    isHeld = true;
    await stage.send('CreateNetwork', { name: 'web' });
    await stage.allDecided();
    const timer = new Promise((resolve) => setTimeout(resolve, 2_000, 'still waiting'));
    assert.equal(await Promise.race([controller.stop(), timer]), undefined);
    await stage.controller();
    await stage.send('CreateEndpoint', { network: 'web', name: 'a' });
    await stage.allDecided();
    await stage.allEnded();
  }));

test('a log that cannot be read stops the controller, loudly', async () => {
  const stage = new Stage({ commands: memoryStream('COMMANDS'), log: memoryStream('LOG') });
  const controller = await stage.controller();
  await stage.log.append({ subject: subjects.host('h9'), body: '[{"type":"cnm.Nonsense.v9"}]', id: 'x' });
  await assert.rejects(controller.failed, { code: 'LOG_UNREADABLE' });
});
