// A server with accounts as `cnm nats-config` writes it: our own services do all they do, each with its own key, and everybody else what
// they are there for.
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CommandRefused } from '../../services/client/index.ts';
import { discover } from '../../services/client/status.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { eventsOf } from '../../services/lib/commit.ts';
import { liveWorkers } from '../../services/nats/live-workers.ts';
import { STREAMS } from '../../services/nats/stream-config.ts';
import { AccountStage, odd } from '../support/account-stage.ts';
import { testStream, waitFor } from '../support/nats.ts';

let stage: AccountStage;
before(async () => {
  stage = await AccountStage.start();
});
after(() => stage.stop());

describe('what they are there for', () => {
  test('accounts: an actor sends, hears what becomes of it, and asks later; the log calls it proven', async () => {
    const made = await stage.alice.createNetwork({ name: 'web' });
    await made.outcome;
    // a port that the host finds is a command of the worker under its own actor
    await (await stage.alice.createNetwork({ name: 'ports' })).outcome;
    const networks = [{ network: 'ports', ports: [{ port: 80 }] }];
    const attached = await stage.alice.attachSandbox({ sandbox: 's1', networks });
    assert.equal((await attached.outcome).status, 'succeeded');
    await (await stage.alice.detachSandbox({ sandbox: 's1' })).outcome;
    await assert.rejects(
      stage.alice.createNetwork({ name: 'web' }),
      (error: unknown) => error instanceof CommandRefused && error.code === 'NETWORK_EXISTS',
    );
    assert.equal((await stage.alice.command(made.commandid))?.status, 'succeeded');
    const strange = await stage.client(`actor-${'ci=2Erunner=40build-7'}`, odd);
    await (await strange.createNetwork({ name: 'odd' })).outcome;
    await strange.close();
    const events = (await stage.stored('log')).flatMap(eventsOf);
    for (const who of ['alice', odd]) {
      const proofs = events.filter(({ meta }) => meta.actor === who).map(({ meta }) => meta.actorproof);
      assert.ok(proofs.length > 1 && proofs.every((proof) => proof === 'nats'), who);
    }
  });

  test('accounts: a command that is late ends, since the collector asks for it', async () => {
    await stage.system.stopWorker();
    const late = await stage.alice.createNetwork({ name: 'late' }, { deadlineMs: 300 });
    await assert.rejects(late.outcome, (error: unknown) => (error as { code?: string }).code === 'TIMED_OUT');
    await stage.system.startWorker();
  });

  test('accounts: a viewer asks for views, and a reader reads the log too and watches', async () => {
    const bob = await stage.client('viewer-bob', 'bob');
    const { rows } = await bob.networks();
    assert.ok(rows.some(({ name }) => name === 'web'));
    await assert.rejects(bob.watch().next());
    const rita = await stage.client('reader-rita', 'rita');
    assert.ok((await rita.networks()).rows.length > 0);
    const seen = new Set<string>();
    for await (const item of rita.watch({ from: 0 } as never)) {
      if ('type' in item) seen.add(String((item as { type: unknown }).type));
      if (JSON.stringify(item).includes('NetworkCreated')) break;
    }
    const { services, server: at } = await bob.status();
    assert.deepEqual(
      [...new Set(services.map(({ name }) => name))],
      ['cnm-collector', 'cnm-controller', 'cnm-projector'],
    );
    assert.ok(at.version !== '');
    await bob.close();
    await rita.close();
  });

  test('accounts: an operator sees workers that answer in accounts of their own alone', async () => {
    const running = (await discover(stage.root)).map(({ name }) => name);
    assert.ok(running.length > 0 && !running.includes('cnm-worker'));
    assert.deepEqual(await liveWorkers(stage.root, systemClock), ['h1']);
    const ahead = { ...systemClock, nowMs: () => systemClock.nowMs() + 3_600_000 };
    assert.deepEqual(await liveWorkers(stage.root, ahead), ['h1'], 'by its next renewal, where clocks differ');
    const h9 = testStream(stage.root, STREAMS.lease);
    await h9.append({ subject: 'cnm.lease.worker.h9', body: 'not even JSON', id: 'x1' });
    assert.deepEqual(
      await liveWorkers(stage.root, systemClock),
      ['h1', 'h9'],
      'what cannot be read is a sign of life too',
    );
    const body = JSON.stringify({ holder: 'x', term: 1, released: true });
    await h9.append({ subject: 'cnm.lease.worker.h9', body, id: 'x2' });
    assert.deepEqual(await liveWorkers(stage.root, systemClock), ['h1']);
  });

  test('accounts: an operator puts away secrets, shreds them, and has views folded anew', async () => {
    const operator = await stage.client('operator-root', 'root');
    const sealed = await operator.seals.seal('s-1', 'a name');
    assert.equal(await operator.seals.open(sealed), 'a name');
    await (await operator.shredSubject({ subject: 's-1', reason: 'asked for' })).outcome;
    const isErased = async () => (await testStream(stage.root, STREAMS.key).lastOn('cnm.key.s-1')) === null;
    await waitFor(isErased, { what: 'the key is erased by the collector' });
    const [rebuilt] = await operator.rebuild({ view: 'networks' });
    assert.equal(rebuilt?.kind, 'report');
    await operator.close();
  });

  test('accounts: one more actor and host are added to a server that runs, and one is taken away', async () => {
    const worked = async (): Promise<string> => {
      const { outcome } = await stage.alice.createNetwork({ name: `n${(await stage.ends()).commands}` });
      return (await outcome).status;
    };
    assert.equal(await worked(), 'succeeded');
    await stage.server.add('carol', { hosts: ['h3'], remove: ['actor-ci=2Erunner=40build-7'] });
    const carol = await stage.client('actor-carol', 'carol');
    await (await carol.createNetwork({ name: 'new' })).outcome;
    await carol.close();
    assert.equal(await worked(), 'succeeded');
    assert.equal(statSync(join(stage.server.folder, 'keys/actor-carol/seed.nk')).mode & 0o777, 0o600);
    assert.throws(() => stage.server.security('actor-ci=2Erunner=40build-7'));
  });
});
