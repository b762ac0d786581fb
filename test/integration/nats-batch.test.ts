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

it('joint commits are stored together, admissions ahead, each chained to the one before on its subject', async () => {
  const streams = await natsStreams();
  const { acting } = shareReads(streams.log);
  const reporters = ['h1', 'h2'].map((name) => new Reporter(streams.log, systemClock, name));
  const answers: Answered[] = [];
  const controller = startController({ log: acting(() => true), commands: streams.commands }, systemClock, answers);
  const logged: Message[] = [];
  const reader = streams.log.read({ from: 1 }, (message) => logged.push(message));
  try {
    for (const reporter of reporters) {
      reporter.facts = able(reporter.host);
      await reporter.start();
    }
    let sent = 0;
    const send = async <T extends CommandType>(
      type: T,
      data: CommandInput<T>,
      host: string | null,
    ): Promise<string> => {
      sent += 1;
      const id = commandId(systemClock.nowMs(), `n${sent}`);
      const subject = subjects.command('alice', host);
      await streams.commands.append({ subject, body: JSON.stringify({ id, type, data }), id });
      return id;
    };
    const ended = (id: string): Promise<void> =>
      until(() => answers.some(({ body }) => body.commandid === id && body.kind === 'outcome'), `${id} has ended`);
    const attach = (sandbox: string, host: string) =>
      send('AttachSandbox', { sandbox, networks: [{ network: 'web' }] }, host);
    // Together, so that one round decides them: the hosts' commits stand on what is decided for the realm.
    const together = [await send('CreateNetwork', { name: 'web', driver: 'overlay' }, null)];
    together.push(await attach('s0', 'h1'), await attach('s1', 'h2'));
    await controller.start();
    controller.activate();
    await Promise.all(together.map(ended));
    await ended(await attach('s2', 'h1'));
    await ended(await attach('s3', 'h2'));
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
    const batchOf = (message: Message | undefined): string => message?.header('Nats-Batch-Id') ?? '';
    const joint = logged.filter((message) => batchOf(message) !== '');
    assert.deepEqual(
      joint.map(({ subject }) => subject.split('.')[2]),
      ['realm', 'realm', 'host', 'host'],
    );
    assert.equal(new Set(joint.map(batchOf)).size, 1);
    // Admissions alone stand ahead, and say what comes behind.
    const ahead = admitted.map(({ position }) => logged[position - 1]).filter((message) => batchOf(message) === '');
    assert.deepEqual(
      ahead.map((message) => message?.header(commitHeaders.awaits).split('=')[0]),
      [subjects.host('h1'), subjects.host('h2')],
    );
  } finally {
    await controller.stop();
    for (const reporter of reporters) await reporter.stop();
    await reader.stop();
    await streams.stop();
  }
});
