import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { readEnv } from '../support/accounts.ts';

interface Mount {
  readonly type: string;
  readonly source: string;
  readonly target: string;
  readonly read_only?: boolean;
  readonly volume?: { readonly subpath: string };
}

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
  readonly volumes?: readonly (string | Mount)[];
}

/** As Compose puts defaults in. */
const text = readFileSync('docker-compose.yml', 'utf8').replaceAll(/\$\{\w+:-([^}]*)\}/g, '$1');
const compose = parse(text, { merge: true });
const services = compose.services as Record<string, Service>;
const { nats, keys, cli, ...ours } = services;

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
  assert.deepEqual(worker?.volumes?.[0], { type: 'bind', source: '/run/cnm', target: '/run/cnm', bind });
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
  assert.deepEqual(nats?.volumes, ['log:/data', 'server:/etc/cnm-nats:ro'], 'no keys of others');
  assert.ok('log' in compose.volumes);
});

test('compose: everybody has the key that was made for him, and no other', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'cnm-compose-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const words = keys?.command.map((word) => word.replace(/(\/keys|\/etc\/cnm-nats|\/data)$/, `${folder}$1`)) ?? [];
  const made = spawnSync('services/cli/cnm', words, { encoding: 'utf8' });
  assert.equal(made.status, 0, made.stderr);
  const config = join(folder, 'etc/cnm-nats/nats.conf');
  const checked = spawnSync('.cache/nats-server/nats-server', ['-t', '--config', config], { encoding: 'utf8' });
  assert.equal(checked.status, 0, checked.stderr);
  assert.match(readFileSync(config, 'utf8'), /store_dir: ".*\/data", sync_interval: always/);
  const users = Object.entries({ ...ours, cli });
  for (const [name, service] of users) {
    const mounts = (service?.volumes ?? []).filter(
      (mount): mount is Mount => typeof mount !== 'string' && mount.source === 'keys',
    );
    const [mount, ...others] = mounts;
    assert.ok(mount?.read_only && others.length === 0, name);
    const file = service?.environment?.CNM_NATS_NKEY_FILE ?? '';
    assert.equal(file, `${mount.target}/seed.nk`, name);
    assert.equal(statSync(join(folder, 'keys', mount.volume?.subpath ?? '', 'seed.nk')).mode & 0o777, 0o600, name);
  }
  assert.equal(new Set(users.map(([, service]) => service?.environment?.CNM_NATS_NKEY_FILE)).size, users.length);
  // what each is told is what its own folder says
  for (const [name, service] of users) {
    const folderOf = (service?.environment?.CNM_NATS_NKEY_FILE ?? '').replace(/^\/keys\/(.*)\/seed\.nk$/, '$1');
    const { CNM_NATS_URL: _, CNM_NATS_NKEY_FILE: __, ...said } = readEnv(join(folder, 'keys', folderOf, 'env'));
    assert.partialDeepStrictEqual(service?.environment, said, name);
  }
});

test('compose: Docker Compose, where it is, takes the file', (t) => {
  if (spawnSync('docker', ['compose', 'version']).status !== 0) return t.diagnostic('no Docker Compose here to ask');
  const checked = spawnSync('docker', ['compose', 'config', '--quiet'], { encoding: 'utf8' });
  assert.equal(checked.status, 0, checked.stderr);
});
