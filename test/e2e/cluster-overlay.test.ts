// One network over three hosts on streams with three copies: sandboxes come and go while the server that leads a stream is killed, and then
// every host knows where everybody is.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Client } from '../../services/client/index.ts';
import { STREAMS } from '../../services/nats/stream-config.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { audited, electionMs as deadlineMs, throughKill } from '../support/cluster-log.ts';
import { type Hosts, serverAddress, startHosts } from '../support/hosts.ts';
import { converged, membersOf, pingAll, wantedTables } from '../support/mesh.ts';
import { inOwnNamespaces, sh } from '../support/netns.ts';

const perHost = 20;
/** Of them on each host leave, and others come with their addresses on the next host. */
const movingPerHost = 5;

if (inOwnNamespaces(import.meta.filename)) {
  let cluster: TestCluster;
  let lab: Hosts;
  let client: Client;
  let device: string;

  before(async () => {
    sh('ip link set lo up');
    cluster = await startCluster(3, { listen: '0.0.0.0' });
    const env = { CNM_NATS_REPLICAS: '3', CNM_UNDERLAY: 'uplink0' };
    lab = await startHosts(3, { url: cluster.urlAt(serverAddress), env });
    for (const host of lab.hosts) await host.start();
    for (const service of ['controller', 'projector', 'collector'] as const) await lab.serve(service);
    client = await lab.client();
    const ipam = { subnets: [{ subnet: '10.77.0.0/24' }] };
    const { position } = await (await client.createNetwork({ name: 'span', driver: 'overlay', internal: true, ipam }))
      .outcome;
    const { rows } = await client.networks({ filter: { name: 'span' }, atLeast: position });
    device = `cx${rows[0]?.id}`;
  });
  after(async () => {
    await lab?.stop();
    await cluster?.stop();
  });

  const attach = (sandbox: string, host: string, ipv4?: string) => () => {
    const interfaces = ipv4 === undefined ? [] : [{ ipv4 }];
    return client.attachSandbox({ sandbox, networks: [{ network: 'span', interfaces }] }, { host, deadlineMs });
  };
  const everybodyIsKnown = async (atLeast: number): Promise<void> => {
    const members = await membersOf(client, 'span', atLeast);
    assert.equal(members.length, lab.hosts.length * perHost);
    await converged(lab.hosts, wantedTables(lab.hosts, [{ device, members }]));
    assert.deepEqual(await pingAll(members, 1), { asked: members.length * (members.length - 1), missing: [] });
  };

  test('cluster: who attaches while the leader of the log is killed is known on every host', async () => {
    const names = Array.from({ length: perHost }, (_, index) => `c${index}`);
    const sends = lab.hosts.flatMap(({ name }) => names.map((sandbox) => attach(`${sandbox}-${name}`, name)));
    await everybodyIsKnown(await throughKill(cluster, STREAMS.log, sends));
  });

  test('cluster: addresses that go to other hosts while leaders are killed lead there', async () => {
    const members = await membersOf(client, 'span', 0);
    const moving = lab.hosts.flatMap(({ name }) => members.filter(({ host }) => host === name).slice(0, movingPerHost));
    const leaves = moving.map(
      ({ sandbox, host }) =>
        () =>
          client.detachSandbox({ sandbox }, { host, deadlineMs }),
    );
    await throughKill(cluster, STREAMS.commands, leaves);
    const next = new Map(lab.hosts.map(({ name }, index) => [name, lab.at((index + 1) % lab.hosts.length).name]));
    const comes = moving.map(({ sandbox, host, address }) =>
      attach(`next-${sandbox}`, next.get(host) ?? assert.fail(host), address),
    );
    await everybodyIsKnown(await throughKill(cluster, STREAMS.log, comes));
  });

  test('cluster: nothing that was acknowledged is lost or done twice, and who was created was admitted', async () => {
    const { asked, ended, events } = await audited(cluster);
    const [count, moved] = [lab.hosts.length * perHost, lab.hosts.length * movingPerHost];
    assert.equal(asked, count + 2 * moved);
    assert.equal(ended, 2 * (count + 2 * moved));
    const created = events.flatMap(({ type, data }) => (type === 'EndpointCreateRequested' ? [data.endpoint.id] : []));
    const admitted = events.flatMap(({ type, data }) => (type === 'EndpointAdmitted' ? [data.endpointId] : []));
    assert.equal(created.length, count + moved);
    // An admission whose creation was lost with a leader stands alone, and says nothing.
    assert.deepEqual(
      created.filter((id) => !admitted.includes(id)),
      [],
    );
  });
}
