/**
 * A driver of somebody else, in another language: fabric.py has nothing but docs/protocol.md, is the worker of a host of its own, and may
 * do no more on the server than the page says. What it does on demand stands at its beginning.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { isFailure, isIntent, isTerminal } from '../../events/events.ts';
import { type Acceptance, type Client, CommandFailed, CommandRefused } from '../../services/client/index.ts';
import { eventsOf } from '../../services/lib/commit.ts';
import { STREAMS } from '../../services/nats/stream-config.ts';
import { type FabricProcess, fabricState, fabricUsers, startFabric } from '../support/fabric.ts';
import { type Hosts, serverAddress, startHosts } from '../support/hosts.ts';
import { brokenChain, misfits, readWhole } from '../support/log-checks.ts';
import { startNats, type TestNats, testStream, waitFor } from '../support/nats.ts';
import { inOwnNamespaces, sh } from '../support/netns.ts';

if (inOwnNamespaces(import.meta.filename)) {
  let nats: TestNats;
  let lab: Hosts;
  let client: Client;
  let connection: NatsConnection;
  let fabric: FabricProcess;
  const started: FabricProcess[] = [];

  const urlOf = (user: string): string => nats.url.replace('127.0.0.1', `${user}:${user}@${serverAddress}`);
  const connectAs = (user: string): Promise<NatsConnection> => connect({ servers: nats.url, user, pass: user });
  const stateFile = (): string => join(lab.folder, 'fabric.json');
  const start = async (...words: string[]): Promise<FabricProcess> => {
    const one = await startFabric({ url: urlOf('fabric'), host: 'fab-1', state: stateFile(), words });
    started.push(one);
    return one;
  };

  const makeNetworks = async (): Promise<void> => {
    const misbehaviours = { lan: {}, bad: { fail: 'join' }, slow: { hang: 'join' }, far: { late: 'join' } };
    for (const [name, options] of Object.entries(misbehaviours))
      await (await client.createNetwork({ name, driver: 'fabric', options }, { host: 'fab-1' })).outcome;
  };

  before(async () => {
    sh('ip link set lo up');
    nats = await startNats({ listen: '0.0.0.0', config: fabricUsers });
    lab = await startHosts(1, { url: urlOf('ours') });
    await lab.at(0).start();
    for (const service of ['controller', 'projector', 'collector'] as const) await lab.serve(service);
    client = await lab.client();
    connection = await connectAs('ours');
    fabric = await start();
    await makeNetworks();
  });
  after(async () => {
    for (const one of started) await one.kill();
    await connection?.close();
    await lab?.stop();
    await nats?.stop();
  });

  /** A call of the command line; what it prints. */
  const cnm = (...words: string[]): string => {
    const launcher = join(import.meta.dirname, '../../services/cli/cnm');
    const env = { PATH: process.env.PATH ?? '', HOME: lab.folder, CNM_NATS_URL: urlOf('ours'), CNM_REALM: 'e2e' };
    const { status, stdout, stderr } = spawnSync(launcher, words, { env, encoding: 'utf8', timeout: 60_000 });
    assert.equal(status, 0, `cnm ${words.join(' ')}: ${stderr}`);
    return stdout;
  };
  const portsNow = () => Object.values(fabricState(stateFile()).ports);
  const attach = (sandbox: string, network: string, deadlineMs = 30_000) =>
    client.attachSandbox({ sandbox, networks: [{ network }] }, { deadlineMs });
  const detach = async (sandbox: string): Promise<void> => {
    await (await client.detachSandbox({ sandbox })).outcome;
  };
  const failure = async ({ outcome }: Acceptance): Promise<CommandFailed> => {
    const error = await outcome.then(
      () => null,
      (reason) => reason,
    );
    assert.ok(error instanceof CommandFailed, String(error));
    return error;
  };
  const endpointOf = async (sandbox: string) => (await client.endpoints({ filter: { sandbox } })).rows[0];
  const log = () => readWhole(testStream(connection, STREAMS.log));
  /** Names of what was reported for a command, in log order. */
  const reportsOf = async (commandid: string): Promise<readonly string[]> =>
    (await log()).flatMap((message) =>
      eventsOf(message)
        .filter(({ meta, type }) => meta.commandid === commandid && !isIntent(type) && type !== 'CommandTimedOut')
        .map(({ type }) => type),
    );

  test('third party: its host and driver are shown beside ours', async () => {
    const hosts = cnm('host', 'ls');
    assert.match(hosts, /^fab-1 +alive +1 /m);
    assert.match(hosts, /^h1 +alive +1 /m);
    assert.match(cnm('driver', 'ls'), /^fabric .*fab-1/m);
  });

  test('third party: networks, endpoints and sandboxes come and go by the command line as with any driver', async () => {
    // nobody has to say which host: only one has the driver
    cnm('network', 'create', 'cli', '--driver', 'fabric', '--subnet', '10.9.0.0/24', '-o', 'vlan=7');
    const [network] = (await client.networks({ filter: { name: 'cli' } })).rows;
    assert.deepEqual([network?.status, network?.host, network?.driver], ['active', 'fab-1', 'fabric']);
    assert.deepEqual(fabricState(stateFile()).networks[network?.id ?? ''], { vlan: '7' });
    cnm('sandbox', 'attach', 'c1', '--network', 'cli');
    const endpoint = await endpointOf('c1');
    assert.deepEqual([endpoint?.status, endpoint?.ipv4], ['joined', '10.9.0.2/24']);
    assert.equal(endpoint?.interface, `fab-${endpoint?.id.slice(0, 8)}`, 'the name that the driver gave');
    assert.match(endpoint?.mac ?? '', /^02:fa:/, 'the MAC address that the driver had decided on');
    const [sandbox] = (await client.sandboxes({ filter: { sandbox: 'c1' } })).rows;
    assert.equal(sandbox?.status, 'ready');
    assert.deepEqual(portsNow(), [{ network: network?.id, sandbox: sandbox?.incarnation }]);
    cnm('endpoint', 'create', 'cli', 'e2');
    cnm('endpoint', 'join', 'cli', 'e2', '--sandbox', 'c1');
    assert.equal(portsNow().filter((port) => port.sandbox === sandbox?.incarnation).length, 2);
    cnm('endpoint', 'leave', 'cli', 'e2');
    cnm('endpoint', 'rm', 'cli', 'e2');
    cnm('sandbox', 'detach', 'c1');
    cnm('network', 'rm', 'cli');
    assert.deepEqual(portsNow(), []);
    assert.equal((await client.sandboxes({ filter: { sandbox: 'c1' } })).rows.length, 0);
    assert.equal((await client.networks({ filter: { name: 'cli' } })).rows.length, 0);
  });

  test('third party: changes in place, settings of the driver and the pruning of networks reach it too', async () => {
    const wide = { name: 'wide', driver: 'fabric', labels: { tier: 'test' } };
    await (await client.createNetwork(wide)).outcome;
    const networks = [{ network: 'wide' }, { network: 'lan' }];
    await (await client.attachSandbox({ sandbox: 'c0', networks })).outcome;
    await (await client.updateNetwork({ network: 'wide', labels: { tier: 'gone' } })).outcome;
    const updated = await client.updateEndpoint({ network: 'wide', endpoint: 'c0', aliases: ['www'] });
    const { position } = await updated.outcome;
    assert.deepEqual(
      (await client.endpoints({ filter: { network: 'wide', sandbox: 'c0' }, atLeast: position })).rows[0]?.aliases,
      ['www'],
    );
    const publishing = await client.updateEndpoint({
      network: 'wide',
      endpoint: 'c0',
      ports: [{ hostPort: 80, port: 80 }],
    });
    assert.equal((await failure(publishing)).code, 'FABRIC_REFUSED');
    const inWide = await client.endpoints({ filter: { network: 'wide', sandbox: 'c0' } });
    assert.deepEqual(inWide.rows[0]?.ports, [], 'what was before holds');
    await (await client.configureDriver({ driver: 'fabric', options: {} })).outcome;
    await detach('c0');
    await (await client.pruneNetworks({ labels: ['tier=gone'] }, { host: 'fab-1' })).outcome;
    assert.equal((await client.networks({ filter: { name: 'wide' } })).rows.length, 0);
    assert.deepEqual(portsNow(), []);
  });

  test('third party: a join that the driver refuses ends the command, and what was made for it is gone', async () => {
    const accepted = await attach('c2', 'bad');
    const failed = await failure(accepted);
    assert.deepEqual([failed.code, failed.fault?.text], ['FABRIC_REFUSED', 'the fabric was told to refuse joins']);
    assert.deepEqual(await reportsOf(accepted.commandid), ['EndpointCreateFailed', 'EndpointJoinFailed']);
    assert.deepEqual(portsNow(), []);
    assert.equal((await client.endpoints({ filter: { network: 'bad' } })).rows.length, 0);
    assert.equal((await client.sandboxes({ filter: { sandbox: 'c2' } })).rows.length, 0);
  });

  test('third party: what stands on a network that the driver refuses fails with it', async () => {
    process.kill(fabric.pid, 'SIGSTOP');
    const network = await client.createNetwork({ name: 'none', driver: 'fabric', options: { fail: 'create' } });
    const endpoint = await client.createEndpoint({ network: 'none', name: 'e' });
    process.kill(fabric.pid, 'SIGCONT');
    assert.equal((await failure(network)).code, 'FABRIC_REFUSED');
    assert.equal((await failure(endpoint)).code, 'DEPENDENCY_FAILED');
    assert.equal((await client.networks({ filter: { name: 'none' } })).rows.length, 0);
    assert.deepEqual(portsNow(), []);
  });

  test('third party: a move to a network that refuses it leaves the sandbox where it was', async () => {
    await (await attach('c3', 'lan')).outcome;
    const before = await endpointOf('c3');
    const moving = await client.moveSandbox({ sandbox: 'c3', from: 'lan', to: { network: 'bad' } });
    assert.equal((await failure(moving)).code, 'FABRIC_REFUSED');
    assert.deepEqual(await reportsOf(moving.commandid), [
      ...['EndpointCreateFailed', 'EndpointJoinFailed', 'EndpointLeaveReverted', 'EndpointDeleteReverted'],
    ]);
    const now = await endpointOf('c3');
    assert.deepEqual([now?.id, now?.network, now?.status], [before?.id, 'lan', 'joined']);
    assert.deepEqual(Object.keys(fabricState(stateFile()).ports), [before?.id]);
    await detach('c3');
    assert.deepEqual(portsNow(), []);
  });

  test('third party: what passes its deadline is undone and reported, and nothing else waits for it', async () => {
    const accepted = await attach('c4', 'slow', 1_500);
    await waitFor(() => portsNow().some(({ sandbox }) => sandbox !== null), { what: 'the join to be under way' });
    await (await attach('c5', 'lan')).outcome;
    assert.equal((await failure(accepted)).code, 'TIMED_OUT');
    await fabric.saying('undone', 6);
    assert.equal(fabric.said('undone').at(-1)?.code, 'TIMED_OUT');
    await waitFor(async () => (await reportsOf(accepted.commandid)).length === 2, { what: 'the report' });
    assert.deepEqual(await reportsOf(accepted.commandid), ['EndpointCreateFailed', 'EndpointJoinFailed']);
    assert.equal(portsNow().length, 1, 'that of c5');
    await detach('c5');
  });

  test('third party: what its sender cancels is undone and reported as cancelled, under way or done', async () => {
    const failed = ['EndpointCreateFailed', 'EndpointJoinFailed'];
    const done = ['EndpointCreated', 'EndpointJoined', 'SandboxCreated'];
    for (const [network, reports, undone] of [
      ['slow', failed, 7],
      ['far', [...done, ...failed, 'SandboxRemoved'], 8],
    ] as const) {
      const accepted = await attach('k1', network);
      await waitFor(() => portsNow().some(({ sandbox }) => sandbox !== null), { what: `the join to ${network}` });
      await (await client.cancelCommand({ commandId: accepted.commandid })).outcome;
      assert.equal((await failure(accepted)).code, 'CANCELLED');
      writeFileSync(`${stateFile()}.go`, '');
      await fabric.saying('undone', undone);
      assert.equal(fabric.said('undone').at(-1)?.code, 'CANCELLED');
      await waitFor(async () => (await reportsOf(accepted.commandid)).length === reports.length, {
        what: 'the reports',
      });
      assert.deepEqual(await reportsOf(accepted.commandid), reports);
      assert.deepEqual(portsNow(), []);
    }
    rmSync(`${stateFile()}.go`);
    await (await attach('k1', 'lan')).outcome;
    await detach('k1');
  });

  test('third party: a report that comes behind the deadline does not count, so the driver undoes what it had done', async () => {
    const accepted = await attach('c11', 'far', 1_000);
    assert.equal((await failure(accepted)).code, 'TIMED_OUT');
    writeFileSync(`${stateFile()}.go`, '');
    await fabric.saying('undone', 9);
    await waitFor(async () => (await reportsOf(accepted.commandid)).length === 6, { what: 'both reports' });
    assert.deepEqual(await reportsOf(accepted.commandid), [
      ...['EndpointCreated', 'EndpointJoined', 'SandboxCreated'],
      ...['EndpointCreateFailed', 'EndpointJoinFailed', 'SandboxRemoved'],
    ]);
    assert.deepEqual(portsNow(), []);
    assert.equal((await client.endpoints({ filter: { network: 'far' } })).rows.length, 0);
    assert.equal((await client.sandboxes({ filter: { sandbox: 'c11' } })).rows.length, 0);
  });

  test('third party: killed between deed and report it does the same again when it is back, and reports once', async () => {
    await fabric.kill();
    const dying = await start('--die');
    const accepted = await attach('c6', 'lan');
    assert.equal(await dying.gone, 'SIGKILL');
    const [done] = portsNow();
    assert.ok(done?.sandbox, 'it was done');
    assert.deepEqual(await reportsOf(accepted.commandid), []);
    fabric = await start();
    await accepted.outcome;
    assert.deepEqual(portsNow(), [done]);
    assert.deepEqual(await reportsOf(accepted.commandid), ['EndpointCreated', 'EndpointJoined', 'SandboxCreated']);
    await detach('c6');
  });

  test('third party: killed likewise, and back after the deadline, it undoes what it finds', async () => {
    await fabric.kill();
    const dying = await start('--die');
    const accepted = await attach('c7', 'lan', 1_000);
    assert.equal(await dying.gone, 'SIGKILL');
    assert.equal((await failure(accepted)).code, 'TIMED_OUT');
    assert.equal(portsNow().length, 1);
    fabric = await start();
    await fabric.saying('undone');
    await waitFor(async () => (await reportsOf(accepted.commandid)).length === 2, { what: 'the report' });
    assert.deepEqual(await reportsOf(accepted.commandid), ['EndpointCreateFailed', 'EndpointJoinFailed']);
    assert.deepEqual(portsNow(), []);
  });

  const hostRow = async () => (await client.hosts({ filter: { host: 'fab-1' } })).rows[0] ?? assert.fail('no host');

  test('third party: of two workers of a host the newer one acts, and the older one is stopped by the log', async () => {
    const { epoch } = await hostRow();
    process.kill(fabric.pid, 'SIGSTOP');
    const successor = await start();
    await (await attach('c8', 'lan')).outcome;
    process.kill(fabric.pid, 'SIGCONT');
    assert.equal(await fabric.gone, 3);
    assert.equal(fabric.said('fenced').length, 1);
    fabric = successor;
    await detach('c8');
    assert.equal((await hostRow()).epoch, epoch + 1);
  });

  test('third party: a host that shows no sign of life is away, and is back with a new epoch', async () => {
    const { epoch, alive } = await hostRow();
    assert.equal(alive, true);
    process.kill(fabric.pid, 'SIGSTOP');
    await waitFor(async () => !(await hostRow()).alive, { what: 'the host to be found away', timeoutMs: 30_000 });
    process.kill(fabric.pid, 'SIGCONT');
    await waitFor(async () => (await hostRow()).alive, { what: 'the host to be back', timeoutMs: 30_000 });
    assert.equal((await hostRow()).epoch, epoch + 1);
  });

  test('third party: a host that is declared lost comes back with nothing, in a new epoch, and is one like any other', async () => {
    await (await attach('k2', 'lan')).outcome;
    const { epoch } = await hostRow();
    process.kill(fabric.pid, 'SIGSTOP');
    await waitFor(async () => !(await hostRow()).alive, { what: 'the host to be found away', timeoutMs: 30_000 });
    await (await client.declareHostLost({ host: 'fab-1', reason: 'burnt' })).outcome;
    assert.equal(portsNow().length, 1, 'the fabric still has what the log does not');
    process.kill(fabric.pid, 'SIGCONT');
    await waitFor(async () => (await hostRow()).alive, { what: 'the host to be back', timeoutMs: 30_000 });
    assert.equal((await hostRow()).epoch, epoch + 1);
    await waitFor(() => portsNow().length === 0, { what: 'the fabric to be cleared' });
    assert.deepEqual(fabricState(stateFile()), { networks: {}, ports: {} });
    assert.equal((await client.networks({ filter: { host: 'fab-1' } })).rows.length, 0);
    await makeNetworks();
    await (await attach('k2', 'lan')).outcome;
    await detach('k2');
  });

  test('third party: networks that our own drivers carry are refused there, and one of the realm goes past it', async () => {
    const refused = (code: string) => (error: unknown) => error instanceof CommandRefused && error.code === code;
    await assert.rejects(
      client.createNetwork({ name: 'b', driver: 'bridge' }, { host: 'fab-1' }),
      refused('CAPABILITY_MISSING'),
    );
    await assert.rejects(
      client.createNetwork({ name: 'f', driver: 'fabric' }, { host: 'h1' }),
      refused('DRIVER_NOT_FOUND'),
    );
    await (await client.createNetwork({ name: 'span', driver: 'overlay' })).outcome;
    await assert.rejects(
      client.attachSandbox({ sandbox: 'c9', networks: [{ network: 'span' }] }, { host: 'fab-1' }),
      refused('CAPABILITY_MISSING'),
    );
    await (await client.deleteNetwork({ network: 'span' })).outcome;
  });

  test('third party: may write nothing but the reports of its host', async () => {
    const restricted = await connectAs('fabric');
    const denied = new Set<string>();
    const watching = (async () => {
      for await (const status of restricted.status())
        if (status.type === 'error') denied.add(/"([^"]+)"/.exec(status.error.message)?.[1] ?? status.error.message);
    })();
    const others = ['cnm.event.host.fab-1', 'cnm.event.realm._', 'cnm.outcome.h1', 'cnm.command.collector._'];
    for (const subject of others) restricted.publish(subject, '[]');
    await restricted.flush();
    await waitFor(() => denied.size === others.length, { what: 'the server to deny it' });
    await restricted.close();
    await watching;
    assert.deepEqual([...denied].sort(), [...others].sort());
  });

  test('third party: nonsense that a worker reports counts for nothing, and hurts nobody', async () => {
    const nonsense = [
      'hello',
      '{}',
      '[{"type":"cnm.EndpointJoind.v1","source":"/x"}]',
      '[{"type":"cnm.HostFacts.v2","data":{}}]',
    ];
    for (const body of nonsense) connection.publish('cnm.outcome.fab-2', body);
    await connection.flush();
    await (await attach('c10', 'lan')).outcome;
    await detach('c10');
    const { rows } = await client.hosts({});
    assert.deepEqual(rows.map(({ host }) => host).sort(), ['fab-1', 'h1']);
    const stored = (await log()).filter(({ subject }) => subject === 'cnm.outcome.fab-2');
    assert.equal(stored.length, nonsense.length);
  });

  test('third party: every intent has ended once, the chain is whole, and every commit fits the schemas', async () => {
    for (const name of ['lan', 'bad', 'slow', 'far']) await (await client.deleteNetwork({ network: name })).outcome;
    const whole = await log();
    const written = whole.filter(({ subject }) => subject !== 'cnm.outcome.fab-2');
    assert.deepEqual(brokenChain(written), []);
    assert.deepEqual(misfits(written), []);
    const own = whole.filter(({ subject }) => /\.fab-1$/.test(subject)).flatMap(eventsOf);
    const [open, late] = [new Set<string>(), new Set<string>()];
    const counts = { done: 0, failed: 0, tooLate: 0 };
    for (const { type, data, meta } of own) {
      if (isIntent(type)) open.add(meta.id);
      else if (type === 'CommandTimedOut' || type === 'CommandCancelled') for (const id of data.intents) late.add(id);
      else if (isTerminal(type) && late.has(meta.causationid) && !isFailure(type)) counts.tooLate += 1;
      else if (isTerminal(type)) {
        assert.ok(open.delete(meta.causationid), `${type} ends nothing that is open`);
        counts[isFailure(type) ? 'failed' : 'done'] += 1;
      }
    }
    assert.equal(open.size, 0);
    // done: five networks made and removed, eight sandboxes attached and detached, one endpoint by hand, and the changes in place; what was
    // lost with its host: four networks, and a sandbox that had been attached
    const done = 5 * 2 + 8 * 4 + 4 + 13 + (4 + 2);
    // refused 2, a network and what stood on it 2, the move 4, late 2 and 2 and 2, one update, and cancelled 2 and 2
    assert.deepEqual(counts, { done, failed: 2 + 2 + 4 + 2 + 2 + 2 + 1 + 4, tooLate: 2 + 2 });
    assert.deepEqual(fabricState(stateFile()), { networks: {}, ports: {} });
  });
}
