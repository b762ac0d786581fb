import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';

interface Service {
  readonly image: string;
  readonly command: readonly string[];
  readonly privileged?: boolean;
  readonly network_mode?: string;
  readonly pid?: string;
  readonly cap_drop?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly ports?: readonly string[];
  readonly volumes?: readonly unknown[];
}

const compose = parse(readFileSync('docker-compose.yml', 'utf8'), { merge: true });
const services = compose.services as Record<string, Service>;
const { nats, ...ours } = services;

test('compose: each service of ours serves itself, finds the log, and is watched', () => {
  assert.deepEqual(Object.keys(ours).sort(), ['collector', 'controller', 'projector', 'worker']);
  for (const [name, service] of Object.entries(ours)) {
    assert.deepEqual(service.command, ['serve', name]);
    assert.match(service.environment?.CNM_NATS_URL ?? '', /^nats:\/\//, name);
    assert.equal(service.depends_on?.nats?.condition, 'service_healthy', name);
    assert.ok(service.healthcheck, name);
  }
});

test('compose: only the worker has privileges, and it has the ones of the machine', () => {
  const privileged = Object.keys(services).filter((name) => services[name]?.privileged);
  assert.deepEqual(privileged, ['worker']);
  const { worker, ...others } = ours;
  assert.equal(worker?.network_mode, 'host');
  assert.equal(worker?.pid, 'host');
  const bind = { propagation: 'rshared', create_host_path: true };
  assert.deepEqual(worker?.volumes, [{ type: 'bind', source: '/run/cnm', target: '/run/cnm', bind }]);
  for (const [name, service] of Object.entries(others)) {
    assert.deepEqual(service.cap_drop, ['ALL'], name);
    assert.equal(service.network_mode ?? service.pid, undefined, name);
  }
});

test('compose: the server is the pinned one, on this machine only, with its log on a volume', () => {
  const pinned = /^version=(.+)$/m.exec(readFileSync('services/setup/nats-release.sh', 'utf8'))?.[1];
  assert.equal(nats?.image, `nats:${pinned}-alpine`);
  assert.ok(nats?.healthcheck);
  assert.equal(nats?.ports?.length, 1);
  assert.match(nats?.ports?.[0] ?? '', /^127\.0\.0\.1:.*:4222$/);
  assert.deepEqual(nats?.volumes, ['log:/data']);
  assert.ok('log' in compose.volumes);
});

test('compose: the server takes its configuration and syncs each write', (t) => {
  const content: string = compose.configs.nats.content;
  assert.match(content, /^ +store_dir: \/data$/m);
  assert.match(content, /^ +sync_interval: always$/m);
  const folder = mkdtempSync(join(tmpdir(), 'cnm-compose-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'nats.conf');
  writeFileSync(file, content);
  const checked = spawnSync('.cache/nats-server/nats-server', ['-t', '--config', file], { encoding: 'utf8' });
  assert.equal(checked.status, 0, checked.stderr);
});

test('compose: Docker Compose, where it is, takes the file', (t) => {
  if (spawnSync('docker', ['compose', 'version']).status !== 0) return t.diagnostic('no Docker Compose here to ask');
  const checked = spawnSync('docker', ['compose', 'config', '--quiet'], { encoding: 'utf8' });
  assert.equal(checked.status, 0, checked.stderr);
});
