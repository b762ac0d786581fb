/** A plugin that does not answer any more is left alone, tried now and then, and used again when it answers; on a clock moved by hand. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, describe, it } from 'node:test';
import { silentLogger } from '../../services/lib/logger.ts';
import { type Called, createPlugins } from '../../services/plugins/plugins.ts';
import { waitFor } from '../support/nats.ts';
import { type PluginProcess, startOnSocket } from '../support/plugins/start.ts';
import { FakeClock, turn } from '../support/world.ts';

const root = mkdtempSync(join(tmpdir(), 'cnm-plugins-'));
after(() => rmSync(root, { recursive: true }));

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

const stage = async () => {
  const directory = mkdtempSync(join(root, 'host'));
  const path = join(directory, 'p.sock');
  const clock = new FakeClock();
  const plugins = createPlugins({ sockets: [directory], specs: [directory], logger: silentLogger(), clock });
  ends.push(() => plugins.close());
  const activated: string[] = [];
  plugins.onActivated((name) => activated.push(name));
  const start = async (): Promise<PluginProcess> => {
    const plugin = await startOnSocket(path);
    ends.push(() => plugin.kill());
    return plugin;
  };
  const network = plugins.network('p');
  let endpoints = 0;
  const call = (): Promise<Called<null>> => {
    endpoints += 1;
    return network.leave({ networkId: 'n', endpointId: `e${endpoints}` }, {});
  };
  /** A call that the plugin gets and does not answer in time. */
  const inVain = async (plugin: PluginProcess): Promise<string> => {
    const before = (await plugin.methods()).length;
    const calling = call();
    await waitFor(async () => (await plugin.methods()).length > before, { what: 'a request' });
    await clock.advance(5_000, turn);
    return textOf(await calling);
  };
  return { path, clock, plugins, activated, start, call, inVain };
};

const textOf = (called: Called<unknown>): string => (called.ok ? 'ok' : called.fault.text);
const late = 'no answer within 5000 ms';
const refused = /^not called: the last \d+ calls were not answered/;
const count = async (plugin: PluginProcess, method: string): Promise<number> =>
  (await plugin.methods()).filter((name) => name === method).length;

describe('a plugin that hangs', () => {
  it('is left alone after three calls; then it fails at once, and nobody waits', async () => {
    const { call, clock, inVain, start } = await stage();
    const plugin = await start();
    assert.equal(textOf(await call()), 'ok');
    await plugin.order({ behaviours: { '*': { kind: 'hangs' } } });
    for (let calls = 0; calls < 3; calls++) assert.equal(await inVain(plugin), late);
    const atMs = clock.monotonicMs();
    const leaves = await count(plugin, 'NetworkDriver.Leave');
    for (let calls = 0; calls < 100; calls++) assert.match(textOf(await call()), refused);
    assert.equal(clock.monotonicMs(), atMs);
    assert.equal(await count(plugin, 'NetworkDriver.Leave'), leaves);
  });

  it('is tried by the handshake alone, and used again as soon as it answers one', async () => {
    const { activated, call, clock, inVain, start } = await stage();
    const plugin = await start();
    assert.equal(textOf(await call()), 'ok');
    await plugin.order({ behaviours: { '*': { kind: 'hangs' } } });
    for (let calls = 0; calls < 3; calls++) await inVain(plugin);
    const leaves = await count(plugin, 'NetworkDriver.Leave');
    const trials = await count(plugin, 'Plugin.Activate');
    await plugin.order({ behaviours: {} });
    // A trial has 5 s of our clock, and the plugin answers in its own time: where that is too late, there is another one.
    const isBack = async (): Promise<boolean> => {
      await clock.advance(1_000, turn);
      return activated.length === 2;
    };
    await waitFor(isBack, { what: 'the plugin is back' });
    assert.ok((await count(plugin, 'Plugin.Activate')) > trials);
    assert.equal(await count(plugin, 'NetworkDriver.Leave'), leaves);
    assert.equal(textOf(await call()), 'ok');
    assert.deepEqual(activated, ['p', 'p']);
  });

  it('is one whose process stands still, too', async () => {
    const { call, clock, start } = await stage();
    const plugin = await start();
    assert.equal(textOf(await call()), 'ok');
    plugin.freeze();
    const first = call();
    await turn();
    await clock.advance(5_000, turn);
    assert.equal(textOf(await first), late);
    plugin.thaw();
    assert.equal(textOf(await call()), 'ok');
  });

  it('is not blamed for what a command left it too little time for', async () => {
    const { call, clock, plugins, start } = await stage();
    const plugin = await start();
    assert.equal(textOf(await call()), 'ok');
    await plugin.order({ behaviours: { 'NetworkDriver.Leave': { kind: 'hangs' } } });
    for (let calls = 0; calls < 5; calls++) {
      const before = (await plugin.methods()).length;
      const options = { byMs: clock.nowMs() + 500 };
      const calling = plugins.network('p').leave({ networkId: 'n', endpointId: `short${calls}` }, options);
      await waitFor(async () => (await plugin.methods()).length > before, { what: 'a request' });
      await clock.advance(500, turn);
      assert.equal(textOf(await calling), 'no answer within 500 ms');
    }
    await plugin.order({ behaviours: {} });
    assert.equal(textOf(await call()), 'ok');
    assert.equal(await count(plugin, 'Plugin.Activate'), 1);
  });

  it('and one that says no are two things: errors open nothing', async () => {
    const { call, start } = await stage();
    const plugin = await start();
    await plugin.order({ behaviours: { 'NetworkDriver.Leave': { kind: 'says', status: 500, body: 'no' } } });
    for (let calls = 0; calls < 10; calls++) assert.equal(textOf(await call()), 'remote: no');
    assert.equal(await count(plugin, 'NetworkDriver.Leave'), 10);
    assert.equal(await count(plugin, 'Plugin.Activate'), 1);
  });
});

describe('a plugin that is gone', () => {
  /** A call whose five attempts all find nobody. */
  const unanswered = async ({ call, clock }: Awaited<ReturnType<typeof stage>>): Promise<string> => {
    let text = '';
    const calling = call().then((called) => {
      text = textOf(called);
    });
    await waitFor(
      async () => {
        await clock.advance(50, turn);
        return text !== '';
      },
      { what: 'the call gives up' },
    );
    await calling;
    return text;
  };

  it('is used again as soon as its socket is back, however long the pause is', async () => {
    const made = await stage();
    const { activated, call, clock, start } = made;
    const first = await start();
    assert.equal(textOf(await call()), 'ok');
    await first.kill();
    const said = [];
    for (let calls = 0; calls < 4; calls++) said.push(await unanswered(made));
    assert.match(said[0] ?? '', /ECONNREFUSED/);
    assert.match(said[3] ?? '', refused);
    // Trials have been after 1, 3, 7, 15, 31 and 61 s; the next one is far.
    await clock.advance(72_000, turn);
    assert.match(textOf(await call()), refused);
    assert.deepEqual(activated, ['p']);
    const second = await start();
    const backMs = clock.monotonicMs();
    await waitFor(
      async () => {
        await clock.advance(50, turn);
        return activated.length === 2;
      },
      { what: 'the new process is activated' },
    );
    assert.ok(clock.monotonicMs() - backMs < 5_000);
    assert.equal(textOf(await call()), 'ok');
    assert.equal(await count(second, 'NetworkDriver.Leave'), 1);
  });

  it('is found where its file says, when that changes while the one before still hangs', async () => {
    const { activated, call, clock, path, plugins, start } = await stage();
    const hanging = await start();
    await hanging.order({ behaviours: { '*': { kind: 'hangs' } } });
    const calling = call();
    await waitFor(async () => (await hanging.methods()).length === 1, { what: 'the handshake has begun' });
    await start();
    writeFileSync(`${path}.spec`, 'tcp://127.0.0.1:1'); // another name: when it is seen, the socket was, too
    await waitFor(() => plugins.names().length === 2, { what: 'the change is seen' });
    await clock.advance(5_000, turn);
    assert.equal(textOf(await calling), late);
    await waitFor(() => activated.length === 1, { what: 'the new process is activated' }); // the clock stands still
    assert.equal(textOf(await call()), 'ok');
  });

  it('is asked for the handshake again after a single failure, by itself', async () => {
    const made = await stage();
    const { activated, call, clock, start } = made;
    const first = await start();
    assert.equal(textOf(await call()), 'ok');
    await first.kill();
    assert.match(await unanswered(made), /ECONNREFUSED/);
    const second = await start();
    await waitFor(
      async () => {
        await clock.advance(1_000, turn);
        return activated.length === 2;
      },
      { what: 'the new process is activated' },
    );
    assert.deepEqual(await second.methods(), [
      'Plugin.Activate',
      'NetworkDriver.GetCapabilities',
      'IpamDriver.GetCapabilities',
    ]);
  });
});
