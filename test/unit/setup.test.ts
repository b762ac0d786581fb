// The setting-up, on machines that are made up: PATH is one folder with the usual tools and fakes of the rest.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { promisify } from 'node:util';

const scripts = resolve('services/setup');
const usualTools =
  'sh awk cat cmp cp dirname grep gzip id ln mkdir mktemp mv readlink rm sed sha256sum tail tar touch uname'.split(' ');

let machine: string;

beforeEach(() => {
  machine = fs.mkdtempSync(join(tmpdir(), 'cnm-setup-'));
  fs.mkdirSync(join(machine, 'bin'));
  for (const tool of usualTools) {
    const found = ['/usr/bin', '/bin'].map((folder) => join(folder, tool)).find((file) => fs.existsSync(file));
    assert.ok(found, tool);
    fs.symlinkSync(found, join(machine, 'bin', tool));
  }
});
afterEach(() => fs.rmSync(machine, { recursive: true }));

function script(file: string, body: string): void {
  fs.mkdirSync(join(machine, file, '..'), { recursive: true });
  fs.writeFileSync(join(machine, file), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
}

function run(file: string, args: readonly string[] = [], env: Record<string, string> = {}) {
  const PATH = join(machine, 'bin');
  const { status, stdout, stderr } = spawnSync(file, args, { cwd: machine, env: { PATH, ...env }, encoding: 'utf8' });
  return { status, stdout, stderr };
}

const setUpServer = () => run(join(scripts, 'nats-server.sh'), ['cache']);
const fakeServer = (file: string, version: string) => script(file, `echo 'nats-server: ${version}'`);
const exists = (file: string) => fs.existsSync(join(machine, file));

describe('setup of nats-server', () => {
  beforeEach(() => script('bin/node', 'echo "$2" >>asked; echo "github.com did not give it: no way out" >&2; exit 1'));

  for (const version of ['v2.15.1', 'v2.12.0', '2.12.8', 'v2.20.0-RC.1', 'v3.0.0']) {
    test(`takes ${version} from PATH and fetches nothing`, () => {
      fakeServer('bin/nats-server', version);
      assert.deepEqual(setUpServer(), { status: 0, stdout: '', stderr: '' });
      assert.equal(fs.readlinkSync(join(machine, 'cache/nats-server')), join(machine, 'bin/nats-server'));
      assert.equal(setUpServer().status, 0, 'and again');
      assert.equal(exists('asked'), false);
    });
  }

  for (const version of ['v2.9.10', 'v2.11.14', 'v1.99.0', 'unknown']) {
    test(`does not take ${version} from PATH`, () => {
      fakeServer('bin/nats-server', version);
      const { status, stderr } = setUpServer();
      assert.equal(status, 1);
      assert.match(stderr, /on PATH: +\S+\/bin\/nats-server is /);
      assert.equal(exists('cache/nats-server'), false);
    });
  }

  test('takes the one that was fetched earlier, without a network', () => {
    fakeServer('cache/nats-server', 'v2.14.5');
    assert.deepEqual(setUpServer(), { status: 0, stdout: '', stderr: '' });
    assert.equal(exists('asked'), false);
  });

  test('says once what to install when no way leads to a server', () => {
    const { status, stdout, stderr } = setUpServer();
    assert.equal(status, 1);
    assert.equal(stdout, '');
    assert.deepEqual(stderr.trimEnd().split('\n'), [
      'setup: nats-server 2.12 or newer',
      'setup: nats-server 2.12 or newer is needed and could not be had. Install it so that it is on PATH, and start again.',
      '  on PATH:         there is none',
      '  release archive: github.com did not give it: no way out',
      '  Debian package:  apt-get is not on this machine',
      '  to install:      https://github.com/nats-io/nats-server/releases, or the package nats-server of a newer distribution',
    ]);
  });

  test('refuses an archive that is not the pinned one, and leaves nothing of it', () => {
    fakeServer('release/nats-server', 'v2.14.5');
    script('bin/node', 'tar -czf "$3" release');
    const { status, stderr } = setUpServer();
    assert.equal(status, 1);
    assert.match(stderr, /the SHA-256 of nats-server-v\S+\.tar\.gz is not the pinned one: refused/);
    assert.deepEqual(fs.readdirSync(join(machine, 'cache')), []);
  });
});

describe('setup of node modules', () => {
  const setUpModules = () => run(join(scripts, 'modules.sh'));
  const installs = () => fs.readFileSync(join(machine, 'installs'), 'utf8').trim().split('\n');
  const fakeNpm = (nodeVersion: string) => {
    script('runtime', `echo ${nodeVersion}`);
    script('bin/npm', 'echo "$@" >>installs; mkdir -p node_modules/.bin; cp runtime node_modules/.bin/node');
  };
  beforeEach(() => fs.writeFileSync(join(machine, 'package-lock.json'), '{}'));

  test('installs once a lockfile', () => {
    fakeNpm('v24.1.0');
    assert.equal(setUpModules().status, 0);
    assert.equal(fs.readlinkSync(join(machine, 'node_modules/.bin/cnm')), '../../services/cli/cnm');
    assert.deepEqual(setUpModules(), { status: 0, stdout: '', stderr: '' });
    assert.deepEqual(installs(), ['ci --include=dev']);
    fs.writeFileSync(join(machine, 'package-lock.json'), '{ "changed": true }');
    assert.equal(setUpModules().status, 0);
    assert.equal(installs().length, 2);
  });

  test('says so when no Node 24 came of it', () => {
    fakeNpm('v20.20.2');
    const { status, stderr } = setUpModules();
    assert.equal(status, 1);
    assert.match(stderr, /no Node 24/);
  });
});

describe('setup of test tools', () => {
  test('one line and success where they cannot be installed, failure in CI', () => {
    const local = run(join(scripts, 'test-tools.sh'));
    assert.equal(local.status, 0);
    assert.match(local.stderr, /^setup: not here[^\n]* crun busybox-static\. Kernel and e2e tests [^\n]* skipped\.\n$/);
    assert.equal(run(join(scripts, 'test-tools.sh'), [], { CI: 'true' }).status, 1);
  });
});

test('download: writes what it is given, and says why when it is given nothing', async (t) => {
  const server = createServer((request, response) => {
    response.writeHead(request.url === '/there' ? 200 : 404).end('content');
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const download = (path: string) =>
    promisify(execFile)(process.execPath, [join(scripts, 'download.mjs'), `http://127.0.0.1:${port}${path}`, 'file'], {
      cwd: machine,
    });
  await assert.rejects(download('/gone'), { code: 1, stderr: `127.0.0.1:${port} did not give it: status 404\n` });
  assert.equal(exists('file'), false);
  await download('/there');
  assert.equal(fs.readFileSync(join(machine, 'file'), 'utf8'), 'content');
});

describe('launcher of cnm', () => {
  beforeEach(() => {
    fs.mkdirSync(join(machine, 'project/services/cli'), { recursive: true });
    fs.copyFileSync('services/cli/cnm', join(machine, 'project/services/cli/cnm'));
    fs.symlinkSync('../project/services/cli/cnm', join(machine, 'bin/cnm'));
  });
  const cnm = (...args: string[]) => run(join(machine, 'bin/cnm'), args);
  const fakeNode = (file: string, version: string) =>
    script(file, `[ "$1" = --version ] && echo ${version} || echo "${version}" "$@"`);

  test('refuses an old node in one line', () => {
    fakeNode('bin/node', 'v20.20.2');
    const { status, stderr } = cnm('status');
    assert.equal(status, 1);
    assert.match(stderr, /^cnm: needs Node 24 or newer, and found v20\.20\.2: [^\n]*\n$/);
  });

  test('runs the compiled command on the node of PATH', () => {
    fakeNode('bin/node', 'v24.0.0');
    assert.match(
      cnm('network', 'ls').stdout,
      /^v24\.0\.0 \S+\/project\S*\/dist\/services\/cli\/main\.js network ls\n$/,
    );
  });

  test('has compiled code kept where only its user can write, unless it is told where', () => {
    script('bin/node', '[ "$1" = --version ] && echo v24.0.0 || echo "$NODE_COMPILE_CACHE"');
    const kept = run(join(machine, 'bin/cnm'), ['status'], { HOME: machine }).stdout.trim();
    const own = process.getuid?.() === 0 ? '/var/cache/cnm-compiled' : join(machine, '.cache/cnm-compiled');
    assert.equal(kept, own);
    const { mode, uid } = fs.statSync(own);
    assert.deepEqual([mode & 0o022, uid], [0, process.getuid?.()]);
    const told = run(join(machine, 'bin/cnm'), ['status'], { NODE_COMPILE_CACHE: '/elsewhere' });
    assert.equal(told.stdout, '/elsewhere\n');
  });

  test("prefers the project's own node, and its sources", () => {
    fakeNode('bin/node', 'v20.20.2');
    fakeNode('project/node_modules/.bin/node', 'v24.9.9');
    fs.writeFileSync(join(machine, 'project/services/cli/main.ts'), '');
    assert.match(cnm('status', 'a b').stdout, /^v24\.9\.9 \S+\/project\/services\/cli\/main\.ts status a b\n$/);
  });
});
