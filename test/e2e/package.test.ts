// The package as another project gets it: packed, installed into an empty folder, type-checked, and README's example run.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, test } from 'node:test';
import { inOwnNamespaces, sh } from '../support/netns.ts';
import { makePlace, type Place, type Running } from './cli-harness.ts';

const root = join(import.meta.dirname, '../..');
const bin = join(root, 'node_modules/.bin');
const marker = 'CNM_TEST_PROJECT';
const INSTALL_MS = 60_000;

const npm = (cwd: string, ...words: string[]): string =>
  execFileSync('npm', [...words, '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd,
    encoding: 'utf8',
    timeout: INSTALL_MS,
    stdio: ['ignore', 'pipe', 'pipe'],
  });

/** What npm does, without a registry: the package unpacked, its dependencies as they are installed here. */
const unpack = (project: string, tarball: string): void => {
  const target = join(project, 'node_modules/cnmbus');
  mkdirSync(target, { recursive: true });
  execFileSync('tar', ['-xzf', tarball, '-C', target, '--strip-components=1']);
  for (const path of npm(root, 'ls', '--omit=dev', '--all', '--parseable').split('\n')) {
    const name = path.slice(`${root}/node_modules/`.length);
    if (path.includes('/node_modules/') && existsSync(path))
      cpSync(path, join(project, 'node_modules', name), { recursive: true });
  }
  mkdirSync(join(project, 'node_modules/.bin'), { recursive: true });
  execFileSync('ln', ['-s', '../cnmbus/services/cli/cnm', join(project, 'node_modules/.bin/cnm')]);
};

/** An empty project with the package in it. Before the namespaces, since a registry is outside of them. */
const makeProject = (): string => {
  const project = mkdtempSync(join(tmpdir(), 'cnm-package-'));
  process.once('exit', (code) => {
    if (code !== 0) rmSync(project, { recursive: true, force: true });
  });
  npm(root, 'pack', '--pack-destination', project);
  const tarball = join(project, readdirSync(project).find((name) => name.endsWith('.tgz')) ?? '');
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'example', private: true, type: 'module' }));
  try {
    npm(project, 'install', '--prefer-offline', '--fetch-retries=0', '--fetch-timeout=10000', tarball);
  } catch {
    rmSync(join(project, 'node_modules'), { recursive: true, force: true });
    unpack(project, tarball);
  }
  return project;
};

if (process.env.CNM_TEST_NAMESPACES === undefined) process.env[marker] = makeProject();

if (inOwnNamespaces(import.meta.filename)) {
  const project = process.env[marker] ?? '';
  let place: Place;
  let up: Running;

  before(async () => {
    sh('ip link set lo up');
    // the package brings no nats-server: it is taken from PATH
    const PATH = [bin, join(root, '.cache/nats-server'), process.env.PATH].join(delimiter);
    place = makePlace({ program: join(project, 'node_modules/.bin/cnm'), env: { PATH } });
    up = await place.up();
  });
  after(async () => {
    await up.end();
    place.remove();
    rmSync(project, { recursive: true, force: true });
  });

  test('package: holds what is built, its documents and the launcher, and no sources', () => {
    const files = readdirSync(join(project, 'node_modules/cnmbus'), { recursive: true }).map(String);
    assert.ok(files.includes('dist/services/client/index.js') && files.includes('dist/services/client/index.d.ts'));
    assert.ok(files.includes('services/cli/cnm'));
    assert.deepEqual(
      files.filter((file) => /(?<!\.d)\.ts$/.test(file)),
      [],
    );
  });

  test('package: the command line runs from it, worker and kernel threads included', () => {
    assert.match(place.cnm('--version').out, /^\d+\.\d+\.\d+\n$/);
    place.json('network', 'create', 'packed');
    place.json('sandbox', 'attach', 'p1', '--network', 'packed');
    assert.equal(place.cnm('sandbox', 'exec', 'p1', '--', 'true').exit, 0);
    place.json('sandbox', 'detach', 'p1');
    place.json('network', 'rm', 'packed');
  });

  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const examples = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code ?? '').filter(isOurs);

  /** What an example of README prints, as it stands there. */
  const runExample = (code: string): string => {
    writeFileSync(join(project, 'example.ts'), code);
    const types = ['--types', 'node', '--typeRoots', join(root, 'node_modules/@types')];
    const strict = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2024', '--skipLibCheck', 'false'];
    const check = spawnSync(join(bin, 'tsc'), [...strict, ...types, 'example.ts'], { cwd: project, encoding: 'utf8' });
    assert.equal(check.status, 0, check.stdout);
    const env = { ...place.env, CNM_NATS_URL: up.url };
    const run = spawnSync(process.execPath, ['example.ts'], { cwd: project, encoding: 'utf8', env, timeout: 60_000 });
    assert.equal(run.status, 0, run.stdout + run.stderr);
    assert.equal(run.stderr, '');
    return run.stdout;
  };

  test("package: README's example passes the type check, and does what it says", () => {
    assert.ok(examples[0] !== undefined, "README.md has no ```ts block that imports 'cnmbus'");
    assert.match(runExample(examples[0]), /netns\/cart 10\.\d+\.\d+\.2\/24\n$/);
  });

  test("package: README's classic walkthrough reads the port map of its endpoint, and leaves nothing", () => {
    const walkthrough = examples.find((code) => code.includes('portMap'));
    assert.ok(walkthrough !== undefined, 'README.md has no walkthrough');
    const out = runExample(walkthrough);
    assert.match(out, /^namespace .*\/netns\/container1\ntcp 127\.0\.0\.1:8080 -> 10\.\d+\.\d+\.2:80\n$/);
    for (const view of ['network', 'endpoint', 'sandbox', 'port']) assert.deepEqual(place.json(view, 'ls').rows, []);
  });
}

function isOurs(code: string): boolean {
  return /from 'cnmbus(\/events)?'/.test(code);
}
