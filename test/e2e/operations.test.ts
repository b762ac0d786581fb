// What operators see: metrics that count what was done, readiness with its reasons, a status that explains.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { samplesOf } from '../support/exposition.ts';
import { startNats, type TestNats, waitFor } from '../support/nats.ts';
import { inOwnNamespaces, sh } from '../support/netns.ts';
import { type ServiceProcess, startProcess } from '../support/service-process.ts';
import { makePlace, type Place } from './cli-harness.ts';

if (inOwnNamespaces(import.meta.filename)) {
  let nats: TestNats;
  let place: Place;
  let up: ServiceProcess;

  before(async () => {
    sh('ip link set lo up');
    nats = await startNats();
    place = makePlace({ env: { CNM_NATS_URL: nats.url, CNM_NATS_SYNC: 'always', CNM_HTTP: '127.0.0.1:0' } });
    up = await startProcess(['up'], place.env);
  });
  after(async () => {
    await up.end('SIGKILL');
    await nats.stop();
    place.remove();
  });

  const get = async (path: string): Promise<{ readonly status: number; readonly text: string }> => {
    const response = await fetch(`${up.httpUrl}${path}`);
    return { status: response.status, text: await response.text() };
  };
  const codes = async (): Promise<readonly string[]> => {
    const { reasons } = JSON.parse((await get('/ready')).text) as { reasons: { service: string; code: string }[] };
    return [...new Set(reasons.map(({ code }) => code))];
  };

  test('operations: metrics count what was decided, done and asked, by service', async () => {
    place.json('network', 'create', 'web');
    for (const sandbox of ['a', 'b']) place.json('sandbox', 'attach', sandbox, '--network', 'web');
    assert.equal(place.cnm('network', 'create', 'web').exit, 1);
    place.json('endpoint', 'ls');
    const { status, text } = await get('/metrics');
    assert.equal(status, 200);
    const found = samplesOf(text);
    const wanted = {
      'cnm_commands_decided_total{service="controller",command="CreateNetwork",result="accepted",code=""}': 1,
      'cnm_commands_decided_total{service="controller",command="CreateNetwork",result="refused",code="NETWORK_EXISTS"}': 1,
      'cnm_commands_ended_total{service="controller",command="AttachSandbox",status="succeeded"}': 2,
      'cnm_command_duration_seconds_count{service="controller",command="AttachSandbox"}': 2,
      'cnm_outcomes_total{service="worker",type="EndpointJoined"}': 2,
      'cnm_kernel_plans_total{service="worker",result="ok"}': 3,
      'cnm_view_rows{service="projector",view="sandboxes"}': 2,
      'cnm_controller_active{service="controller"}': 1,
      'cnm_dns_sandboxes{service="worker"}': 2,
      'cnm_commands_open{service="controller"}': 0,
      'cnm_log_lag_commits{service="worker"}': 0,
    };
    for (const [key, value] of Object.entries(wanted)) assert.equal(found.get(key), value, key);
    assert.ok((found.get('process_open_fds') ?? 0) > 10);
    for (const service of ['worker', 'projector', 'controller', 'collector'])
      assert.equal(found.get(`cnm_ready{service="${service}"}`), 1, service);
    assert.equal((await get('/nowhere')).status, 404);
  });

  test('operations: an address that is taken is refused with what to do, and nothing is started', () => {
    const { exit, err } = place.cnmWith({ CNM_HTTP: up.httpUrl?.replace('http://', '') ?? '' }, 'serve', 'collector');
    assert.equal(exit, 1);
    assert.match(err, /^HTTP_UNUSABLE: CNM_HTTP=127\.0\.0\.1:\d+: .*EADDRINUSE.*\nnext: Name an address /m);
  });

  test('operations: a folder that cannot be made is refused with what to do', () => {
    const absent = '/proc/cnm-absent/folder';
    for (const [env, variable, ...words] of [
      [{}, 'CNM_RUN_DIR', 'serve', 'worker'],
      [{ CNM_NATS_URL: '' }, 'CNM_DATA_DIR', 'up'],
    ] as const) {
      const { exit, err } = place.cnmWith({ ...env, CNM_HTTP: '', [variable]: absent }, ...words);
      assert.equal(exit, 1, err);
      assert.match(err, new RegExp(`^FOLDER_UNUSABLE: ${variable}=${absent}: ENOENT.*\\nnext: Name a folder `, 'm'));
    }
  });

  test('operations: a server that is away makes every service not ready, with the reason, and none of them dead', async () => {
    assert.deepEqual([(await get('/ready')).status, (await get('/live')).status], [200, 200]);
    await nats.kill();
    await waitFor(async () => (await get('/ready')).status === 503, { what: 'not ready' });
    assert.deepEqual(await codes(), ['DISCONNECTED']);
    assert.equal((await get('/live')).status, 200);
    assert.equal(samplesOf((await get('/metrics')).text).get('cnm_not_ready{service="worker",code="DISCONNECTED"}'), 1);
    await nats.restart();
    await waitFor(async () => (await get('/ready')).status === 200, { what: 'ready again', timeoutMs: 20_000 });
    const again = samplesOf((await get('/metrics')).text);
    for (const service of ['worker', 'projector', 'controller', 'collector'])
      assert.equal(again.get(`cnm_nats_disconnects_total{service="${service}"}`), 1, service);
  });

  test('operations: status tells of each service what it does and how far it is', () => {
    const { exit, out } = place.cnm('status');
    assert.equal(exit, 0);
    assert.match(out, /^service {4}controller on h1, pid \d+, \d\S+: ready, deciding, at position \d+/m);
    assert.match(out, /^service {4}worker on h1, pid \d+, \d\S+: ready, at position \d+/m);
    // the last thing that went wrong, for whoever comes to look
    assert.match(out, /^ {11}warn at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d: disconnected from NATS$/m);
    const { services, notReady } = place.json('status');
    assert.deepEqual(notReady, []);
    assert.ok(services.every(({ health }: { health: { ready: boolean } }) => health.ready));
  });
}
