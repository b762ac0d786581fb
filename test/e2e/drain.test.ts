// SIGTERM: what is under way is finished and reported, leases are given free, the exit code is 0; a second signal ends it at once.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Client, connect } from '../../services/client/index.ts';
import { startNats, type TestNats, waitFor } from '../support/nats.ts';
import { inOwnNamespaces, sh } from '../support/netns.ts';
import { type ServiceProcess, startProcess } from '../support/service-process.ts';
import { makePlace, type Place } from './cli-harness.ts';

if (inOwnNamespaces(import.meta.filename)) {
  let nats: TestNats;
  let place: Place;
  let client: Client;
  const running = new Map<string, ServiceProcess>();

  const serve = async (service: string): Promise<ServiceProcess> => {
    const started = await startProcess(['serve', service], place.env);
    running.set(service, started);
    return started;
  };
  const of = (service: string): ServiceProcess => running.get(service) ?? assert.fail(service);
  const attach = (sandbox: string) => client.attachSandbox({ sandbox, networks: [{ network: 'web' }] });

  before(async () => {
    sh('ip link set lo up');
    nats = await startNats();
    place = makePlace({ env: { CNM_NATS_URL: nats.url, CNM_NATS_SYNC: 'always', CNM_LOG_LEVEL: 'info' } });
    client = await connect({ url: nats.url, actor: 'tester' });
    await Promise.all(['worker', 'controller', 'projector', 'collector'].map(serve));
    await (await client.createNetwork({ name: 'web' })).outcome;
  });
  after(async () => {
    await Promise.all([...running.values()].map((one) => one.end('SIGKILL')));
    await client.close();
    await nats.stop();
    place.remove();
  });

  test('drain: a worker reports what it has begun, and the next one does the rest', async () => {
    const sent = Array.from({ length: 150 }, (_, n) => attach(`w${n}`));
    // the first is done, so the others are under way
    await (await sent[0])?.outcome;
    assert.equal(await of('worker').end(), 0);
    assert.doesNotMatch(of('worker').log(), /could not be stopped in order/);
    // what was begun is reported: nothing that the kernel has is unknown to the log, and no half of a sandbox is left
    const { rows } = await client.sandboxes();
    const reported = rows.filter(({ status }) => status === 'ready').length;
    assert.ok(reported < 150, 'the worker was stopped too late to prove anything');
    assert.equal((JSON.parse(sh('ip -j link show type veth')) as readonly object[]).length, reported);
    await serve('worker');
    for (const accepted of await Promise.all(sent)) await accepted.outcome;
    assert.ok((await client.sandboxes()).rows.every(({ status }) => status === 'ready'));
  });

  test('drain: a controller ends its round and gives its lease free, so the next one decides at once', async () => {
    const sent = Array.from({ length: 60 }, (_, n) => attach(`c${n}`));
    await sent[0];
    assert.equal(await of('controller').end(), 0);
    const stream = await (await nats.connect()).request(
      '$JS.API.STREAM.MSG.GET.CNM_LEASE',
      '{"last_by_subj":"cnm.lease.controller"}',
    );
    const { message } = stream.json<{ message: { data?: string } }>();
    const lease = Buffer.from(message.data ?? '', 'base64').toString();
    assert.equal(JSON.parse(lease).released, true, lease);
    await serve('controller');
    for (const accepted of await Promise.all(sent)) await accepted.outcome;
    const { rows } = await client.commands({ filter: { status: 'accepted' } });
    assert.deepEqual(rows, []);
  });

  test('drain: a projector answers whom it still can, and tells those who wait to ask another one', async () => {
    const { position } = await client.networks();
    const waiting = client.networks({ atLeast: position + 1_000, timeoutMs: 30_000 });
    const refused = assert.rejects(waiting, /QUERY_NOT_YET|the service stops/);
    // it has been taken when a later one is answered
    await client.networks();
    assert.equal(await of('projector').end(), 0);
    await refused;
    await serve('projector');
  });

  test('drain: a collector and a whole cnm up end in order too', async () => {
    assert.equal(await of('collector').end(), 0);
    await Promise.all(['worker', 'controller', 'projector'].map((name) => of(name).end()));
    running.clear();
    const up = await startProcess(['up'], place.env);
    running.set('up', up);
    const accepted = await Promise.all(Array.from({ length: 20 }, (_, n) => attach(`u${n}`)));
    await accepted[0]?.outcome;
    assert.equal(await up.end(), 0);
    assert.doesNotMatch(up.log(), /could not be stopped in order/);
    const again = await startProcess(['up'], place.env);
    running.set('up', again);
    await Promise.all(accepted.map(({ outcome }) => outcome));
  });

  test('drain: a second signal ends at once what has to wait; without one it ends all the same', async () => {
    const up = of('up');
    await nats.kill();
    await waitFor(() => up.log().includes('disconnected from NATS'), { what: 'the loss' });
    // nobody can be told of leases now, so the first signal alone takes a while
    up.signal('SIGTERM');
    await waitFor(() => up.log().includes('"msg":"stopping"'), { what: 'the first signal' });
    // one that comes within 300 ms may be the echo of the first
    await new Promise((resolve) => setTimeout(resolve, 400));
    assert.equal(await up.end(), 130);
    await nats.restart();
    const collector = await serve('collector');
    await nats.kill();
    await waitFor(() => collector.log().includes('disconnected from NATS'), { what: 'the loss' });
    assert.equal(await collector.end(), 0);
    await nats.restart();
  });
}
