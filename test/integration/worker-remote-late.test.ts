/** Plugins that hang, answer late or end in the middle, and workers that end in the middle of asking them, on a kernel in memory. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Device } from '../../drivers/objects.ts';
import { pluginId } from '../../services/plugins/options.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { type Mortal, mortal } from '../support/mortal.ts';
import { waitFor } from '../support/nats.ts';
import { hangs, type LinkPlugins, linkPlugins } from '../support/plugins/links.ts';
import { host, memoryStreams, realm, type Sent, type Streams, System } from '../support/system.ts';

/** What a plugin knows: idempotent, as plugins have to be. */
interface Known {
  readonly networks: Set<string>;
  readonly endpoints: Set<string>;
  readonly joined: Set<string>;
}

describe('a worker and plugins that do not answer in time', () => {
  let machine = new MemoryMachine();
  let streams: Streams;
  let plugins: LinkPlugins;
  let system: System;
  let known: Known;
  const kernel = () => memoryKernel(machine, { realm, host });
  const devices = () => machine.objects().filter((object): object is Device => object.kind === 'device');
  const send = (sandbox: string, network: string, more: { readonly deadlineMs?: number } = {}): Sent =>
    system.send('AttachSandbox', { sandbox, networks: [{ network }] }, more);

  /** Another host of the same plugin: a worker that starts anew has one of its own. */
  const connect = (): LinkPlugins => {
    const made = linkPlugins(['weave'], {
      addLink: (name) => machine.addForeign(`link ${name}`),
      removeLink: (name) => machine.removeForeign(`link ${name}`),
    });
    const ids = (body: unknown) => body as { readonly NetworkID: string; readonly EndpointID: string };
    made.answers = {
      'NetworkDriver.CreateNetwork': ({ body }) => void known.networks.add(ids(body).NetworkID),
      'NetworkDriver.DeleteNetwork': ({ body }) => void known.networks.delete(ids(body).NetworkID),
      'NetworkDriver.CreateEndpoint': ({ body }) => void known.endpoints.add(ids(body).EndpointID),
      'NetworkDriver.DeleteEndpoint': ({ body }) => void known.endpoints.delete(ids(body).EndpointID),
      'NetworkDriver.Join': ({ body }) => void known.joined.add(ids(body).EndpointID),
      'NetworkDriver.Leave': ({ body }) => void known.joined.delete(ids(body).EndpointID),
    };
    return made;
  };

  /** The plugin knows what the log says, and no more. */
  const agree = async (): Promise<void> => {
    await system.check();
    const state = await system.state();
    const endpoints = [...state.endpoints.values()];
    const networks = [...state.networks.values()].filter(({ facts }) => facts.driver === 'weave');
    const ids = (rows: readonly { readonly facts: { readonly id: string } }[]) =>
      rows.map(({ facts }) => pluginId(realm, facts.id)).sort();
    const own = endpoints.filter(({ facts }) => networks.some((row) => row.facts.id === facts.networkId));
    assert.deepEqual([...known.networks].sort(), ids(networks));
    assert.deepEqual([...known.endpoints].sort(), ids(own));
    assert.deepEqual([...known.joined].sort(), ids(own.filter(({ status }) => status === 'joined')));
    assert.equal(devices().length, known.joined.size);
    assert.equal(machine.foreign.length, known.endpoints.size - known.joined.size);
  };

  beforeEach(async () => {
    machine = new MemoryMachine();
    streams = memoryStreams();
    known = { networks: new Set(), endpoints: new Set(), joined: new Set() };
    plugins = connect();
    system = await new System({ ...streams, kernel: kernel(), plugins, runDir: '/run/cnm' }).start();
    await system.run('CreateNetwork', { name: 'web', driver: 'weave', ipam: { subnets: [{ subnet: '10.8.0.0/20' }] } });
    await system.run('CreateNetwork', { name: 'lan' });
  });
  afterEach(() => system.stop());

  it('goes on with other networks behind six hundred commands that wait for one that hangs', async () => {
    const { answers } = plugins;
    plugins.answers = { ...answers, 'NetworkDriver.CreateEndpoint': hangs };
    const waiting = Array.from({ length: 600 }, (_, at) => send(`hung${at}`, 'web'));
    await Promise.all(waiting.map(({ first }) => first));
    const networks = [{ network: 'lan' }];
    for (let at = 0; at < 20; at++) await system.run('AttachSandbox', { sandbox: `box${at}`, networks });
    assert.equal((await system.state()).intents.size, 1200);
    for (let at = 0; at < 20; at++) await system.run('DetachSandbox', { sandbox: `box${at}` });
    plugins.answers = answers;
    assert.deepEqual(devices(), []);
  });

  it('ends a command whose plugin hangs at its deadline, and takes it back', async () => {
    const { answers } = plugins;
    for (const method of ['CreateEndpoint', 'Join', 'ProgramExternalConnectivity']) {
      plugins.answers = { ...answers, 'NetworkDriver.Join': joins, [`NetworkDriver.${method}`]: hangs };
      plugins.reset();
      const sent = send('box', 'web', { deadlineMs: 1 });
      await waitFor(async () => plugins.methods().includes(method), { what: `${method} to be asked` });
      await system.expire(sent);
      assert.equal((await sent.outcome).status, 'timed-out');
      await system.quiet();
      const { endpoints, sandboxes } = await system.state();
      assert.deepEqual([endpoints.size, sandboxes.size, devices().length], [0, 0, 0]);
      assert.equal(plugins.methods().at(-1), 'DeleteEndpoint');
      assert.equal(plugins.methods().includes('Leave'), method !== 'CreateEndpoint');
    }
  });

  it('lets no answer count that comes too late', async () => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    plugins.answers = { ...plugins.answers, 'NetworkDriver.CreateEndpoint': () => promise };
    const sent = send('box', 'web', { deadlineMs: 1 });
    await waitFor(async () => plugins.methods().includes('CreateEndpoint'), { what: 'the plugin to be asked' });
    await system.expire(sent);
    await system.quiet();
    const { answers } = plugins;
    plugins.answers = { ...answers, 'NetworkDriver.CreateEndpoint': () => undefined };
    resolve({ Interface: { MacAddress: '02:00:00:00:00:07' } });
    // Whatever the answer led to would be decided before this.
    await system.run('CreateEndpoint', { network: 'web', name: 'next' });
    const types = (await system.events()).map(({ type }) => type);
    assert.ok(!types.includes('EndpointSettled'));
    assert.deepEqual(plugins.methods().slice(-3), ['CreateEndpoint', 'DeleteEndpoint', 'CreateEndpoint']);
    await system.check();
  });

  it('ends a network whose plugin hangs, and tells it so', async () => {
    plugins.answers = { 'NetworkDriver.CreateNetwork': hangs };
    plugins.reset();
    const sent = system.send('CreateNetwork', { name: 'next', driver: 'weave' }, { deadlineMs: 1 });
    await waitFor(async () => plugins.methods().length > 0, { what: 'the plugin to be asked' });
    await system.expire(sent);
    await system.quiet();
    assert.deepEqual(plugins.methods(), ['CreateNetwork', 'DeleteNetwork']);
    assert.equal((await system.state()).networks.size, 2);
  });

  const moments = [
    ['attach', 'CreateEndpoint', 'before'],
    ['attach', 'CreateEndpoint', 'after'],
    ['attach', 'Join', 'before'],
    ['attach', 'Join', 'after'],
    ['attach', 'ProgramExternalConnectivity', 'after'],
    ['detach', 'Leave', 'before'],
    ['detach', 'Leave', 'after'],
    ['detach', 'DeleteEndpoint', 'before'],
    ['detach', 'DeleteEndpoint', 'after'],
    ['create', 'CreateNetwork', 'before'],
    ['create', 'CreateNetwork', 'after'],
    ['delete', 'DeleteNetwork', 'before'],
    ['delete', 'DeleteNetwork', 'after'],
  ] as const;
  const commands = {
    attach: () => send('box', 'web'),
    detach: () => system.send('DetachSandbox', { sandbox: 'box' }),
    create: () => system.send('CreateNetwork', { name: 'next', driver: 'weave' }),
    delete: () => system.send('DeleteNetwork', { network: 'web' }),
  };
  for (const isLate of [false, true]) {
    for (const [what, method, when] of moments) {
      if (isLate && what !== 'attach' && what !== 'create') continue;
      const meanwhile = isLate ? ', and the deadline passes' : '';
      it(`${what}: a worker ends ${when} the plugin does ${method}${meanwhile}; the next one sees to it`, async () => {
        if (what === 'detach') assert.equal((await send('box', 'web').outcome).status, 'succeeded');
        await system.stopWorker();
        const doomed: Mortal = mortal({ log: streams.log, kernel: kernel() });
        const own = connect();
        const usual = own.answers[`NetworkDriver.${method}`];
        const join = own.answers['NetworkDriver.Join'];
        own.answers = {
          ...own.answers,
          ...(method === 'ProgramExternalConnectivity' && {
            'NetworkDriver.Join': (asked) => {
              join?.(asked);
              return joins(asked);
            },
          }),
          [`NetworkDriver.${method}`]: (asked) => {
            if (when === 'after') usual?.(asked);
            if (when === 'after' && method === 'Join') machine.addForeign(`link ${linkIn(asked.body)}`);
            if (when === 'after' && method === 'DeleteEndpoint') machine.removeForeign(`link ${linkIn(asked.body)}`);
            doomed.kill();
            return hangs();
          },
        };
        await system.startWorker({ ...doomed, plugins: own });
        const sent = isLate && what === 'attach' ? send('box', 'web', { deadlineMs: 1 }) : commands[what]();
        await waitFor(async () => doomed.dead, { what: 'the worker to end' });
        if (isLate) await system.send('ExpireCommand', { actor: 'tester', commandId: sent.id }).first;
        await system.startWorker({ plugins: connect() });
        const { status } = await sent.outcome;
        assert.equal(status, isLate && what === 'attach' ? 'timed-out' : 'succeeded');
        await agree();
      });
    }
  }

  const linkIn = (body: unknown): string => `pv${(body as { EndpointID: string }).EndpointID.slice(0, 12)}`;
  /** A link, with a gateway, so that it carries the default route. */
  const joins = ({ body }: { readonly body: unknown }) => {
    machine.addForeign(`link ${linkIn(body)}`);
    const asked = plugins.asked.find(({ method }) => method === 'NetworkDriver.CreateNetwork')?.body;
    const [data] = (asked as { IPv4Data: { Gateway: string }[] }).IPv4Data;
    return { InterfaceName: { SrcName: linkIn(body), DstPrefix: 'eth' }, Gateway: data?.Gateway.split('/')[0] };
  };
});
