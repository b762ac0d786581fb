// Joint commits on a real nats-server, followed through the shared read as in `cnm up`: what was appended ahead is what is stored.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { CommandInput, CommandType } from '../../events/commands.ts';
import { commitHeaders } from '../../events/envelope.ts';
import { commandId, subjects } from '../../events/names.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { chainHash } from '../../services/lib/hash.ts';
import type { Message } from '../../services/lib/stream.ts';
import { shareReads } from '../../services/nats/shared-reads.ts';
import { able } from '../support/realm-stage.ts';
import { natsStreams } from '../support/system.ts';
import { type Answered, eventsOn, Reporter, startController, until } from '../support/world.ts';

it('joint commits are stored together, each chained to the one before on its subject', async () => {
  const streams = await natsStreams();
  const { acting } = shareReads(streams.log);
  const reporters = ['h1', 'h2'].map((name) => new Reporter(streams.log, systemClock, name));
  const answers: Answered[] = [];
  const controller = startController({ log: acting, commands: streams.commands }, systemClock, answers);
  const logged: Message[] = [];
  const reader = streams.log.read({ from: 1 }, (message) => logged.push(message));
  try {
    for (const reporter of reporters) {
      reporter.facts = able(reporter.host);
      await reporter.start();
    }
    await controller.start();
    controller.activate();
    const send = async <T extends CommandType>(type: T, data: CommandInput<T>, host: string | null): Promise<void> => {
      const id = commandId(systemClock.nowMs(), `n${answers.length}`);
      const subject = subjects.command('alice', host);
      await streams.commands.append({ subject, body: JSON.stringify({ id, type, data }), id });
      await until(
        () => answers.some(({ body }) => body.commandid === id && body.kind === 'outcome'),
        `${type} is done`,
      );
    };
    await send('CreateNetwork', { name: 'web', driver: 'overlay' }, null);
    for (const [index, host] of ['h1', 'h2', 'h1', 'h2'].entries())
      await send('AttachSandbox', { sandbox: `s${index}`, networks: [{ network: 'web' }] }, host);
    await until(
      () => eventsOn(logged).filter(({ type }) => type === 'EndpointJoined').length === 8,
      'all is read, the ways out too',
    );
    const heads = new Map<string, Message>();
    for (const message of logged) {
      const head = heads.get(message.subject);
      assert.equal(message.header(commitHeaders.prevHash), head ? chainHash(head) : '', message.subject);
      heads.set(message.subject, message);
    }
    const admitted = eventsOn(logged).filter(({ type }) => type === 'EndpointAdmitted');
    assert.equal(admitted.length, 4);
    for (const { position } of admitted) {
      const [network, host] = [logged[position - 1], logged[position]];
      assert.equal(network?.header('Nats-Batch-Id'), host?.header('Nats-Batch-Id'));
      assert.match(host?.subject ?? '', /^cnm\.event\.host\./);
    }
  } finally {
    await controller.stop();
    for (const reporter of reporters) await reporter.stop();
    await reader.stop();
    await streams.stop();
  }
});
