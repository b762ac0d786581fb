// 300 sandboxes on one network over five hosts: everybody reaches everybody, and after a worker was killed, a host was cut off and entries
// were deleted, the tables of every host are again what the log says. `CNM_TEST_CUT_S`: how long the host is cut off, 20 s when left out.
import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import type { Acceptance, Client } from '../../services/client/index.ts';
import { type Hosts, serverAddress, startHosts } from '../support/hosts.ts';
import {
  converged,
  type Member,
  membersOf as members,
  pingAll,
  tablesOn,
  underlayOf,
  wantedTables,
} from '../support/mesh.ts';
import { startNats, type TestNats, waitFor } from '../support/nats.ts';
import { inOwnNamespaces, sh } from '../support/netns.ts';

const cutMs = 1000 * Number(process.env.CNM_TEST_CUT_S ?? 20);
const hostsCount = 5;
/** Sandboxes on each host. */
const perHost = { mesh: 60, beside: 2 } as const;
type NetworkName = keyof typeof perHost;
const subnets = { mesh: '10.77.0.0/22', beside: '10.78.0.0/24' } as const;
/** Long enough for what waits behind a cut. */
const deadlineMs = 240_000;

if (inOwnNamespaces(import.meta.filename)) {
  let nats: TestNats;
  let lab: Hosts;
  let client: Client;
  const networks = new Map<NetworkName, { readonly device: string; readonly vni: number }>();

  before(async () => {
    sh('ip link set lo up');
    nats = await startNats({ listen: '0.0.0.0' });
    const url = nats.url.replace('127.0.0.1', serverAddress);
    lab = await startHosts(hostsCount, { url, env: { CNM_UNDERLAY: 'uplink0' } });
    await Promise.all(lab.hosts.map((host) => host.start()));
    for (const service of ['controller', 'projector', 'collector'] as const) await lab.serve(service);
    client = await lab.client();
    for (const name of ['mesh', 'beside'] as const) {
      const ipam = { subnets: [{ subnet: subnets[name] }] };
      const { position } = await (await client.createNetwork({ name, driver: 'overlay', internal: true, ipam }))
        .outcome;
      const { rows } = await client.networks({ filter: { name }, atLeast: position });
      const { id = '', subnets: [subnet] = [] } = rows[0] ?? {};
      networks.set(name, { device: `cx${id}`, vni: subnet?.vni ?? assert.fail(`no VNI of ${name}`) });
    }
  });
  after(async () => {
    await lab?.stop();
    await nats?.stop();
  });

  const done = async (sent: Promise<Acceptance>): Promise<number> => (await (await sent).outcome).position;
  const attach = (host: string, sandbox: string, network: NetworkName, ipv4?: string): Promise<number> => {
    const interfaces = ipv4 === undefined ? [] : [{ ipv4 }];
    return done(client.attachSandbox({ sandbox, networks: [{ network, interfaces }] }, { host, deadlineMs }));
  };
  const detach = ({ sandbox, host }: Pick<Member, 'sandbox' | 'host'>): Promise<number> =>
    done(client.detachSandbox({ sandbox }, { host, deadlineMs }));

  const membersOf = (network: NetworkName) => members(client, network, lastPosition);
  let lastPosition = 0;
  /** Waits for all of them; what is asked afterwards knows of them. */
  const all = async (work: readonly Promise<number>[]): Promise<void> => {
    lastPosition = Math.max(lastPosition, ...(await Promise.all(work)));
  };
  const vtepOf = (name: string): string => lab.hosts.find((host) => host.name === name)?.address ?? assert.fail(name);

  /** Waits until every table on every host is what it should be, and notes how long that took. */
  const healed = async (t: TestContext, since: number, what: string): Promise<void> => {
    const spans = [...networks].map(async ([name, { device }]) => ({ device, members: await membersOf(name) }));
    const at = await converged(lab.hosts, wantedTables(lab.hosts, await Promise.all(spans)));
    t.diagnostic(`tables on ${hostsCount} hosts as the log says ${Math.round(at - since)} ms after ${what}`);
  };

  /** Everybody, or each `every`-th, reaches everybody of the same network, and nothing but that travels between the hosts. */
  const reaches = async (t: TestContext, every: number): Promise<void> => {
    const since = performance.now();
    const flows: string[] = [];
    const [, underlay] = await underlayOf(async () => {
      for (const [name, { vni }] of networks) {
        const all = await membersOf(name);
        const { asked, missing } = await pingAll(all, every);
        assert.equal(asked, Math.ceil(all.length / every) * (all.length - 1));
        assert.deepEqual(missing, [], `in ${name}`);
        flows.push(...all.map(({ host, mac }) => `${vtepOf(host)} ${vni} ${mac}`));
      }
    });
    assert.equal(underlay.lost, 0, 'the capture has missed something');
    assert.deepEqual(underlay.flows, flows.sort());
    t.diagnostic(
      `${every === 1 ? 'full mesh' : `mesh of each ${every}th`} in ${Math.round(performance.now() - since)} ms`,
    );
  };

  /** So many of the network on a host leave, and others come with their addresses elsewhere. */
  const moveOn = async (from: string, to: readonly string[], count: number, label: string): Promise<void> => {
    const leaving = (await membersOf('mesh')).filter(({ host }) => host === from).slice(0, count);
    assert.equal(leaving.length, count);
    await all(
      leaving.map(async (member, index) => {
        await detach(member);
        return attach(to[index % to.length] ?? '', `${label}-${index}`, 'mesh', member.address);
      }),
    );
  };

  let seed = 1;
  /** Repeats exactly; Numerical Recipes' generator. */
  const isPicked = (share: number): boolean => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 32 < share;
  };
  /** Deletes a third of the entries on a host, bends another's way, and adds what is nobody's. */
  const damage = (index: number): number => {
    const { device } = networks.get('mesh') ?? assert.fail();
    const picked = (tablesOn(lab.at(index)).get(device) ?? []).filter(() => isPicked(1 / 3));
    const lines = picked.map((entry) => {
      const [kind, first] = entry.split(' ');
      if (kind === 'way') return `bridge fdb del ${first} dev ${device} self`;
      if (kind === 'station') return `bridge fdb del ${first} dev ${device} master`;
      return `ip neigh del ${first} dev ${device}`;
    });
    lab.at(index).exec(
      `${lines.join('\n')}
      bridge fdb replace 02:00:00:00:00:99 dev ${device} dst 10.99.0.99 self permanent
      ip neigh replace 10.77.3.99 lladdr 02:00:00:00:00:99 dev ${device} nud permanent`,
    );
    return picked.length;
  };

  test('mesh: 300 sandboxes on five hosts reach each other, and nothing else travels between the hosts', async (t) => {
    const since = performance.now();
    const attached = (['mesh', 'beside'] as const).flatMap((network) =>
      lab.hosts.flatMap(({ name }) =>
        Array.from({ length: perHost[network] }, (_, index) => attach(name, `${network}-${name}-${index}`, network)),
      ),
    );
    await all(attached);
    t.diagnostic(`${attached.length} attached in ${Math.round(performance.now() - since)} ms`);
    assert.equal((await membersOf('mesh')).length, hostsCount * perHost.mesh);
    await healed(t, performance.now(), 'the last attach');
    await reaches(t, 1);
  });

  test('mesh: a worker that was killed has the tables of what the others did meanwhile', async (t) => {
    await lab.at(0).kill();
    await moveOn('h2', ['h3', 'h4', 'h5'], 12, 'killed');
    damage(0);
    await lab.at(0).start();
    await healed(t, performance.now(), 'the start of the killed worker');
  });

  test('mesh: a host that was cut off has the tables of what the others did meanwhile, and the others those of what it does', async (t) => {
    // However slow the others are: all that they do is done before the host is back.
    const moved = Promise.withResolvers<void>();
    const cut = lab.at(1).cut(cutMs, moved.promise);
    await moveOn('h3', ['h1', 'h4', 'h5'], 15, 'cut');
    await moveOn('h4', ['h1', 'h3', 'h5'], 15, 'again');
    // Back to the host that they came from.
    await moveOn('h1', ['h3', 'h4'], 10, 'back');
    const [stays, ...waits] = (await membersOf('mesh')).filter(({ host }) => host === 'h2').slice(0, 6);
    const late = [
      ...waits.map(async (member, index) => {
        await detach(member);
        return attach('h1', `late-${index}`, 'mesh', member.address);
      }),
      ...waits.map((_, index) => attach('h2', `late-h2-${index}`, 'mesh')),
    ];
    assert.ok(stays && damage(1) > 0);
    moved.resolve();
    await cut;
    const over = performance.now();
    await all(late);
    t.diagnostic(`what waited was done ${Math.round(performance.now() - over)} ms after the cut`);
    await healed(t, over, 'the cut');
  });

  test('mesh: entries that somebody deletes, bends and adds are put right on every host', async (t) => {
    const deleted = lab.hosts.map((_, index) => damage(index));
    assert.ok(deleted.every((count) => count > 100));
    await healed(t, performance.now(), `${deleted.reduce((sum, count) => sum + count, 0)} entries were deleted`);
    assert.equal((await membersOf('mesh')).length, hostsCount * perHost.mesh + 5 - 5 + 5);
    await reaches(t, 7);
  });

  test('mesh: nothing is left when everybody has left', async () => {
    for (const network of ['mesh', 'beside'] as const) await all((await membersOf(network)).map(detach));
    for (const network of ['mesh', 'beside'] as const) await done(client.deleteNetwork({ network }));
    const links = () => lab.hosts.map((host) => host.exec('ip -o link show type vxlan; ip -o link show type bridge'));
    await waitFor(() => links().every((text) => text === ''), { what: 'no bridge and no tunnel', timeoutMs: 20_000 });
  });
}
