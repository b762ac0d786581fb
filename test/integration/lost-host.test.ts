// Hosts that are declared lost: what they held is free on all others, and a worker that comes back begins with nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drivers } from '../../drivers/registry.ts';
import { DEFAULT_IPV4_POOLS } from '../../events/ipam.ts';
import { isLost } from '../../events/state.ts';
import { PeerView } from '../../projections/peers.ts';
import { rowsOf } from '../../projections/views.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { boundaryOf, foldLog } from '../../services/lib/realm.ts';
import type { Stream } from '../../services/lib/stream.ts';
import { keepWorker } from '../../services/worker/parked.ts';
import { createWorker } from '../../services/worker/worker.ts';
import { Checker } from '../property/model-checks.ts';
import { delayed } from '../support/delayed.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { fakePlugins } from '../support/plugins/fake.ts';
import { RealmStage } from '../support/realm-stage.ts';
import { host, hostServers, memoryStreams, realm, System } from '../support/system.ts';
import { silent, until } from '../support/world.ts';

const since = '2026-11-21T01:09:24.001Z';
const reason = 'burnt down';

const staged = async (play: (stage: RealmStage) => Promise<void>): Promise<void> => {
  const stage = new RealmStage();
  await stage.host('h1');
  await stage.host('h2');
  await stage.controller();
  await stage.run('CreateNetwork', { name: 'span', driver: 'overlay', internal: true });
  try {
    await play(stage);
  } finally {
    await stage.stop();
  }
};

/** What a worker of `own` knows of the others in networks of the realm. */
const peersOf = (stage: RealmStage, own: string): PeerView => {
  const view = new PeerView(own);
  for (const { subject, position } of stage.log.stored()) {
    const [, family, , of = ''] = subject.split('.');
    for (const event of stage.events().filter((one) => one.position === position)) {
      if (family === 'outcome') view.apply(subject.slice('cnm.outcome.'.length), event);
      else if (event.type === 'PeersForgotten' && of === '_') view.apply(event.data.host, event);
    }
  }
  return view;
};

const attach = (sandbox: string) => ({ sandbox, networks: [{ network: 'span' }] });

test('what a lost host held in networks of the realm is free everywhere, and nobody sends frames there any more', () =>
  staged(async (stage) => {
    await stage.run('AttachSandbox', attach('one'), 'h1');
    await stage.run('AttachSandbox', attach('two'), 'h2');
    await stage.run('CreateNetwork', { name: 'own' }, 'h2');
    const [made] = stage.events().filter(({ meta }) => meta.subject.startsWith('endpoint/') && meta.executors === 'h2');
    const address = made?.type === 'EndpointCreateRequested' ? made.data.endpoint.ipv4 : null;
    assert.ok(address);
    // The reporter of a test names no peers.
    const view = peersOf(stage, 'h1');
    view.carry({
      endpointId: 'e2',
      networkId: 'n',
      host: 'h2',
      ipv4: address,
      ipv6: null,
      mac: 'x',
      names: [],
      services: [],
    });
    assert.equal(await stage.code('DeclareHostLost', { host: 'h2', reason }), 'HOST_ALIVE');
    assert.equal(await stage.code('AttachSandbox', attach('two'), 'h1'), 'ENDPOINT_EXISTS');
    await stage.run('LapseHost', { host: 'h2', epoch: 1, since });
    const reporter = stage.reporters.get('h2');
    assert.ok(reporter);
    reporter.isPaused = true;
    const pending = await stage.send('CreateNetwork', { name: 'pending' }, 'h2');
    const lost = await stage.run('DeclareHostLost', { host: 'h2', reason });
    assert.equal(lost.status, 'succeeded');
    assert.equal(await stage.code('DeclareHostLost', { host: 'h2', reason }), 'HOST_NOT_FOUND');
    assert.equal(await stage.code('CreateNetwork', { name: 'other' }, 'h2'), 'HOST_NOT_FOUND');
    assert.equal(await stage.code('AttachSandbox', attach('two')), 'succeeded', 'there is one host left');
    const [forgotten] = stage.events().filter(({ type }) => type === 'PeersForgotten');
    assert.ok(forgotten);
    view.apply('h2', forgotten);
    assert.deepEqual([...view.all()], []);
    const rows = rowsOf(stage.views(), 'endpoints');
    assert.deepEqual(
      [...rows.values()].map(({ name, host: on }) => [name, on]),
      [
        ['one', 'h1'],
        ['two', 'h1'],
      ],
    );
    assert.notEqual([...rows.values()].find(({ name }) => name === 'two')?.ipv4, address, 'its address rests');
    assert.deepEqual(
      stage.viewed().map(([name, on, , endpoints]) => [name, on, endpoints]),
      [['span', '', 2]],
    );
    const answers = stage.answers.filter(({ body }) => body.commandid === pending).map(({ body }) => body);
    assert.deepEqual([answers.map(({ kind }) => kind), answers.at(-1)?.status], [['accepted', 'outcome'], 'failed']);
    for (const name of ['one', 'two']) await stage.run('DetachSandbox', { sandbox: name });
    assert.equal(await stage.code('DeleteNetwork', { network: 'span' }), 'succeeded');
    assert.deepEqual(stage.viewed(), []);
    stage.checkChain();
    const checker = new Checker();
    for (const message of stage.log.stored()) checker.take(message);
    assert.deepEqual([checker.open(), checker.impossible], [[], []]);
  }));

test('a name of a lost host is given again in the same round, and either both are stored or none', () =>
  staged(async (stage) => {
    await stage.run('AttachSandbox', attach('box'), 'h2');
    await stage.run('LapseHost', { host: 'h2', epoch: 1, since });
    stage.fates.push('conflict', undefined);
    const [declared, attached] = [
      await stage.send('DeclareHostLost', { host: 'h2', reason }),
      await stage.send('AttachSandbox', attach('box'), 'h1'),
    ];
    const ended = (id: string) => stage.answers.some(({ body }) => body.commandid === id && body.kind === 'outcome');
    await until(() => ended(declared) && ended(attached), 'both have ended');
    const statuses = stage.answers.flatMap(({ body }) =>
      body.kind === 'outcome' && (body.commandid === declared || body.commandid === attached) ? [body.status] : [],
    );
    assert.deepEqual(statuses, ['succeeded', 'succeeded']);
    const at = (wanted: string) => stage.events().find(({ type }) => type === wanted)?.position ?? 0;
    assert.equal(at('HostLost'), at('PeersForgotten') + 1, 'one batch, the realm first');
    stage.checkChain();
  }));

test('a name that a host takes and lets go of in one round is given to another host in the next', async () => {
  const stage = new RealmStage();
  await stage.host('h1');
  await stage.host('h2');
  await stage.send('CreateNetwork', { name: 'own' }, 'h1');
  await stage.send('CreateNetwork', { name: 'span', driver: 'overlay', internal: true });
  await stage.send('AttachSandbox', attach('box'), 'h2');
  await stage.send('DetachSandbox', { sandbox: 'box' }, 'h2');
  await stage.send('AttachSandbox', attach('box'), 'h1');
  await stage.controller();
  try {
    await stage.settled();
    const checker = new Checker();
    for (const message of stage.log.stored()) checker.take(message);
    assert.deepEqual(checker.open(), []);
    assert.equal(await stage.code('AttachSandbox', attach('box'), 'h2'), 'ENDPOINT_EXISTS');
  } finally {
    await stage.stop();
  }
});

test('a network of the realm that is to go goes with the last endpoint of the lost host', () =>
  staged(async (stage) => {
    await stage.run('CreateEndpoint', { network: 'span', name: 'e' }, 'h2');
    const reporter = stage.reporters.get('h2');
    assert.ok(reporter);
    reporter.isPaused = true;
    await stage.send('DeleteEndpoint', { network: 'span', endpoint: 'e' });
    assert.equal(await stage.code('DeleteNetwork', { network: 'span' }), 'succeeded');
    assert.equal(stage.viewed().length, 1);
    await stage.run('LapseHost', { host: 'h2', epoch: 1, since });
    await stage.run('DeclareHostLost', { host: 'h2', reason });
    assert.deepEqual(stage.viewed(), []);
    assert.equal(stage.realm().shared.networks.size, 0);
  }));

/** A worker on a log that can be held up before it, and one that follows it when it must. */
const kept = (log: Stream, commands: Stream, machine: MemoryMachine) => {
  const kernel = memoryKernel(machine, { realm, host });
  const place = {
    realm,
    host,
    runDir: '/run/cnm',
    pools: DEFAULT_IPV4_POOLS,
    netnsRoots: ['/run'],
    ula: 'fd00:1:2::/48',
  };
  const more = { drivers, plugins: fakePlugins([]), hostServers, clock: systemClock, logger: silent, secret: null };
  return keepWorker({ create: () => createWorker({ ...place, ...more, log, commands, kernel }), log, logger: silent });
};

for (const isApart of [true, false]) {
  test(`a worker that was ${isApart ? 'cut off' : 'down'} while its host was declared lost clears what it has, and is a host again`, async () => {
    const machine = new MemoryMachine();
    const streams = memoryStreams();
    const slow = delayed(streams.log);
    const system = new System({ ...streams, kernel: memoryKernel(machine, { realm, host }), runDir: '/run/cnm' });
    let worker = await kept(slow.log, streams.commands, machine);
    await system.startController();
    const state = async () => boundaryOf(foldLog(await system.messages()), host).state;
    try {
      await system.run('CreateNetwork', { name: 'web' });
      for (const sandbox of ['a', 'b']) await system.run('AttachSandbox', { sandbox, networks: [{ network: 'web' }] });
      assert.ok(machine.objects().length > 4);
      if (isApart) slow.hold();
      else await worker.stop();
      await system.run('LapseHost', { host, epoch: 1, since });
      const pending = system.send('AttachSandbox', { sandbox: 'c', networks: [{ network: 'web' }] });
      await pending.first;
      await system.run('DeclareHostLost', { host, reason });
      const outcome = await pending.outcome;
      assert.deepEqual([outcome.status, outcome.fault?.code], ['failed', 'HOST_LOST']);
      assert.equal(isLost(await state()), true);
      assert.equal(await system.refusal('CreateNetwork', { name: 'web' }), 'HOST_NOT_FOUND');
      if (isApart) slow.release();
      else worker = await kept(slow.log, streams.commands, machine);
      await until(() => machine.objects().length === 0, 'nothing of ours is left');
      const waiting = Date.now() + 20_000;
      while (isLost(await state())) assert.ok(Date.now() < waiting, 'it is a host again');
      await system.run('CreateNetwork', { name: 'web' });
      for (const sandbox of ['a', 'b', 'c'])
        await system.run('AttachSandbox', { sandbox, networks: [{ network: 'web' }] });
      await system.check();
    } finally {
      await system.stop();
      await worker.stop();
    }
  });
}
