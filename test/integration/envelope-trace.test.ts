// Every event says who, why and on whose trace: decisions, refusals, reports, failures, deadlines, and what services ask of each other.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Event } from '../../events/envelope.ts';
import { isIntent } from '../../events/events.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { weaveOn } from '../support/plugins/links.ts';
import { actor, host, memoryStreams, realm, type Sent, System } from '../support/system.ts';

const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const correlationid = 'deploy-42';

const lived = async (): Promise<{ readonly events: readonly Event[]; readonly traced: ReadonlySet<string> }> => {
  const machine = new MemoryMachine();
  const plugins = weaveOn(machine);
  const kernel = memoryKernel(machine, { realm, host });
  const system = await new System({ ...memoryStreams(), kernel, plugins, runDir: '/run/cnm' }).start();
  const traced = new Set<string>();
  const send = (...[type, data]: Parameters<System['send']>): Sent => {
    const sent = system.send(type, data, { correlationid, traceparent });
    traced.add(sent.id);
    return sent;
  };
  const run = async (...words: Parameters<System['send']>): Promise<string> => {
    const sent = send(...words);
    const first = await sent.first;
    return first.kind === 'refused' ? first.code : (await sent.outcome).status;
  };
  assert.equal(
    await run('CreateNetwork', { name: 'web', driver: 'weave', ipam: { subnets: [{ subnet: '10.50.0.0/24' }] } }),
    'succeeded',
  );
  assert.equal(await run('CreateNetwork', { name: 'lan' }), 'succeeded');
  assert.equal(await run('CreateNetwork', { name: 'lan' }), 'NETWORK_EXISTS');
  assert.equal(
    await run('AttachSandbox', { sandbox: 'a', networks: [{ network: 'web' }, { network: 'lan' }] }),
    'succeeded',
  );
  const ports = [{ port: 80 }];
  assert.equal(await run('AttachSandbox', { sandbox: 'b', networks: [{ network: 'lan' }], ports }), 'succeeded');
  machine.fail({ when: ({ op, object }) => op !== 'delete' && object.kind === 'veth' });
  assert.equal(await run('AttachSandbox', { sandbox: 'c', networks: [{ network: 'lan' }] }), 'failed');
  assert.equal(await run('DetachSandbox', { sandbox: 'a' }), 'succeeded');
  await system.quiet();
  await system.stopWorker();
  const late = system.send('DetachSandbox', { sandbox: 'b' }, { correlationid, traceparent, deadlineMs: 1_000 });
  traced.add(late.id);
  await late.first;
  await system.expire(late);
  const events = await system.events();
  await system.stop();
  return { events, traced };
};

test('every event has an actor, a correlation, a cause and the trace of its command', async () => {
  const { events, traced } = await lived();
  const types = new Set(events.map(({ type }) => type));
  for (const type of [
    'CommandRefused',
    'EndpointJoinFailed',
    'CommandTimedOut',
    'PortsLeased',
    'JoinSettled',
    'EndpointLeft',
  ])
    assert.ok(types.has(type as Event['type']), type);
  const intents = new Map(events.filter(({ type }) => isIntent(type)).map((event) => [event.meta.id, event]));
  for (const { type, meta } of events) {
    assert.ok(meta.correlationid !== '', `${type} ${meta.id}`);
    if (meta.actor === '') {
      // Nobody asked for it.
      assert.ok(type === 'RealmOpened' || type === 'HostFacts' || type === 'CapacityStated', type);
      continue;
    }
    if (meta.commandseq !== undefined) assert.equal(meta.causationid, meta.commandid, type);
    else {
      const cause = intents.get(meta.causationid);
      assert.ok(cause, `${type} names no intent`);
      const { commandid, correlationid: correlated, actor: asked, traceparent: trace } = cause.meta;
      assert.deepEqual(
        [meta.commandid, meta.correlationid, meta.actor, meta.traceparent],
        [commandid, correlated, asked, trace],
      );
    }
    if (traced.has(meta.commandid))
      assert.deepEqual(
        [type, meta.actor, meta.correlationid, meta.traceparent],
        [type, actor, correlationid, traceparent],
      );
    // What a worker asks for on the way is on the way.
    if (type === 'PortsLeased' || type === 'JoinSettled')
      assert.deepEqual([type, meta.correlationid, meta.traceparent], [type, correlationid, traceparent]);
  }
});
