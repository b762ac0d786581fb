/** What a sandbox has beside its interfaces, on Linux with a real nats-server: ports that follow its gateway, moves, files, names. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import type { Kernel } from '../../drivers/port.ts';
import type { PortBinding } from '../../events/events.ts';
import { RESOLVER_PORT } from '../../services/dns/address.ts';
import { clearAway } from '../support/linux-lab.ts';
import { waitFor } from '../support/nats.ts';
import { inOwnNamespaces, ipLinks, namespaceOf, sh, shIn } from '../support/netns.ts';
import { host, type NatsStreams, natsStreams, realm, System } from '../support/system.ts';

/** Answers each connection with the address that it was made to, in brackets where that is IPv6. */
const program = `
import socket
server = socket.create_server(('::', 80), family=socket.AF_INET6, dualstack_ipv6=True)
print('listening', flush=True)
while True:
    one, _ = server.accept()
    one.sendall(one.getsockname()[0].encode())
    one.close()
`;

if (inOwnNamespaces(import.meta.filename)) {
  describe('a sandbox on Linux', () => {
    const runDir = mkdtempSync('/run/cnm-test-');
    const servers: ChildProcess[] = [];
    let streams: NatsStreams;
    let kernel: Kernel;
    let system: System;
    const key = (name: string): string => `${runDir}/netns/${name}`;
    /** Whom a port of the host leads to; null when nobody answers. */
    const reached = (port: number): Promise<string | null> =>
      new Promise((resolve) => {
        const socket = connect({ port, host: '127.0.0.1', timeout: 2_000 });
        let said = '';
        socket.setEncoding('utf8').on('data', (text) => {
          said += text;
        });
        socket.once('error', () => resolve(null));
        socket.once('timeout', () => {
          socket.destroy();
          resolve(null);
        });
        socket.once('end', () => resolve(said.replace('::ffff:', '')));
      });
    const serve = async (sandbox: string): Promise<void> => {
      const child = spawn('nsenter', [`--net=${key(sandbox)}`, 'python3', '-c', program], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      servers.push(child);
      await new Promise((resolve) => child.stdout.once('data', resolve));
    };
    /** The addresses of a name as a sandbox resolves it. This process answers, so it must not wait. */
    const addressesOf = async (sandbox: string, name: string): Promise<readonly string[]> => {
      const argv = [`--net=${key(sandbox)}`, 'dig', '+short', '+tries=1', '+time=2', '@127.0.0.11', name];
      const { stdout } = await promisify(execFile)('nsenter', argv).catch(() => ({ stdout: '' }));
      return stdout.split('\n').filter((line) => line !== '');
    };
    const ports = async (): Promise<readonly PortBinding[]> => {
      const last = (await system.events()).findLast(({ type }) => type === 'EndpointJoined');
      return last?.type === 'EndpointJoined' ? last.data.ports : [];
    };
    /** Of the sandbox's endpoint in a network. A released address rests a while, so it is not always the same. */
    const addressIn = async (network: string): Promise<string | undefined> => {
      const { endpoints, networks } = await system.state();
      const row = [...endpoints.values()].find(
        ({ facts, sandbox }) => sandbox?.id === 'box' && networks.get(facts.networkId)?.facts.name === network,
      );
      return row?.facts.ipv4?.split('/')[0];
    };
    const check = () => new System({ ...system.options, kernel }).check();

    before(async () => {
      sh('ip link set lo up');
      writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
      writeFileSync('/proc/sys/net/ipv6/conf/all/forwarding', '1');
      streams = await natsStreams();
      kernel = await linuxKernel({ realm, host, runDir, resolverPort: RESOLVER_PORT });
      system = await new System({ ...streams, kernel, runDir }).start();
      for (const [index, name] of ['a', 'b'].entries()) {
        await system.run('CreateNetwork', { name, ipam: { subnets: [{ subnet: `10.${index + 1}.0.0/24` }] } });
      }
      await system.run('AttachSandbox', {
        sandbox: 'box',
        hostname: 'web',
        networks: [{ network: 'a', ports: [{ hostPort: 8080, port: 80 }] }],
        ports: [{ hostPort: 8090, port: 80 }],
      });
      await serve('box');
    });
    after(async () => {
      for (const child of servers) child.kill('SIGKILL');
      await system.stop();
      await clearAway(kernel, { realm, host, runDir });
      await streams.stop();
    });

    it('is reached at its ports, through whichever endpoint is its gateway', async () => {
      assert.deepEqual([await reached(8080), await reached(8090)], ['10.1.0.2', '10.1.0.2']);
      await system.run('CreateEndpoint', { network: 'b', name: 'e', gatewayPriority: 5 });
      await system.run('JoinEndpoint', { network: 'b', endpoint: 'e', sandbox: 'box' });
      assert.deepEqual([await reached(8080), await reached(8090)], ['10.2.0.2', '10.2.0.2']);
      await system.run('LeaveEndpoint', { network: 'a', endpoint: 'box' });
      assert.deepEqual([await reached(8080), await reached(8090)], [null, '10.2.0.2'], 'one went with its endpoint');
      await system.run('JoinEndpoint', { network: 'a', endpoint: 'box', sandbox: 'box' });
      await system.run('LeaveEndpoint', { network: 'b', endpoint: 'e' });
      await system.run('DeleteEndpoint', { network: 'b', endpoint: 'e' });
      assert.deepEqual([await reached(8080), await reached(8090)], ['10.1.0.2', '10.1.0.2']);
      await check();
    });

    it('changes its ports in place, and not where somebody else listens', async () => {
      const at = (...numbers: number[]) => numbers.map((hostPort) => ({ hostPort, port: 80 }));
      const stranger = createServer((socket) => socket.end('stranger')).listen(8082, '0.0.0.0');
      await new Promise((resolve) => stranger.once('listening', resolve));
      const failed = await system.outcomeOf('UpdateEndpoint', { network: 'a', endpoint: 'box', ports: at(8081, 8082) });
      assert.equal(failed.fault?.code, 'PORT_IN_USE');
      assert.match(failed.fault?.text ?? '', new RegExp(`pid ${process.pid} `));
      assert.deepEqual([await reached(8080), await reached(8081), await reached(8082)], ['10.1.0.2', null, 'stranger']);
      await check();
      await new Promise((resolve) => stranger.close(resolve));
      await system.run('UpdateEndpoint', { network: 'a', endpoint: 'box', ports: at(8081, 8082) });
      assert.deepEqual([await reached(8080), await reached(8081), await reached(8082)], [null, '10.1.0.2', '10.1.0.2']);
      await system.run('UpdateEndpoint', { network: 'a', endpoint: 'box', ports: at(8080) });
      await check();
    });

    it('is moved to another network and lives on, or is where it was', async () => {
      const inode = namespaceOf(key('box'));
      const links = (): readonly string[] => ipLinks(key('box')).map(({ ifname, ifindex }) => `${ifname} ${ifindex}`);
      const was = links();
      shIn(key('box'), 'ip link add eth1 type bridge');
      const move = (from: string, to: string) =>
        system.outcomeOf('MoveSandbox', { sandbox: 'box', from, to: { network: to, interface: 'eth1' } });
      assert.equal((await move('a', 'b')).fault?.code, 'FOREIGN_OBJECT');
      shIn(key('box'), 'ip link del eth1');
      await kernel.settled();
      assert.deepEqual([links(), await reached(8080)], [was, '10.1.0.2']);
      await check();
      assert.equal((await move('a', 'b')).status, 'succeeded');
      await kernel.settled();
      assert.deepEqual([await reached(8080), await reached(8090)], [null, await addressIn('b')]);
      assert.equal(namespaceOf(key('box')), inode);
      await system.run('MoveSandbox', { sandbox: 'box', from: 'b', to: { network: 'a' } });
      assert.equal(await reached(8090), await addressIn('a'));
      await check();
    });

    it('gets ports that the host chooses, each other ones', async () => {
      const wanted = (sandbox: string) => ({ sandbox, networks: [{ network: 'b', ports: [{ port: 80 }] }] });
      await Promise.all(['one', 'two', 'three'].map((sandbox) => system.run('AttachSandbox', wanted(sandbox))));
      await system.run('AttachSandbox', wanted('four'));
      const [chosen] = await ports();
      await serve('four');
      assert.equal(await reached(chosen?.hostPort ?? 0), chosen?.address);
      const leased = (await system.events()).flatMap((event) => (event.type === 'PortsLeased' ? event.data.ports : []));
      assert.equal(new Set(leased.map(({ hostPort }) => hostPort)).size, 4);
      await check();
      for (const sandbox of ['one', 'two', 'three', 'four']) await system.run('DetachSandbox', { sandbox });
      assert.equal(await reached(chosen?.hostPort ?? 0), null);
    });

    it('has files, which its user may change, and names, which outlive the worker', async () => {
      await system.run('AttachSandbox', { sandbox: 'db', networks: [{ network: 'a', aliases: ['store'] }] });
      const { sandboxes, endpoints } = await system.state();
      const facts = [...sandboxes.values()].find(({ facts: { id } }) => id === 'box')?.facts;
      const address = [...endpoints.values()].find(({ facts: { name } }) => name === 'db')?.facts.ipv4?.split('/')[0];
      const file = (name: string): string => readFileSync(`${facts?.files}/${name}`, 'utf8');
      assert.equal(file('hostname'), 'web\n');
      assert.match(file('resolv.conf'), /^nameserver 127\.0\.0\.11$/m);
      assert.match(file('hosts'), /^10\.1\.0\.\d+\tweb$/m);
      assert.deepEqual(await addressesOf('box', 'store'), [address]);
      writeFileSync(`${facts?.files}/hosts`, `${file('hosts')}192.0.2.1\tmine\n`);
      await system.stopWorker();
      assert.deepEqual(await addressesOf('box', 'store'), []);
      await system.startWorker();
      assert.deepEqual(await addressesOf('box', 'store'), [address]);
      await system.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'b' }] });
      assert.match(file('hosts'), /^192\.0\.2\.1\tmine$/m);
      await system.run('DetachSandbox', { sandbox: 'db' });
      assert.deepEqual(await addressesOf('box', 'store'), []);
      await check();
    });

    it('leaves nothing behind', async () => {
      const { sandboxes } = await system.state();
      const { files } = [...sandboxes.values()][0]?.facts ?? {};
      for (const child of servers.splice(0)) child.kill('SIGKILL');
      await system.run('DetachSandbox', { sandbox: 'box' });
      await kernel.settled();
      await waitFor(() => !existsSync(key('box')), { what: 'the namespace to be gone' });
      assert.ok(!existsSync(files ?? ''));
      assert.deepEqual(
        (await check()).filter(({ tag }) => tag.entity !== 'network'),
        [],
      );
    });
  });
}
