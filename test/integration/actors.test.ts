// Every event of a command says who vouches for its actor: decisions, refusals, reports, and what ends a command for good.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Meta } from '../../events/envelope.ts';
import { applyCommit, createViews } from '../../projections/views.ts';
import { eventsOf } from '../../services/lib/commit.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

const lived = async (actorProof?: NonNullable<Meta['actorproof']>): Promise<System> => {
  const kernel = memoryKernel(new MemoryMachine(), { realm, host });
  const proof = actorProof === undefined ? {} : { actorProof };
  const system = await new System({ ...memoryStreams(), kernel, runDir: '/run/cnm', ...proof }).start();
  await system.run('CreateNetwork', { name: 'web', driver: 'null' });
  assert.equal(await system.refusal('CreateNetwork', { name: 'web', driver: 'null' }), 'NETWORK_EXISTS');
  assert.equal(await system.refusal('DeleteNetwork', { network: 'none' }), 'NETWORK_NOT_FOUND');
  await system.run('DeleteNetwork', { network: 'web' });
  return system;
};

for (const [given, wanted] of [
  [undefined, 'claim'],
  ['nats', 'nats'],
] as const) {
  test(`actors: ${wanted} where the controller is told ${given ?? 'nothing'}`, async () => {
    const system = await lived(given);
    const events = await system.events();
    await system.stop();
    const types = ['NetworkCreateRequested', 'NetworkCreated', 'CommandRefused', 'NetworkDeleted'];
    for (const type of types)
      assert.ok(
        events.some((event) => event.type === type),
        type,
      );
    for (const { type, meta } of events) {
      const isOfNobody = meta.actor === '';
      assert.deepEqual([type, meta.actorproof], [type, isOfNobody ? undefined : wanted]);
    }
  });
}

test('parked: retrying and discarding are commands of no host, recorded as they were sent', async () => {
  const system = await lived();
  const retried = await system.run('RetryParked', { position: 812, index: 0 });
  const discarded = await system.run('DiscardParked', { position: 812, index: 1, reason: 'never happened' });
  const messages = await system.messages();
  await system.stop();
  const recorded = [retried, discarded].map(({ position }) => {
    const message = messages[position - 1];
    assert.ok(message);
    const [event] = eventsOf(message);
    return [message.subject, event?.type, event?.meta.subject, event?.data];
  });
  assert.deepEqual(recorded, [
    ['cnm.event.realm._', 'ParkedRetried', 'parked/812.0', { position: 812, index: 0 }],
    ['cnm.event.realm._', 'ParkedDiscarded', 'parked/812.1', { position: 812, index: 1, reason: 'never happened' }],
  ]);
  const views = createViews();
  for (const message of messages) applyCommit(views, message.subject, message.position, eventsOf(message));
  assert.equal(views.rows.parked.size, 0);
  assert.equal(views.rows.commands.get(discarded.commandid)?.status, 'succeeded');
});
