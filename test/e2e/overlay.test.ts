// One network over several hosts, each with a worker process and a kernel namespace of its own: traffic, names, departure, healing.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import { type Client, CommandRefused } from '../../services/client/index.ts';
import { type Hosts, serverAddress, startHosts } from '../support/hosts.ts';
import { startNats, type TestNats, waitFor } from '../support/nats.ts';
import { inOwnNamespaces, sh, shIn, succeedsIn } from '../support/netns.ts';

if (inOwnNamespaces(import.meta.filename)) {
  let nats: TestNats;
  let lab: Hosts;
  let client: Client;

  before(async () => {
    sh('ip link set lo up');
    nats = await startNats({ listen: '0.0.0.0' });
    lab = await startHosts(3, { url: nats.url.replace('127.0.0.1', serverAddress), env: { CNM_UNDERLAY: 'uplink0' } });
    await Promise.all(lab.hosts.map((host) => host.start()));
    for (const service of ['controller', 'projector', 'collector'] as const) await lab.serve(service);
    client = await lab.client();
    await (
      await client.createNetwork({ name: 'span', driver: 'overlay', ipam: { subnets: [{ subnet: '10.77.0.0/24' }] } })
    ).outcome;
  });
  after(async () => {
    await lab.stop();
    await nats.stop();
  });

  interface Placed {
    readonly key: string;
    readonly address: string;
  }

  const attach = async (host: string, sandbox: string): Promise<Placed> => {
    const accepted = await client.attachSandbox({ sandbox, networks: [{ network: 'span' }] }, { host });
    const { position } = await accepted.outcome;
    const { rows } = await client.sandboxes({ filter: { sandbox }, atLeast: position });
    const endpoints = await client.endpoints({ filter: { sandbox, network: 'span' }, atLeast: position });
    const address = endpoints.rows[0]?.ipv4?.split('/')[0];
    return { key: rows[0]?.key ?? assert.fail(`no sandbox ${sandbox}`), address: address ?? assert.fail('no address') };
  };
  const detach = async (host: string, sandbox: string): Promise<void> => {
    await (await client.detachSandbox({ sandbox }, { host })).outcome;
  };
  const reaches = ({ key }: Placed, { address }: Placed): boolean => succeedsIn(key, `ping -c1 -W1 ${address}`);
  const eventually = (from: Placed, to: Placed) =>
    waitFor(() => reaches(from, to), { what: `${from.address} to reach ${to.address}`, timeoutMs: 10_000 });
  const tunnelsOn = (index: number): string => lab.at(index).exec('ip -br link show type vxlan').trim();

  test('overlay: sandboxes on three hosts reach each other, by address and by name, and nobody is flooded', async () => {
    const [a, b, c] = [await attach('h1', 'a'), await attach('h2', 'b'), await attach('h3', 'c')];
    assert.equal(new Set([a, b, c].map(({ address }) => address)).size, 3);
    for (const from of [a, b, c]) for (const to of [a, b, c]) await eventually(from, to);
    await waitFor(() => shIn(a.key, 'dig +short @127.0.0.11 c').trim() === c.address, { what: 'the name c on h1' });
    const fdb = lab
      .at(0)
      .exec('bridge fdb show')
      .split('\n')
      .filter((line) => line.includes('dst 10.99.0.'));
    assert.equal(fdb.length, 2, 'one entry for each endpoint elsewhere');
    assert.ok(!fdb.some((line) => line.startsWith('00:00:00:00:00:00')), 'no default destination');
    // What the way between the hosts takes, less 50 bytes for VXLAN.
    const mtuIn = (text: string): number => Number(/ mtu (\d+) /.exec(text)?.[1]);
    const mtu = mtuIn(lab.at(0).exec('ip -o link show uplink0')) - 50;
    assert.equal(mtuIn(shIn(a.key, 'ip -o link show eth0')), mtu);
    assert.ok(succeedsIn(a.key, `ping -c1 -W1 -M do -s ${mtu - 28} ${b.address}`));
    assert.ok(!succeedsIn(a.key, `ping -c1 -W1 -M do -s ${mtu - 27} ${b.address}`));
  });

  test('overlay: each sandbox gets out through its host, and is reached from outside at ports of the host', async () => {
    const a = { key: (await client.sandboxes({ filter: { sandbox: 'a' } })).rows[0]?.key ?? '', address: '' };
    assert.ok(reaches(a, { key: '', address: serverAddress }));
    const ports = [{ hostPort: 8080, port: 80, hostAddress: 'any' }];
    const attached = await client.attachSandbox(
      { sandbox: 'p', networks: [{ network: 'span' }], ports },
      { host: 'h2' },
    );
    const { position, sandbox } = await attached.outcome;
    const server = spawn('nsenter', [`--net=${sandbox?.key}`, 'python3', '-m', 'http.server', '80'], {
      stdio: 'ignore',
    });
    try {
      const asked = () =>
        fetch(`http://${lab.at(1).address}:8080/`, { signal: AbortSignal.timeout(2_000) }).then(
          ({ status }) => status,
          () => 0,
        );
      await waitFor(async () => (await asked()) === 200, { what: 'the published port on h2', timeoutMs: 10_000 });
    } finally {
      server.kill('SIGKILL');
    }
    const { rows } = await client.networks({ filter: { outlet: 'true' }, atLeast: position });
    assert.deepEqual(rows.map(({ host, name }) => `${host}/${name}`).sort(), [
      'h1/cnm-gateway',
      'h2/cnm-gateway',
      'h3/cnm-gateway',
    ]);
    await detach('h2', 'p');
  });

  test('overlay: what somebody else removes of the tables comes back, and the address of one who left is not kept', async () => {
    const d = await attach('h3', 'd');
    const a = { key: (await client.sandboxes({ filter: { sandbox: 'a' } })).rows[0]?.key ?? '', address: '' };
    await eventually(a, d);
    const device = tunnelsOn(0).split(/\s/)[0] ?? '';
    lab
      .at(0)
      .exec(
        `ip neigh flush dev ${device} nud permanent; for m in $(bridge fdb show dev ${device} | awk '/dst 10/{print $1}'); do bridge fdb del $m dev ${device}; done`,
      );
    assert.equal(lab.at(0).exec(`bridge fdb show dev ${device} | grep -c 'dst 10.99' || true`).trim(), '0');
    await eventually(a, d);
    await detach('h3', 'd');
    await waitFor(() => !lab.at(0).exec(`ip neigh show dev ${device}`).includes(`${d.address} `), {
      what: 'the entry of the one who left to go',
      timeoutMs: 10_000,
    });
    const e = await attach('h2', 'e');
    await eventually(a, e);
  });

  test('overlay: a worker that was killed finds everything as the log says, meanwhile others came and left', async () => {
    await lab.at(0).kill();
    await detach('h2', 'e');
    const f = await attach('h2', 'f');
    const a = (await client.sandboxes({ filter: { sandbox: 'a' } })).rows[0]?.key ?? '';
    await lab.at(0).start();
    await eventually({ key: a, address: '' }, f);
    await detach('h2', 'f');
  });

  test('overlay: one that is to be encrypted is refused where hosts have no secret, whatever their kernels can', async () => {
    await assert.rejects(
      client.createNetwork({ name: 'secret', driver: 'overlay', options: { encrypted: '' } }),
      (error: unknown) =>
        error instanceof CommandRefused &&
        error.code === 'CAPABILITY_MISSING' &&
        error.culprits.some(
          ({ kind, id, detail }) => kind === 'capability' && id === 'esp' && /^h[123]$/.test(detail ?? ''),
        ),
    );
  });

  test('overlay: the last one that leaves takes the network out of its host, and it is deleted when nobody is in it', async () => {
    await assert.rejects(
      client.deleteNetwork({ network: 'span' }),
      (error: unknown) => error instanceof CommandRefused && error.code === 'NETWORK_HAS_ENDPOINTS',
    );
    for (const [index, sandbox] of ['a', 'b', 'c'].entries()) {
      await detach(`h${index + 1}`, sandbox);
      await waitFor(() => tunnelsOn(index) === '', { what: `no tunnel on h${index + 1}`, timeoutMs: 10_000 });
    }
    await (await client.deleteNetwork({ network: 'span' })).outcome;
    const bridges = () => lab.hosts.map((host) => host.exec('ip -br link show type bridge').trim()).join('');
    await waitFor(() => bridges() === '', { what: 'no bridge on any host', timeoutMs: 10_000 });
    for (const host of ['h1', 'h2', 'h3']) await (await client.pruneNetworks({}, { host })).outcome;
    assert.deepEqual((await client.networks({})).rows, [], 'nor a record of the ways out');
  });
}
