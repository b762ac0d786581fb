// A server with accounts as `cnm nats-config` writes it: everything beyond what somebody is there for is tried, and has no effect.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { commitHeaders } from '../../events/envelope.ts';
import { NatsFault } from '../../services/client/index.ts';
import type { Message } from '../../services/lib/stream.ts';
import { jetStream } from '../../services/nats/jetstream.ts';
import { apiPrefixOf } from '../../services/nats/link.ts';
import { STREAMS } from '../../services/nats/stream-config.ts';
import { AccountStage } from '../support/account-stage.ts';

let stage: AccountStage;
before(async () => {
  stage = await AccountStage.start();
  await (await stage.alice.createNetwork({ name: 'web' })).outcome;
});
after(() => stage.stop());

const isDenied = (error: unknown): boolean => error instanceof NatsFault && error.code === 'NOT_PERMITTED';

const publish = async (connection: NatsConnection, subject: string, body: string, reply?: string): Promise<void> => {
  connection.publish(subject, body, reply === undefined ? {} : { reply });
  await connection.flush();
};

const forged = JSON.stringify({ id: 'mwpy560c-forged', type: 'DeleteNetwork', data: { network: 'web' } });

describe('everything beyond', () => {
  const intruders = [
    { party: 'actor-mallory', own: ['cnm.command.mallory.h1'] },
    { party: 'reader-rita', own: [] },
    { party: 'host-h2', own: ['cnm.outcome.h2', 'cnm.lease.worker.h2', 'cnm.command.worker=3Ah2.h2'] },
  ];
  const subjects = [
    ...[
      'cnm.command.alice.h1',
      'cnm.command.alice._',
      'cnm.command.root._',
      'cnm.command.collector._',
      'cnm.command.bob._',
    ],
    ...[
      'cnm.command.worker=3Ah1.h1',
      'cnm.event.host.h1',
      'cnm.event.host.h2',
      'cnm.event.realm._',
      'cnm.event.realm.x',
    ],
    ...['cnm.event.segment.1', 'cnm.outcome.h1', 'cnm.checkpoint', 'cnm.key.s-1', 'cnm.reply.alice.x', 'cnm.own.alice'],
    ...['cnm.lease.controller', 'cnm.lease.worker.h1', 'cnm.rebuild.x'],
  ];

  for (const { party, own } of intruders) {
    test(`accounts: ${party} publishes nothing on ${subjects.length} subjects of others, to nobody`, async () => {
      const connection = await stage.server.connect(party, 'intruder');
      const before = await stage.ends();
      const heard: string[] = [];
      const listener = await stage.server.connect('operator-root', 'root');
      listener.subscribe('cnm.>', { callback: (_, { subject }) => void heard.push(subject) });
      await listener.flush();
      for (const subject of subjects) if (!own.includes(subject)) await publish(connection, subject, forged);
      await listener.flush();
      assert.deepEqual(await stage.ends(), before);
      assert.deepEqual(
        heard.filter((subject) => subjects.includes(subject) && !subject.startsWith('cnm.lease.')),
        [],
      );
      for (const { subject, body } of await stage.stored('lease'))
        assert.notEqual(new TextDecoder().decode(body), forged, subject);
      await listener.close();
    });

    test(`accounts: no answer to ${party} lands where it would be believed`, async () => {
      const connection = await stage.server.connect(party, 'intruder');
      const before = await stage.ends();
      const asked = [
        ...own,
        ...['$SRV.PING', 'cnm.query.networks', `cnm.own.${party.split('-')[1]}`],
        ...['STREAM.INFO.CNM_LOG', 'DIRECT.GET.CNM_LOG', 'STREAM.MSG.GET.CNM_LOG'].flatMap((name) => [
          `${apiPrefixOf(connection)}.${name}`,
          `$JS.API.${name}`,
        ]),
      ];
      for (const subject of asked) for (const reply of subjects) await publish(connection, subject, '{"seq":1}', reply);
      const { commands, log, checkpoint, key } = await stage.ends();
      assert.deepEqual([checkpoint, key], [before.checkpoint, before.key]);
      const isFresh = ({ position }: Message, last: number): boolean => position > last;
      const fresh = [
        ...(await stage.stored('commands')).filter((message) => isFresh(message, before.commands)),
        ...(await stage.stored('log')).filter((message) => isFresh(message, before.log)),
      ];
      assert.ok(fresh.length >= commands + log - before.commands - before.log);
      // what it may publish is stored as its own; decisions about it are our services', and say what they are
      const others = fresh.filter(
        (message) => !own.includes(message.subject) && message.header(commitHeaders.contentType) === '',
      );
      assert.deepEqual(
        others.map(({ subject }) => subject),
        [],
      );
      const kept = own.filter((subject) => !subject.startsWith('cnm.lease.'));
      assert.equal(fresh.filter(({ subject }) => own.includes(subject)).length, kept.length * subjects.length);
    });

    test(`accounts: ${party} hears nothing that others are told`, async () => {
      const connection = await stage.server.connect(party, 'intruder');
      const heard: string[] = [];
      for (const subject of [
        'cnm.>',
        '_INBOX_alice.>',
        '_INBOX.>',
        '_INBOX_controller.>',
        '_R_.>',
        '$JS.>',
        '$SRV.>',
        '>',
      ])
        connection.subscribe(subject, {
          callback: (error, message) => void (error === null && heard.push(message.subject)),
        });
      await connection.flush();
      await (await stage.alice.createNetwork({ name: `heard-${party}` })).outcome;
      await stage.alice.networks().catch(() => undefined);
      await connection.flush();
      // what it has sent before is answered to it
      const ours = /^cnm\.reply\.(mallory|worker=3Ah2)\./;
      assert.deepEqual(
        heard.filter((subject) => !ours.test(subject)),
        [],
      );
    });

    test(`accounts: ${party} deletes, purges, changes and makes nothing`, async () => {
      const connection = await stage.server.connect(party, 'intruder');
      const before = await stage.ends();
      const manager = await jetstreamManager(stage.root, { checkAPI: false });
      const settings = (await manager.streams.info(STREAMS.log)).config;
      for (const prefix of ['$JS.API', 'cnm.js'])
        for (const stream of Object.values(STREAMS))
          for (const verb of ['DELETE', 'PURGE', 'UPDATE', 'CREATE', 'MSG.DELETE', 'SNAPSHOT', 'RESTORE'])
            await publish(
              connection,
              `${prefix}.STREAM.${verb}.${stream}`,
              JSON.stringify({ seq: 1, name: stream, subjects: ['x'] }),
              'x',
            );
      assert.deepEqual(await stage.ends(), before);
      assert.deepEqual((await manager.streams.info(STREAMS.log)).config, settings);
      for (const name of ['key', 'commands', 'checkpoint'] as const)
        await assert.rejects(jetStream(connection, STREAMS[name], { timeoutMs: 300 }).get(1), `${party} reads ${name}`);
    });
  }

  test('accounts: a consumer that pushes what it reads pushes it to no stream and to no other account', async () => {
    const before = await stage.ends();
    const told: string[] = [];
    const pushing: string[] = [];
    const listening = await stage.server.connect('actor-alice', 'alice');
    listening.subscribe('cnm.reply.alice.*', { callback: (_, message) => void told.push(message.string()) });
    await listening.flush();
    for (const party of ['host-h2', 'reader-rita']) {
      const connection = await stage.server.connect(party, 'intruder');
      const manager = await jetstreamManager(connection, { checkAPI: false, apiPrefix: apiPrefixOf(connection) });
      for (const deliver_subject of ['cnm.reply.alice.x', 'cnm.event.host.h1', 'cnm.command.alice._', 'cnm.key.x']) {
        const config = {
          name: `push-${party}-${deliver_subject.split('.').join('-')}`,
          deliver_subject,
          filter_subject: 'cnm.outcome.h1',
        };
        const made = manager.consumers.add(STREAMS.log, { ...config, ack_policy: 'none' as never });
        // the server refuses only what would feed the stream to itself
        if (await made.catch(() => null)) pushing.push(config.name);
      }
    }
    await (await stage.alice.createNetwork({ name: 'pushed' })).outcome;
    // the decision and its outcome
    assert.deepEqual(await stage.ends(), { ...before, commands: before.commands + 1, log: before.log + 2 });
    assert.equal(pushing.length, 6);
    const manager = await jetstreamManager(stage.root, { checkAPI: false });
    for (const name of pushing) {
      const { delivered, num_pending: waiting } = await manager.consumers.info(STREAMS.log, name);
      assert.equal(delivered.consumer_seq, 0, `${name} has pushed something`);
      assert.ok(waiting > 0, `${name} has something to push`);
    }
    assert.ok(told.every((answer) => answer.startsWith('{"kind":')));
  });

  test('accounts: an actor that views nothing asks for its own commands alone', async () => {
    const made = await stage.alice.createNetwork({ name: 'mine' });
    await made.outcome;
    await assert.rejects(
      stage.alice.networks({ timeoutMs: 500 }),
      (error: unknown) => (error as { code?: string }).code === 'UNANSWERED',
    );
    await assert.rejects(stage.alice.watch().next());
    const mallory = await stage.client('actor-mallory', 'mallory');
    assert.equal(await mallory.command(made.commandid), null);
    assert.ok((await mallory.networks()).rows.length > 0, 'it is a viewer too');
    await mallory.close();
    const forger = await stage.client('actor-mallory', 'alice');
    await assert.rejects(forger.command(made.commandid, { timeoutMs: 500 }));
    const sending = forger.deleteNetwork({ network: 'mine' }, { signal: AbortSignal.timeout(500) });
    await assert.rejects(sending);
    await forger.close();
  });

  test('accounts: our own services do nothing that is not theirs', async () => {
    const wrong: readonly (readonly [string, string])[] = [
      ['service-projector', 'cnm.event.host.h1'],
      ['service-projector', 'cnm.outcome.h1'],
      ['service-projector', 'cnm.command.alice._'],
      ['service-collector', 'cnm.event.host.h1'],
      ['service-collector', 'cnm.command.alice._'],
      ['service-controller', 'cnm.outcome.h1'],
      ['service-controller', 'cnm.command.alice._'],
    ];
    for (const [party, subject] of wrong) {
      const connection = await stage.server.connect(party, party.slice('service-'.length));
      const stream = subject.startsWith('cnm.command') ? STREAMS.commands : STREAMS.log;
      await assert.rejects(jetStream(connection, stream).append({ subject, body: 'x', id: 'x' }), isDenied, subject);
    }
  });
});
