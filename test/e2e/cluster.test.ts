// Streams with three copies: attach and detach go on while the server that leads a stream is killed; nothing acknowledged is lost, nothing done twice.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Client } from '../../services/client/index.ts';
import { STREAMS } from '../../services/nats/stream-config.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { audited, electionMs as deadlineMs, throughKill } from '../support/cluster-log.ts';
import { type Hosts, serverAddress, startHosts } from '../support/hosts.ts';
import { waitFor } from '../support/nats.ts';
import { inOwnNamespaces, sh } from '../support/netns.ts';

const sandboxesPerHost = 30;

if (inOwnNamespaces(import.meta.filename)) {
  let cluster: TestCluster;
  let lab: Hosts;
  let client: Client;

  before(async () => {
    sh('ip link set lo up');
    cluster = await startCluster(3, { listen: '0.0.0.0' });
    const env = { CNM_NATS_REPLICAS: '3' };
    lab = await startHosts(2, { url: cluster.urlAt(serverAddress), env });
    for (const host of lab.hosts) await host.start();
    for (const service of ['controller', 'projector', 'collector'] as const) await lab.serve(service);
    client = await lab.client();
    for (const { name } of lab.hosts) await (await client.createNetwork({ name: 'web' }, { host: name })).outcome;
  });
  after(async () => {
    await lab?.stop();
    await cluster?.stop();
  });

  const sandboxes = (): readonly { readonly sandbox: string; readonly host: string }[] =>
    lab.hosts.flatMap(({ name }) =>
      Array.from({ length: sandboxesPerHost }, (_, index) => ({ sandbox: `c${index}-${name}`, host: name })),
    );

  test('cluster: the streams have three copies', async () => {
    const { streams } = await (await import('@nats-io/jetstream')).jetstreamManager(await cluster.connect());
    for (const name of Object.values(STREAMS)) assert.equal((await streams.info(name)).config.num_replicas, 3, name);
  });

  test('cluster: attaches go through the kill of the leader of the log, detaches through that of the commands', async () => {
    const attached = await throughKill(
      cluster,
      STREAMS.log,
      sandboxes().map(({ sandbox, host }) => () => {
        return client.attachSandbox({ sandbox, networks: [{ network: `${host}/web` }] }, { deadlineMs });
      }),
    );
    const { rows } = await client.sandboxes({ filter: {}, limit: 1_000, atLeast: attached, timeoutMs: 30_000 });
    assert.equal(rows.length, 2 * sandboxesPerHost);
    // one port of a bridge for each, on its own host
    for (const { exec } of lab.hosts)
      assert.equal(exec('ip -o link show type veth | grep -c master').trim(), String(sandboxesPerHost));
    const detached = await throughKill(
      cluster,
      STREAMS.commands,
      sandboxes().map(
        ({ sandbox, host }) =>
          () =>
            client.detachSandbox({ sandbox }, { host, deadlineMs }),
      ),
    );
    assert.deepEqual((await client.sandboxes({ filter: {}, atLeast: detached, timeoutMs: 30_000 })).rows, []);
    // Links go behind the answer, in slices.
    for (const { name, exec } of lab.hosts)
      await waitFor(() => exec('ip -o link show type veth | grep -c master || true').trim() === '0', {
        what: `no links on ${name}`,
        timeoutMs: deadlineMs,
      });
  });

  test('cluster: every acknowledged command is on its stream and decided once, every intent reported once, the chain whole', async () => {
    const { asked, ended } = await audited(cluster);
    assert.equal(asked, 4 * sandboxesPerHost);
    // create and join, leave and delete of each sandbox, and the two networks
    assert.equal(ended, 4 * 2 * sandboxesPerHost + 2);
  });
}
