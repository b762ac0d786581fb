// The environment as settings: defaults, what is checked, and that all problems are told at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { environment, hostRunDir, readConfig, redacted } from '../../services/lib/config.ts';
import type { Machine } from '../../services/lib/machine.ts';

const root: Machine = { uid: 0, user: 'root', home: '/root', hostname: 'h1', id: 'aa55' };
const user: Machine = { uid: 1000, user: 'ann', home: '/home/ann', hostname: 'h1', id: 'aa55' };

const configOf = (env: Record<string, string>, machine = root) => {
  const read = readConfig(env, machine);
  assert.ok(read.ok, JSON.stringify(read));
  return read.config;
};

const problemsOf = (env: Record<string, string>): readonly string[] => {
  const read = readConfig(env, root);
  return read.ok ? [] : read.problems;
};

test('config: without anything set, root gets the places of the system', () => {
  const config = configOf({});
  assert.equal(config.natsUrl, null);
  assert.deepEqual([config.dataDir, config.runDir], ['/var/lib/cnm', '/run/cnm']);
  assert.deepEqual([config.realm, config.host, config.actor], ['default', 'h1', 'root']);
  assert.deepEqual(config.pools, [{ base: '10.200.0.0/14', size: 24 }]);
  assert.deepEqual(config.realmPools, [{ base: '10.204.0.0/14', size: 24 }]);
  assert.equal(hostRunDir(config), '/run/cnm/default-h1');
});

test('config: a user without root keeps things at home, and what a reboot may take in the runtime directory', () => {
  const config = configOf({ XDG_RUNTIME_DIR: '/run/user/1000' }, user);
  assert.deepEqual([config.dataDir, config.runDir], ['/home/ann/.local/share/cnm', '/run/user/1000/cnm']);
  assert.equal(configOf({}, user).runDir, '/home/ann/.local/share/cnm/run');
  assert.equal(config.actor, 'ann');
});

test('config: an empty variable counts as one that is not set', () => {
  assert.equal(configOf({ CNM_NATS_URL: '', CNM_HOST: '' }).natsUrl, null);
});

test('config: names that the machine gives are made valid', () => {
  const config = configOf({}, { ...root, hostname: '_my box.lan', user: 'ann lee' });
  assert.deepEqual([config.host, config.actor], ['my-box.lan', 'ann-lee']);
  assert.equal(configOf({}, { ...root, hostname: '___' }).host, 'localhost');
});

test('config: the secret of encrypted overlays is a file, named by its whole path', () => {
  assert.equal(configOf({}).overlaySecretFile, null);
  assert.equal(configOf({ CNM_OVERLAY_SECRET_FILE: '/etc/cnm/secret' }).overlaySecretFile, '/etc/cnm/secret');
  assert.equal(problemsOf({ CNM_OVERLAY_SECRET_FILE: 'secret' }).length, 1);
});

test('config: hosts in the plural: copies of the streams, and how others reach this one', () => {
  assert.deepEqual([configOf({}).natsReplicas, configOf({}).underlay], [1, null]);
  assert.equal(configOf({ CNM_NATS_REPLICAS: '3' }).natsReplicas, 3);
  assert.equal(configOf({ CNM_UNDERLAY: '10.99.0.1' }).underlay, '10.99.0.1');
  assert.equal(configOf({ CNM_UNDERLAY: 'bond0.7' }).underlay, 'bond0.7');
  const wrong = ['2', 'x'].map((text) => problemsOf({ CNM_NATS_REPLICAS: text }).length);
  const places = ['fe80::1', 'a/b', 'way-too-long-a-name'].map((text) => problemsOf({ CNM_UNDERLAY: text }).length);
  assert.deepEqual([...wrong, ...places], [1, 1, 1, 1, 1]);
});

test('config: where plugins are, and how long they may take', () => {
  const config = configOf({});
  assert.deepEqual(config.pluginSockets, ['/run/docker/plugins']);
  assert.deepEqual(config.pluginSpecs, ['/etc/docker/plugins', '/usr/lib/docker/plugins']);
  assert.equal(config.pluginTimeoutMs, 5_000);
  const own = configOf({ CNM_PLUGIN_SOCKETS: '/a:/b', CNM_PLUGIN_SPECS: '/c', CNM_PLUGIN_TIMEOUT_MS: '200' });
  assert.deepEqual([own.pluginSockets, own.pluginSpecs, own.pluginTimeoutMs], [['/a', '/b'], ['/c'], 200]);
  const wrong = { CNM_PLUGIN_SOCKETS: 'a:/b', CNM_PLUGIN_SPECS: ':', CNM_PLUGIN_TIMEOUT_MS: '0' };
  for (const [name, value] of Object.entries(wrong)) assert.notEqual(problemsOf({ [name]: value }).length, 0, name);
});

test('config: all problems are told at once, each with its variable and value', () => {
  const problems = problemsOf({
    CNM_HOST: 'a b',
    CNM_REALM: 'Upper',
    CNM_DATA_DIR: 'relative',
    CNM_LOG_LEVEL: 'loud',
    CNM_POOLS: '10.0.0.0/8',
    CNM_QUARANTINE_MS: '1.5',
    CNM_NATS_URL: 'not a url',
    CNM_ULA: '2001:db8::/48',
  });
  assert.equal(problems.length, 8);
  assert.ok(problems.some((problem) => problem.startsWith('CNM_POOLS=10.0.0.0/8: ')));
});

test('config: programs that cnm becomes have the environment but for where our compiled code is kept', () => {
  const env = { PATH: '/bin', NODE_COMPILE_CACHE: '/var/cache/cnm-compiled', NONE: undefined };
  assert.deepEqual(environment(env), { PATH: '/bin' });
  assert.deepEqual(environment({ NODE_COMPILE_CACHE: '/own' }), { NODE_COMPILE_CACHE: '/own' });
});

test('config: ids are remembered for 30 days, or for fewer', () => {
  assert.equal(configOf({}).memoryMs, 30 * 86_400_000);
  assert.equal(configOf({ CNM_ID_DAYS: '2' }).memoryMs, 2 * 86_400_000);
  for (const wrong of ['0', '31', '1.5', 'week']) assert.equal(problemsOf({ CNM_ID_DAYS: wrong }).length, 1, wrong);
});

test('config: pools, roots and evidence of syncing are read', () => {
  const config = configOf({
    CNM_POOLS: '10.9.0.0/16/26, 172.16.0.0/12/24',
    CNM_NETNS_ROOTS: '/run:/tmp',
    CNM_NATS_SYNC: 'always',
    CNM_NATS_URL: 'nats://a:4222,nats://b:4222',
  });
  assert.deepEqual(config.pools[0], { base: '10.9.0.0/16', size: 26 });
  assert.deepEqual(config.netnsRoots, ['/run', '/tmp']);
  assert.equal(config.natsSyncStated, true);
  assert.equal(config.natsUrl, 'nats://a:4222,nats://b:4222');
});

test('config: pools that cannot be cut as they say are refused, of hosts and of the realm', () => {
  const wrong = ['10.9.0.0/16/12', '10.9.0.1/16/24', '10.9.0.0/16/31', '127.0.0.0/8/24'];
  for (const name of ['CNM_POOLS', 'CNM_REALM_POOLS'])
    for (const text of wrong) {
      const [problem, ...others] = problemsOf({ [name]: `10.8.0.0/16/24,${text}` });
      assert.ok(problem?.startsWith(`${name}=`), text);
      assert.deepEqual(others, []);
    }
  assert.deepEqual(configOf({ CNM_REALM_POOLS: '10.9.0.0/16/26' }).realmPools, [{ base: '10.9.0.0/16', size: 26 }]);
});

test('config: what is audited and kept, and what is wrong with it', () => {
  const { actorsProven, checkpointKeyFile, checkpointFile, checkpointMs, snapshotEvents } = configOf({});
  assert.deepEqual([actorsProven, checkpointKeyFile, checkpointFile], [false, null, null]);
  assert.deepEqual([checkpointMs, snapshotEvents], [60_000, 5_000]);
  const files = { CNM_CHECKPOINT_KEY_FILE: '/etc/cnm/key.pem', CNM_CHECKPOINT_FILE: '/var/log/cnm/checkpoints' };
  const config = configOf({
    CNM_ACTORS: 'authenticated',
    CNM_CHECKPOINT_MS: '100',
    CNM_SNAPSHOT_EVENTS: '1',
    ...files,
  });
  assert.equal(config.actorsProven, true);
  assert.deepEqual([config.checkpointMs, config.snapshotEvents], [100, 1]);
  assert.deepEqual([config.checkpointKeyFile, config.checkpointFile], Object.values(files));
  const wrong = {
    CNM_ACTORS: 'yes',
    CNM_CHECKPOINT_KEY_FILE: 'key',
    CNM_CHECKPOINT_MS: '99',
    CNM_SNAPSHOT_EVENTS: '0',
  };
  assert.equal(problemsOf(wrong).length, 4);
});

test('config: automatic IPv6 subnets stay the same over restarts, and differ between machines and realms', () => {
  const { ula } = configOf({});
  assert.match(ula, /^fd[0-9a-f]{2}:[0-9a-f]{1,4}:[0-9a-f]{1,4}::\/48$/);
  assert.equal(configOf({}).ula, ula);
  assert.notEqual(configOf({}, { ...root, id: 'bb66' }).ula, ula);
  assert.notEqual(configOf({ CNM_REALM: 'other' }).ula, ula);
});

test('config: credentials are not shown', () => {
  const shown = redacted(configOf({ CNM_NATS_URL: 'nats://ann:secret@a:4222,nats://token@b:4222' }));
  assert.equal(shown.natsUrl, 'nats://***@a:4222,nats://***@b:4222');
});
