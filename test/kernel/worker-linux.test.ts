/** A worker on Linux with a real nats-server, seen from outside: addresses, isolation, hand-over, restarts, deaths. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import { tableName } from '../../drivers/kernel/ruleset.ts';
import type { Kernel, Operation } from '../../drivers/port.ts';
import type { Outcome } from '../../events/queries.ts';
import { clearAway } from '../support/linux-lab.ts';
import { waitFor } from '../support/nats.ts';
import { inOwnNamespaces, ipLinks, namespaceOf, sh, shIn, succeedsIn } from '../support/netns.ts';
import { host, type NatsStreams, natsStreams, realm, System } from '../support/system.ts';

const table = tableName(realm, host);

/** A worker in a process of its own, until it is killed. */
const workerProcess = (url: string, runDir: string): string => `
  import { pino } from 'pino';
  import { linuxKernel } from '${new URL('../../drivers/kernel/kernel.ts', import.meta.url)}';
  import { drivers } from '${new URL('../../drivers/registry.ts', import.meta.url)}';
  import { systemClock } from '${new URL('../../services/lib/clock.ts', import.meta.url)}';
  import { hostServers } from '${new URL('../../services/dns/upstreams.ts', import.meta.url)}';
  import { connectNats } from '${new URL('../../services/nats/connection.ts', import.meta.url)}';
  import { jetStream } from '${new URL('../../services/nats/jetstream.ts', import.meta.url)}';
  import { createPlugins } from '${new URL('../../services/plugins/plugins.ts', import.meta.url)}';
  import { createWorker } from '${new URL('../../services/worker/worker.ts', import.meta.url)}';
  const logger = pino({ level: 'silent' });
  const place = { realm: '${realm}', host: '${host}', runDir: '${runDir}' };
  const kernel = await linuxKernel(place);
  const connection = await connectNats({ url: '${url}', role: 'worker', log: logger });
  const [log, commands] = [jetStream(connection, 'CNM_LOG'), jetStream(connection, 'CNM_COMMANDS')];
  const plugins = createPlugins({ sockets: [], specs: [], logger });
  const worker = createWorker({ ...place, log, commands, kernel, drivers, plugins, hostServers: hostServers(), clock: systemClock, logger, ula: 'fd00:1:2::/48',
    pools: [{ base: '10.200.0.0/14', size: 24 }], netnsRoots: ['/run', '/tmp'] });
  await worker.start();
  console.log('started');`;

if (inOwnNamespaces(import.meta.filename)) {
  describe('a worker on Linux', () => {
    const runDir = mkdtempSync('/run/cnm-test-');
    let streams: NatsStreams;
    let kernel: Kernel;
    let system: System;
    const operations: Operation[] = [];
    const key = (name: string): string => `${runDir}/netns/${name}`;
    const pings = (from: string, to: string): boolean => succeedsIn(key(from), `ping -c1 -W1 ${to}`);
    const attach = (sandbox: string, ...networks: string[]): Promise<Outcome> =>
      system.run('AttachSandbox', { sandbox, networks: networks.map((network) => ({ network })) });
    const addresses = (path: string, device: string): readonly string[] => {
      const [link] = JSON.parse(shIn(path, `ip -j addr show dev ${device}`)) as {
        addr_info: { local: string; prefixlen: number }[];
      }[];
      return (link?.addr_info ?? []).map(({ local, prefixlen }) => `${local}/${prefixlen}`);
    };
    const defaultRoutes = (path: string): readonly string[] =>
      ['-4', '-6'].flatMap((family) =>
        (JSON.parse(shIn(path, `ip -j ${family} route show default`)) as { gateway: string; dev: string }[]).map(
          ({ gateway, dev }) => `${gateway} ${dev}`,
        ),
      );
    /** Interfaces with their indexes, and namespaces with their inodes: made anew, they would be others. */
    const identities = (): readonly string[] => [
      ...ipLinks().map(({ ifname, ifindex }) => `${ifname} ${ifindex}`),
      ...readdirSync(`${runDir}/netns`).map((name) => `${name} ${namespaceOf(key(name))}`),
    ];
    const startKernel = async (): Promise<void> => {
      kernel = await linuxKernel({ realm, host, runDir });
    };
    /** The kernel as the worker uses it, with what it was asked to do. */
    const watched = (): Kernel => ({
      ...kernel,
      apply: (plans) => {
        operations.push(...plans.flatMap((plan) => plan.operations));
        return kernel.apply(plans);
      },
    });
    const restart = async (meanwhile: () => void = () => undefined): Promise<void> => {
      await system.stopWorker();
      await kernel.close();
      meanwhile();
      await startKernel();
      operations.length = 0;
      await system.startWorker({ kernel: watched() });
    };
    const startProcess = (): ChildProcess => {
      const argv = ['--input-type=module', '--eval', workerProcess(streams.nats.url, runDir)];
      return spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] });
    };
    const killed = async (child: ChildProcess): Promise<void> => {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    };
    const check = async (): Promise<void> => {
      const state = await system.quiet();
      assert.equal([...state.endpoints.values()].filter(({ status }) => status === 'stuck').length, 0);
      await new System({ ...system.options, kernel }).check();
    };

    before(async () => {
      sh('ip link set lo up');
      // A host that routes, as hosts of containers do.
      writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
      writeFileSync('/proc/sys/net/ipv6/conf/all/forwarding', '1');
      streams = await natsStreams();
      await startKernel();
      system = new System({ ...streams, kernel, runDir });
      await system.startWorker({ kernel: watched() });
      await system.startController();
      for (const [index, name] of ['red', 'blue', 'inner'].entries()) {
        const subnets = [{ subnet: `10.${index + 1}.0.0/24` }, { subnet: `fd00:${index + 1}::/64` }];
        await system.run('CreateNetwork', { name, ipv6: true, internal: name === 'inner', ipam: { subnets } });
      }
    });
    after(async () => {
      await system.stop();
      await clearAway(kernel, { realm, host, runDir });
      await streams.stop();
    });

    it('attaches ten sandboxes to three networks', async () => {
      const homes = ['red', 'red', 'red', 'red', 'blue', 'blue', 'blue', 'inner', 'inner'];
      await Promise.all(homes.map((network, index) => attach(`s${index}`, network)));
      const both = await attach('s9', 'red', 'blue');
      const [eth0, eth1] = both.endpoints;
      assert.deepEqual(addresses(key('s9'), 'eth0'), [eth0?.ipv4, eth0?.ipv6]);
      assert.deepEqual(addresses(key('s9'), 'eth1'), [eth1?.ipv4, eth1?.ipv6]);
      assert.deepEqual(defaultRoutes(key('s9')), ['10.1.0.1 eth0', 'fd00:1::1 eth0']);
      assert.deepEqual(defaultRoutes(key('s7')), [], 'an internal network leads nowhere');
      const links = ipLinks();
      assert.equal(links.filter(({ ifname }) => ifname.startsWith('cb')).length, 3);
      const ports = links.filter(({ ifname }) => ifname.startsWith('cv'));
      assert.equal(ports.length, 11);
      for (const { ifalias, operstate } of ports) {
        assert.match(ifalias ?? '', /^cnm:test:h1:e:[0-9a-z]+$/);
        assert.equal(operstate, 'UP');
      }
      const ruleset = JSON.parse(sh(`nft -j list table inet ${table}`)) as {
        nftables: { set?: { name: string; elem?: unknown[] } }[];
      };
      const sizes = ruleset.nftables.flatMap(({ set }) => (set ? [[set.name, set.elem?.length ?? 0]] : []));
      const filled = sizes.filter(([, size]) => size !== 0);
      const expected = { bridges: 3, icc: 3, internal: 1, masq4: 2, masq6: 2, own: 3 };
      assert.deepEqual(Object.fromEntries(filled), expected);
      await check();
    });

    it('connects the endpoints of a network, of both families, and those of no two networks', async () => {
      const { endpoints } = await system.state();
      const address = (network: string, name: string, family: 'ipv4' | 'ipv6'): string => {
        const row = [...endpoints.values()].find(
          ({ facts, sandbox }) => facts.name === name && sandbox && facts.ipv4?.startsWith(network),
        );
        return row?.facts[family]?.replace(/\/.*/, '') ?? '';
      };
      for (const family of ['ipv4', 'ipv6'] as const) {
        assert.ok(pings('s0', address('10.1.', 's3', family)), `red ${family}`);
        assert.ok(pings('s4', address('10.2.', 's6', family)), `blue ${family}`);
        assert.ok(pings('s7', address('10.3.', 's8', family)), `inner ${family}`);
        assert.ok(pings('s0', address('10.1.', 's9', family)), `red to the one on both ${family}`);
        assert.ok(pings('s4', address('10.2.', 's9', family)), `blue to the one on both ${family}`);
        assert.ok(!pings('s0', address('10.2.', 's4', family)), `red to blue ${family}`);
        assert.ok(!pings('s0', address('10.3.', 's7', family)), `red to inner ${family}`);
        assert.ok(!pings('s7', address('10.1.', 's0', family)), `inner to red ${family}`);
      }
    });

    it('hands the default routes of both families on, and back', async () => {
      const red = await system.run('LeaveEndpoint', { network: 'red', endpoint: 's9' });
      assert.equal(red.status, 'succeeded');
      assert.deepEqual(defaultRoutes(key('s9')), ['10.2.0.1 eth1', 'fd00:2::1 eth1']);
      await system.run('JoinEndpoint', { network: 'red', endpoint: 's9', sandbox: 's9' });
      assert.deepEqual(defaultRoutes(key('s9')), ['10.2.0.1 eth1', 'fd00:2::1 eth1']);
      await system.run('LeaveEndpoint', { network: 'blue', endpoint: 's9' });
      assert.deepEqual(defaultRoutes(key('s9')), ['10.1.0.1 eth0', 'fd00:1::1 eth0']);
      await system.run('JoinEndpoint', { network: 'blue', endpoint: 's9', sandbox: 's9' });
      await check();
    });

    it('changes nothing when it is started again, and packets flow meanwhile', async () => {
      const was = identities();
      const flow = spawn('nsenter', [`--net=${key('s0')}`, 'ping', '-q', '-i0.05', '-w20', '10.1.0.1']);
      let said = '';
      flow.stdout.setEncoding('utf8').on('data', (text) => {
        said += text;
      });
      for (let round = 0; round < 3; round++) {
        await restart();
        assert.deepEqual(operations, []);
      }
      flow.kill('SIGINT');
      await new Promise((resolve) => flow.once('exit', resolve));
      assert.match(said, / 0% packet loss/);
      assert.deepEqual(identities(), was);
      await check();
    });

    it('makes again what was lost while it was away, and nothing else', async () => {
      const [bridge] = ipLinks().filter(({ ifname }) => ifname.startsWith('cb'));
      const was = identities().filter((text) => !text.startsWith('s1 '));
      await restart(() => {
        shIn(key('s0'), 'ip link set eth0 down; ip addr flush dev eth0');
        shIn(key('s9'), 'ip route del default; ip -6 route del default');
        sh(`umount ${key('s1')}; rm ${key('s1')}; ip addr flush dev ${bridge?.ifname}; nft delete table inet ${table}`);
      });
      assert.ok(pings('s0', '10.1.0.1') && pings('s1', 'fd00:1::1') && !pings('s0', '10.2.0.2'));
      assert.deepEqual(defaultRoutes(key('s9')), ['10.1.0.1 eth0', 'fd00:1::1 eth0']);
      await kernel.settled();
      const now = new Set(identities());
      const lost = was.filter((text) => !now.has(text));
      assert.equal(lost.length, 1, `only the interface of the lost namespace is another: ${lost}`);
      await check();
    });

    it('removes orphans of its own, and nothing of anybody else’s', async () => {
      await restart(() => {
        sh(`ip link add cborphan type bridge; ip link set cborphan alias cnm:${realm}:${host}:n:gone`);
        sh('ip link add cvother type bridge; ip link set cvother alias cnm:test:h2:n:gone');
        sh('ip link add br-theirs type bridge; ip link set br-theirs up; nft add table inet theirs');
      });
      await kernel.settled();
      const names = ipLinks().map(({ ifname }) => ifname);
      assert.ok(!names.includes('cborphan'));
      assert.ok(names.includes('cvother') && names.includes('br-theirs'));
      assert.match(sh('nft list tables'), /table inet theirs/);
      sh('ip link del cvother; ip link del br-theirs; nft delete table inet theirs');
      await check();
    });

    it('uses a namespace that a caller brought, and never destroys it', async () => {
      const path = '/run/cnm-brought';
      sh(`touch ${path}; unshare --net=${path} true`);
      const inode = namespaceOf(path);
      await system.run('AttachSandbox', {
        sandbox: 'guest',
        netns: path,
        networks: [{ network: 'red' }, { network: 'blue' }],
      });
      assert.equal(addresses(path, 'eth1').length, 2);
      assert.ok(succeedsIn(path, 'ping -c1 -W1 10.1.0.1'));
      await restart();
      assert.deepEqual(operations, []);
      await system.run('DetachSandbox', { sandbox: 'guest' });
      await kernel.settled();
      assert.equal(namespaceOf(path), inode);
      const links = ipLinks(path).map(({ ifname }) => ifname);
      assert.deepEqual(links, ['lo']);
      sh(`umount ${path}; rm ${path}`);
      await check();
    });

    it('leaves nothing of an attach whose second network cannot be, and others’ objects alone', async () => {
      const before = identities();
      const path = '/run/cnm-taken';
      sh(`touch ${path}; unshare --net=${path} true`);
      shIn(path, 'ip link add eth1 type veth peer name other');
      const networks = ['red', 'blue', 'inner'].map((network) => ({ network }));
      const outcome = await system.outcomeOf('AttachSandbox', { sandbox: 'taken', netns: path, networks });
      assert.equal(outcome.fault?.code, 'FOREIGN_OBJECT');
      await kernel.settled();
      assert.deepEqual(
        ipLinks(path)
          .map(({ ifname }) => ifname)
          .sort(),
        ['eth1', 'lo', 'other'],
      );
      assert.deepEqual(identities(), before);
      sh(`umount ${path}; rm ${path}`);
      await check();
    });

    it('waits while nats-server is away, and loses nothing', async () => {
      const sent = Array.from({ length: 60 }, (_, index) =>
        system.send('AttachSandbox', { sandbox: `w${index}`, networks: [{ network: 'red' }] }),
      );
      await sent[10]?.first;
      await streams.nats.restart();
      await system.quiet(30_000);
      const { endpoints } = await system.state();
      const joined = [...endpoints.values()].filter(
        ({ facts, status }) => facts.name.startsWith('w') && status === 'joined',
      );
      assert.ok(joined.length >= 11, `${joined.length} attaches were stored`);
      await check();
      await Promise.all(joined.map(({ facts }) => system.run('DetachSandbox', { sandbox: facts.name })));
      await check();
    });

    it('finishes what an earlier one was killed at', async () => {
      await system.stopWorker();
      await kernel.close();
      for (let round = 0; round < 4; round++) {
        const names = Array.from({ length: 25 }, (_, index) => `k${index}`);
        const sent = names.map((sandbox) =>
          round % 2 === 0
            ? system.send('AttachSandbox', { sandbox, networks: [{ network: 'red' }, { network: 'blue' }] })
            : system.send('DetachSandbox', { sandbox }),
        );
        await sent.at(-1)?.first;
        const child = startProcess();
        await new Promise((resolve) => child.stdout?.once('data', resolve));
        await new Promise((resolve) => setTimeout(resolve, 7 * round));
        await killed(child);
        await startKernel();
        await system.startWorker({ kernel: watched() });
        for (const { outcome } of sent) assert.equal((await outcome).status, 'succeeded');
        await check();
        await system.stopWorker();
        await kernel.close();
      }
      await startKernel();
      await system.startWorker({ kernel: watched() });
    });

    it('is fenced by a second worker of its host, in another process', async () => {
      const first = system.worker;
      const child = startProcess();
      await assert.rejects(first?.failed ?? Promise.resolve(), { code: 'WORKER_FENCED' });
      await first?.stop();
      await kernel.close();
      await attach('after', 'red');
      await system.run('CreateNetwork', { name: 'late' });
      await system.run('DeleteNetwork', { network: 'late' });
      await killed(child);
      await startKernel();
      await system.startWorker({ kernel: watched() });
      await check();
    });

    it('leaves nothing when all is detached and deleted', async () => {
      const { sandboxes } = await system.state();
      await Promise.all([...sandboxes.values()].map(({ facts }) => system.run('DetachSandbox', { sandbox: facts.id })));
      for (const name of ['red', 'blue', 'inner']) await system.run('DeleteNetwork', { network: name });
      await waitFor(() => ipLinks().length === 1, { what: 'all interfaces to be gone' });
      assert.deepEqual(readdirSync(`${runDir}/netns`), []);
      assert.ok(!sh(`nft list table inet ${table}`).includes('elements'));
      await check();
    });
  });
}
