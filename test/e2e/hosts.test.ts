// Several hosts on one log: each with a worker of its own, commands that name a host, one worker per name, and what a kill leaves.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Client, CommandRefused } from '../../services/client/index.ts';
import { type Hosts, serverAddress, startHosts, type Worker } from '../support/hosts.ts';
import { startNats, type TestNats, waitFor } from '../support/nats.ts';
import { inOwnNamespaces, sh, succeedsIn } from '../support/netns.ts';

if (inOwnNamespaces(import.meta.filename)) {
  let nats: TestNats;
  let lab: Hosts;
  let client: Client;
  let workers: Worker[];

  before(async () => {
    sh('ip link set lo up');
    nats = await startNats({ listen: '0.0.0.0' });
    lab = await startHosts(3, { url: nats.url.replace('127.0.0.1', serverAddress) });
    workers = await Promise.all(lab.hosts.map((host) => host.start()));
    for (const service of ['controller', 'projector', 'collector'] as const) await lab.serve(service);
    client = await lab.client();
  });
  after(async () => {
    await lab.stop();
    await nats.stop();
  });

  const workerAt = (index: number): Worker => workers[index] ?? assert.fail();
  const refusedAs = (code: string) => (error: unknown) => error instanceof CommandRefused && error.code === code;

  const createNetwork = async (name: string, host: string): Promise<void> => {
    await (await client.createNetwork({ name }, { host })).outcome;
  };
  /** Attaches a sandbox to a network of a host; answers the key of its namespace. */
  const attach = async (sandbox: string, network: string): Promise<string> => {
    const accepted = await client.attachSandbox({ sandbox, networks: [{ network }] });
    return keyOf(sandbox, (await accepted.outcome).position);
  };
  const keyOf = async (sandbox: string, atLeast: number): Promise<string> => {
    const { rows } = await client.sandboxes({ filter: { sandbox }, atLeast });
    return rows[0]?.key ?? assert.fail(`no sandbox ${sandbox}`);
  };
  const gatewayOf = async (network: string, host: string): Promise<string> => {
    const { rows } = await client.networks({ filter: { name: network, host } });
    return rows[0]?.subnets[0]?.gateway ?? assert.fail(`no network ${network}`);
  };

  test('hosts: each has networks of its own, under the same names', async () => {
    for (const { name } of lab.hosts) await createNetwork('web', name);
    for (const { name } of lab.hosts) {
      const key = await attach(`c-${name}`, `${name}/web`);
      assert.ok(succeedsIn(key, `ping -c1 -W2 ${await gatewayOf('web', name)}`), name);
    }
    const { rows } = await client.networks({ filter: { name: 'web' } });
    assert.deepEqual(rows.map(({ host }) => host).sort(), ['h1', 'h2', 'h3']);
    for (const { exec } of lab.hosts) assert.equal(exec('ip -br link show type bridge').trim().split('\n').length, 1);
  });

  test('hosts: a command takes the host that is named, or the one network of that name, and is refused where neither says', async () => {
    await assert.rejects(client.createNetwork({ name: 'db' }), refusedAs('HOST_REQUIRED'));
    await assert.rejects(client.createNetwork({ name: 'db' }, { host: 'h9' }), refusedAs('HOST_NOT_FOUND'));
    await createNetwork('db', 'h2');
    assert.ok(succeedsIn(await attach('c-db', 'db'), `ping -c1 -W2 ${await gatewayOf('db', 'h2')}`));
    const twice = client.attachSandbox({ sandbox: 'c-web', networks: [{ network: 'web' }] });
    await assert.rejects(twice, refusedAs('NETWORK_AMBIGUOUS'));
    const { rows } = await client.sandboxes({ filter: { sandbox: 'c-db' } });
    assert.deepEqual(
      rows.map(({ host }) => host),
      ['h2'],
    );
  });

  test('hosts: a second worker under a live name is refused, on that machine and on another, and the first goes on', async () => {
    const [first, second] = [lab.at(0), lab.at(1)];
    await assert.rejects(
      first.start(),
      new RegExp(`HOST_IN_USE: host h1 .*process ${workerAt(0).pid} of this machine`),
    );
    const elsewhere = second.start({ CNM_HOST: 'h1', CNM_RUN_DIR: `${lab.folder}/imposter` });
    await assert.rejects(
      elsewhere,
      new RegExp(`HOST_IN_USE: host h1 has a live worker: process ${workerAt(0).pid} on `),
    );
    assert.ok(succeedsIn(await attach('c-still', 'h1/web'), `ping -c1 -W2 ${await gatewayOf('web', 'h1')}`));
    // nor has the refused one touched anything on its machine
    assert.doesNotMatch(second.exec('nft list tables; ip -d link'), /cnm:e2e:h1|e2e_h1/);
  });

  test('hosts: the successor of a killed worker takes up what waits, and what runs does not notice', async () => {
    const host = lab.at(0);
    const [key, gateway] = [await keyOf('c-h1', 0), await gatewayOf('web', 'h1')];
    await host.kill();
    assert.equal(await workerAt(0).gone, null);
    assert.ok(succeedsIn(key, `ping -c1 -W2 ${gateway}`));
    const accepted = await client.attachSandbox({ sandbox: 'c-late', networks: [{ network: 'h1/web' }] });
    workers[0] = await host.start();
    const { position } = await accepted.outcome;
    assert.ok(succeedsIn(await keyOf('c-late', position), `ping -c1 -W2 ${gateway}`));
    assert.ok(succeedsIn(key, `ping -c1 -W2 ${gateway}`));
  });

  test('hosts: a worker that hangs is followed after the takeover time, and fenced off when it goes on', async () => {
    const host = lab.at(2);
    const hung = workerAt(2);
    process.kill(hung.pid, 'SIGSTOP');
    const successor = await host.start({ CNM_RUN_DIR: `${lab.folder}/h3-anew` });
    workers[2] = successor;
    process.kill(hung.pid, 'SIGCONT');
    assert.equal(await hung.gone, 1);
    assert.match(hung.log(), /WORKER_FENCED/);
    await createNetwork('after', 'h3');
    assert.doesNotMatch(successor.log(), /WORKER_FENCED/);
  });

  const hostRow = async (name: string) => (await client.hosts({ filter: { host: name } })).rows[0] ?? assert.fail(name);
  const isAway = (name: string) => async () => !(await hostRow(name)).alive;
  const lapsing = { what: 'the host to be found away', timeoutMs: 30_000 };

  test('hosts: one without a worker is shown as away, and as alive when it has one again', async () => {
    const [host, before] = [lab.at(0), await hostRow('h1')];
    assert.deepEqual([before.alive, before.awaySince], [true, null]);
    assert.deepEqual(before.underlay, { address: host.address, device: 'uplink0', mtu: 1500 });
    await host.kill();
    await waitFor(isAway('h1'), lapsing);
    const away = await hostRow('h1');
    assert.equal(away.epoch, before.epoch);
    assert.ok(Date.parse(away.awaySince ?? '') >= Date.parse(before.statedAt));
    assert.equal((await hostRow('h2')).alive, true);
    workers[0] = await host.start();
    await waitFor(async () => !(await isAway('h1')()), { what: 'the host to be back' });
    assert.deepEqual([(await hostRow('h1')).epoch, (await hostRow('h1')).awaySince], [before.epoch + 1, null]);
  });

  test('hosts: one that is cut off for longer is shown as away, and comes back by itself', async () => {
    const before = await hostRow('h2');
    const cut = lab.at(1).cut(9_000);
    await waitFor(isAway('h2'), lapsing);
    await cut;
    await waitFor(async () => !(await isAway('h2')()), { what: 'the host to be back', timeoutMs: 60_000 });
    assert.equal((await hostRow('h2')).epoch, before.epoch + 1);
    assert.equal((await hostRow('h2')).bootId, before.bootId);
  });

  test('hosts: one that is cut off catches up when it is back, and the others go on meanwhile', async () => {
    const away = lab.at(1).cut(3_000);
    const waiting = await client.attachSandbox({ sandbox: 'c-cut', networks: [{ network: 'db' }] });
    assert.ok(succeedsIn(await attach('c-other', 'h1/web'), `ping -c1 -W2 ${await gatewayOf('web', 'h1')}`));
    await away;
    await waiting.outcome;
    await waitFor(async () => succeedsIn(await keyOf('c-cut', 0), `ping -c1 -W2 ${await gatewayOf('db', 'h2')}`), {
      what: 'an answer from behind the cut',
    });
  });

  test('hosts: one that is declared lost while it is cut off clears what it has when it is back, and what it held is free before', async () => {
    const host = lab.at(1);
    const key = await attach('c-lost', 'db');
    assert.match(host.exec('ip -d link; ip -br link'), /cnm:e2e:h2|e2e_h2|br-/);
    const [before, answers] = [await hostRow('h2'), () => succeedsIn(key, 'true')];
    assert.ok(answers());
    const declare = { host: 'h2', reason: 'cut off for good' };
    await assert.rejects(client.declareHostLost(declare), refusedAs('HOST_ALIVE'));
    const cut = host.cut(11_000);
    await waitFor(isAway('h2'), lapsing);
    await (await client.declareHostLost(declare)).outcome;
    const { rows } = await client.networks({ filter: { host: 'h2' } });
    assert.deepEqual(rows, []);
    assert.deepEqual((await hostRow('h2')).lost?.reason, 'cut off for good');
    await assert.rejects(client.createNetwork({ name: 'db' }, { host: 'h2' }), refusedAs('HOST_NOT_FOUND'));
    assert.ok(answers(), 'what nobody can reach goes on until it can be');
    await cut;
    await waitFor(async () => (await hostRow('h2')).lost === null, { what: 'the host to be back', timeoutMs: 60_000 });
    assert.ok((await hostRow('h2')).epoch > before.epoch);
    // It says first that it is back: who would follow it is fenced by that.
    const links = () => host.exec('ip -br link show type bridge; ip -br link show type veth').match(/^(?!uplink)\S+/m);
    await waitFor(() => links() === null && !answers(), { what: 'what it had to be cleared', timeoutMs: 30_000 });
    await createNetwork('db', 'h2');
    assert.ok(succeedsIn(await attach('c-lost', 'db'), `ping -c1 -W2 ${await gatewayOf('db', 'h2')}`));
  });
}
