/** Which plugins the directories hold, and that a change of them is noticed. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, afterEach, describe, it } from 'node:test';
import { checkPlugins } from '../../services/cli/doctor-plugins.ts';
import { silentLogger } from '../../services/lib/logger.ts';
import { type Directories, findPlugin, pluginNames, strayFiles } from '../../services/plugins/discovery.ts';
import { createPlugins, type Plugins } from '../../services/plugins/plugins.ts';
import { waitFor } from '../support/nats.ts';
import { type PluginProcess, startOnSocket } from '../support/plugins/start.ts';
import { FakeClock, turn } from '../support/world.ts';

const root = mkdtempSync(join(tmpdir(), 'cnm-plugins-'));
after(() => rmSync(root, { recursive: true }));

let serial = 0;
const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** Three directories as Docker has them, with files: what ends in `.sock` is a socket, everything else has the text given. */
const place = async (files: Readonly<Record<string, string>>): Promise<Directories & { readonly at: string }> => {
  serial += 1;
  const at = join(root, String(serial));
  for (const directory of ['run', 'etc', 'usr']) mkdirSync(join(at, directory), { recursive: true });
  for (const [file, text] of Object.entries(files)) {
    const path = join(at, file);
    mkdirSync(dirname(path), { recursive: true });
    if (text === 'socket') await listen(path);
    else writeFileSync(path, text);
  }
  return { at, sockets: [join(at, 'run')], specs: [join(at, 'etc'), join(at, 'usr')] };
};

const listen = async (path: string): Promise<void> => {
  const server: Server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  ends.push(() => new Promise((resolve) => server.close(() => resolve())));
};

const url = 'tcp://127.0.0.1:1';
const json = JSON.stringify({ Name: 'other', Addr: url });

describe('the directories', () => {
  it('are looked through in Docker order', async () => {
    const order = [
      'run/p.sock',
      'run/p/p.sock',
      'etc/p.spec',
      'etc/p/p.spec',
      'etc/p.json',
      'etc/p/p.json',
      'usr/p.spec',
      'usr/p/p.spec',
      'usr/p.json',
      'usr/p/p.json',
    ];
    const text = (file: string): string => (file.endsWith('.sock') ? 'socket' : file.endsWith('.json') ? json : url);
    const directories = await place(Object.fromEntries(order.map((file) => [file, text(file)])));
    const found: string[] = [];
    for (const _ of order) {
      const file = findPlugin(directories, 'p')?.file ?? '';
      found.push(file.slice(directories.at.length + 1));
      rmSync(file);
    }
    assert.deepEqual(found, order);
    assert.equal(findPlugin(directories, 'p'), null);
  });

  it('hold names, each once; what is no socket, no file or has no proper name is none', async () => {
    const directories = await place({
      'run/weave.sock': 'socket',
      'run/nested/nested.sock': 'socket',
      'run/file.sock': 'no socket',
      'run/nested-wrong/other.sock': 'socket',
      'run/.hidden.sock': 'socket',
      'etc/weave.spec': url,
      'etc/broken.spec': 'nonsense',
      'usr/remote.json': json,
      'usr/deep/deep.json': json,
      'usr/readme.txt': url,
      'usr/folder.spec/x': '',
    });
    assert.deepEqual(pluginNames(directories), ['broken', 'deep', 'nested', 'remote', 'weave']);
  });

  it('need not be there', () => {
    const directories = { sockets: [join(root, 'nowhere')], specs: [join(root, 'nowhere')] };
    assert.deepEqual(pluginNames(directories), []);
    assert.equal(findPlugin(directories, 'p'), null);
  });

  it('hold what no plugin is found by, with the reason', async () => {
    const directories = await place({
      'run/weave.sock': 'socket',
      'run/nested/nested.sock': 'socket',
      'run/file.sock': 'no socket',
      'run/weave.spec': url,
      'run/0123/other.sock': 'socket',
      'run/.hidden.sock': 'socket',
      'etc/good.spec': url,
      'etc/README': 'words',
      'etc/deep/deep.json': json,
      'etc/folder.spec/x': '',
      'usr/far.sock': 'no socket',
    });
    symlinkSync(join(directories.at, 'gone'), join(directories.at, 'usr/lost.json'));
    assert.deepEqual(
      strayFiles(directories).map(({ file, why, isMeant }) => [file.slice(directories.at.length + 1), why, isMeant]),
      [
        ['run/.hidden.sock', 'a name of a plugin is ^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$', true],
        ['run/0123', 'no 0123.sock in it', false],
        ['run/file.sock', 'it is no socket', true],
        ['run/weave.spec', 'plugins end in .sock here', true],
        ['etc/README', 'plugins end in .spec or .json here', false],
        ['etc/folder.spec', 'no folder.spec.spec or folder.spec.json in it', false],
        ['usr/far.sock', 'plugins end in .spec or .json here', true],
        ['usr/lost.json', 'it leads nowhere, or is not for us to see', true],
      ],
    );
  });

  it('are told of by doctor: who listens, who does not, and what is taken for no plugin', async () => {
    const directories = await place({
      'run/weave.sock': 'socket',
      'run/file.sock': 'no socket',
      'etc/bad.spec': '/run/x.sock',
      'etc/bridge.spec': 'unix:///run/x.sock',
      'etc/README': 'words',
    });
    const dead = join(directories.at, 'run/dead.sock');
    // A process that is killed leaves its socket behind.
    spawnSync('python3', ['-c', `import socket; socket.socket(socket.AF_UNIX).bind(${JSON.stringify(dead)})`]);
    writeFileSync(join(directories.at, 'etc/far.spec'), `unix://${dead}`);
    const checks = await checkPlugins(directories);
    assert.deepEqual(
      checks.map(({ name, result }) => `${result} ${name}`),
      [
        ...['bad plugin bad', 'bad plugin bridge', 'bad plugin dead', 'bad plugin far', 'ok plugin weave'],
        ...['bad no plugin', 'info no plugin'],
      ],
    );
    const [bad, taken, left, far] = checks.map(({ says }) => says.slice(directories.at.length + 1));
    assert.match(bad ?? '', /^etc\/bad\.spec: Unknown protocol/);
    assert.equal(taken, 'etc/bridge.spec: a driver of cnmbus has the name, so it is never asked');
    assert.match(left ?? '', /^run\/dead\.sock: nobody listens: connect ECONNREFUSED/);
    assert.match(far ?? '', /^etc\/far\.spec: nobody listens: connect ECONNREFUSED/);
    assert.ok(checks.every(({ result, remedy }) => (result === 'bad') === (remedy !== '')));
    const nowhere = { sockets: ['/nowhere/a'], specs: ['/nowhere/b'] };
    assert.deepEqual(
      (await checkPlugins(nowhere)).map(({ says }) => says),
      ['none in /nowhere/a, /nowhere/b'],
    );
  });
});

describe('a change', () => {
  const host = (directories: Directories, clock = new FakeClock()): Plugins => {
    const plugins = createPlugins({ ...directories, logger: silentLogger(), clock });
    ends.push(() => plugins.close());
    return plugins;
  };
  const process = async (path: string): Promise<PluginProcess> => {
    const plugin = await startOnSocket(path);
    ends.push(() => plugin.kill());
    return plugin;
  };

  it('is told once, without waiting for the next look', async () => {
    const directories = await place({ 'etc/a.spec': url });
    const plugins = host(directories); // its clock stands still
    const told: (readonly string[])[] = [];
    plugins.onChange(() => told.push(plugins.names()));
    assert.deepEqual(plugins.names(), ['a']);
    writeFileSync(join(directories.at, 'etc/b.spec'), url);
    await waitFor(() => told.length > 0, { what: 'b is seen' });
    rmSync(join(directories.at, 'etc/a.spec'));
    await waitFor(() => told.length > 1, { what: 'a is gone' });
    assert.deepEqual(told, [['a', 'b'], ['b']]);
  });

  it('of a directory that was not there is seen at the next look', async () => {
    const directories = await place({});
    const clock = new FakeClock();
    const plugins = host({ sockets: [join(directories.at, 'later')], specs: [] }, clock);
    const told: (readonly string[])[] = [];
    plugins.onChange(() => told.push(plugins.names()));
    mkdirSync(join(directories.at, 'later'));
    await listen(join(directories.at, 'later/p.sock'));
    await turn();
    assert.deepEqual(told, []);
    await clock.advance(2_000, turn);
    assert.deepEqual(told, [['p']]);
  });

  it('of a socket leads to the plugin that is there now, which is activated', async () => {
    const directories = await place({});
    const path = join(directories.at, 'run/p.sock');
    const plugins = host(directories);
    const activated: string[] = [];
    plugins.onActivated((name) => activated.push(name));
    const ref = { networkId: 'n', endpointId: 'e' };
    const leave = async (): Promise<boolean> => (await plugins.network('p').leave(ref, {})).ok;
    const first = await process(path);
    assert.deepEqual([await leave(), await leave()], [true, true]);
    // Another process takes the socket's place, while the first one still runs.
    const second = await process(`${path}.new`);
    renameSync(`${path}.new`, path);
    await waitFor(async () => (await leave()) && (await second.methods()).length > 0, { what: 'the second is asked' });
    assert.deepEqual((await second.methods()).slice(0, 4), [
      'Plugin.Activate',
      'NetworkDriver.GetCapabilities',
      'IpamDriver.GetCapabilities',
      'NetworkDriver.Leave',
    ]);
    const before = (await first.methods()).length;
    assert.ok(await leave());
    assert.equal((await first.methods()).length, before);
    assert.deepEqual(activated, ['p', 'p']);
  });
});
