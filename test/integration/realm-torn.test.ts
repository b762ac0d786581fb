// What is appended as one: a controller that has read a part of it decides nothing before it has read the rest.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { subjects } from '../../events/names.ts';
import { systemClock } from '../../services/lib/clock.ts';
import type { Message, Reader, Stream } from '../../services/lib/stream.ts';
import { RealmStage } from '../support/realm-stage.ts';
import { startController, turn, until } from '../support/world.ts';

/** A stream that delivers nothing behind a position until it is let on. */
class Held {
  /** Last position that is delivered. */
  upTo = Number.POSITIVE_INFINITY;
  #waiting: (() => void)[] = [];
  readonly stream: Stream;

  constructor(stream: Stream) {
    this.stream = Object.assign(Object.create(stream), {
      read: (options: Parameters<Stream['read']>[0], onMessage: (message: Message) => void): Reader =>
        stream.read(options, (message) => {
          if (this.#waiting.length === 0 && message.position <= this.upTo) onMessage(message);
          else this.#waiting.push(() => onMessage(message));
        }),
    }) as Stream;
  }

  get waits(): number {
    return this.#waiting.length;
  }

  letOn(): void {
    this.upTo = Number.POSITIVE_INFINITY;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const deliver of waiting) deliver();
  }
}

it('a controller in the middle of a joint round of another one', async () => {
  const stage = new RealmStage();
  await stage.host('h1');
  await stage.host('h2');
  const streams = { log: stage.log, commands: stage.commands };
  const first = startController(streams, systemClock, stage.answers);
  await first.start();
  first.activate();
  assert.equal(await stage.code('CreateNetwork', { name: 'web', driver: 'overlay' }), 'succeeded');
  assert.equal(await stage.code('CreateEndpoint', { network: 'web', name: 'e' }, 'h1'), 'succeeded');
  await first.deactivate();

  // Another one that is at work as well, and does not know of the next commands yet.
  const [log, commands] = [new Held(stage.log), new Held(stage.commands)];
  const second = startController({ log: log.stream, commands: commands.stream }, systemClock, stage.answers);
  await second.start();
  commands.upTo = stage.commands.stored().length;
  second.activate();
  await turn();
  const reporter = stage.reporters.get('h1') ?? assert.fail();
  reporter.isPaused = true;
  const before = stage.log.stored().length;
  log.upTo = before + 1;
  const deletion = await stage.send('DeleteEndpoint', { network: 'web', endpoint: 'e' });
  await stage.send('DeleteNetwork', { network: 'web' });
  first.activate();
  await until(() => stage.log.stored().length === before + 2 && commands.waits === 2, 'both are decided in one batch');
  await until(() => log.waits === 1, 'the second message of it is held up');
  const [one, two] = stage.log.stored().slice(before);
  assert.equal(one?.header('Nats-Batch-Id'), two?.header('Nats-Batch-Id'));
  assert.deepEqual([one?.header('Nats-Batch-Commit'), two?.header('Nats-Batch-Commit')], ['', '1']);

  // By what it has read there is no network of that name, and no host that the endpoint is on.
  commands.letOn();
  await turn(200);
  assert.equal(stage.log.stored().length, before + 2, 'it decides nothing');
  log.letOn();
  reporter.isPaused = false;
  reporter.work();
  await stage.settled();
  const answers = stage.answers.filter(({ subject }) => subject === subjects.reply('alice', deletion));
  assert.deepEqual([...new Set(answers.map(({ body }) => body.kind))].sort(), ['accepted', 'outcome']);
  assert.deepEqual(
    stage.events().filter(({ type }) => type === 'CommandRefused'),
    [],
  );
  stage.checkChain();
  await second.stop();
  await first.stop();
  await stage.stop();
});

it('a name that goes from one host to another in one round is appended as one', async () => {
  const stage = new RealmStage();
  await stage.host('h1');
  await stage.host('h2');
  const controller = startController({ log: stage.log, commands: stage.commands }, systemClock, stage.answers);
  await controller.start();
  controller.activate();
  assert.equal(await stage.code('CreateNetwork', { name: 'web', driver: 'overlay' }), 'succeeded');
  assert.equal(await stage.code('CreateEndpoint', { network: 'web', name: 'a' }, 'h1'), 'succeeded');
  await controller.deactivate();
  await stage.send('DeleteEndpoint', { network: 'web', endpoint: 'a' }, 'h1');
  await stage.send('CreateEndpoint', { network: 'web', name: 'A' }, 'h2');
  const before = stage.log.stored().length;
  controller.activate();
  await stage.settled();
  const together = stage.log.stored().slice(before, before + 3);
  const [network] = stage.realm().shared.networks.keys();
  assert.deepEqual(
    together.map(({ subject }) => subject),
    [subjects.network(network ?? ''), subjects.host('h1'), subjects.host('h2')],
  );
  const batches = new Set(together.map((message) => message.header('Nats-Batch-Id')));
  assert.ok(batches.size === 1 && !batches.has(''));
  stage.checkChain();
  await controller.stop();
  await stage.stop();
});
