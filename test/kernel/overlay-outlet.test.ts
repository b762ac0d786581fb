/** The way out of overlays on Linux, with a real nats-server: traffic to the world outside, published ports, and who gets none of it. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import type { Kernel } from '../../drivers/port.ts';
import { RESOLVER_PORT } from '../../services/dns/address.ts';
import { clearAway } from '../support/linux-lab.ts';
import { inOwnNamespaces, ipLinks, sh, shIn, succeedsIn } from '../support/netns.ts';
import { host, type NatsStreams, natsStreams, realm, System } from '../support/system.ts';

/** Answers each connection with the address that it comes from. */
const answering = `
import socket
server = socket.create_server(('0.0.0.0', 80))
print('listening', flush=True)
while True:
    one, peer = server.accept()
    one.sendall(peer[0].encode())
    one.close()
`;

/** A name server for which every name has the address 203.0.113.9. */
const naming = `
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(('192.0.2.53', 53))
print('listening', flush=True)
while True:
    question, peer = server.recvfrom(512)
    end = question.index(0, 12) + 5
    header = question[:2] + bytes([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0])
    answer = bytes([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 203, 0, 113, 9])
    server.sendto(header + question[12:end] + answer, peer)
`;

if (inOwnNamespaces(import.meta.filename)) {
  describe('the way out of overlays', () => {
    const runDir = mkdtempSync('/run/cnm-test-');
    const outside = `${runDir}.outside`;
    const outsideAddress = '198.51.100.1';
    const children: ChildProcess[] = [];
    let streams: NatsStreams;
    let kernel: Kernel;
    let system: System;
    const key = (name: string): string => `${runDir}/netns/${name}`;
    const spawnIn = async (netns: string, program: string): Promise<void> => {
      const argv = [`--net=${netns}`, 'python3', '-c', program];
      const child = spawn('nsenter', argv, { stdio: ['ignore', 'pipe', 'inherit'] });
      children.push(child);
      await new Promise((resolve) => child.stdout.once('data', resolve));
    };
    const attach = (sandbox: string, ...networks: readonly string[]) =>
      system.run('AttachSandbox', { sandbox, networks: networks.map((network) => ({ network })) });
    const detach = (sandbox: string) => system.run('DetachSandbox', { sandbox });
    const pings = (sandbox: string, address: string): boolean =>
      succeedsIn(key(sandbox), `ping -c1 -W1 -w2 ${address}`);
    const interfaces = (sandbox: string): readonly string[] =>
      ipLinks(key(sandbox))
        .map(({ ifname }) => ifname)
        .filter((name) => name !== 'lo')
        .sort();
    const addressOn = (sandbox: string, device: string): string =>
      /inet ([0-9.]+)/.exec(shIn(key(sandbox), `ip -o -4 addr show dev ${device}`))?.[1] ?? '';
    const defaultRoute = (sandbox: string): string =>
      shIn(key(sandbox), 'ip route show default')
        .replace(/ proto .*/s, '')
        .trim();
    /** What is said at a port, to somebody in a namespace; nothing when nobody answers. */
    const heardIn = (netns: string, address: string, port: number): string =>
      shIn(netns, `timeout 2 bash -c 'cat </dev/tcp/${address}/${port}' 2>/dev/null || true`);
    /** What answers at an address, as far as this host is asked; null when nobody does. */
    const said = (port: number, at = '127.0.0.1'): Promise<string | null> =>
      new Promise((resolve) => {
        const socket = connect({ port, host: at, timeout: 2_000 });
        let text = '';
        socket.setEncoding('utf8').on('data', (more) => {
          text += more;
        });
        socket.once('error', () => resolve(null));
        socket.once('timeout', () => {
          socket.destroy();
          resolve(null);
        });
        socket.once('end', () => resolve(text));
      });
    const bridges = (): readonly string[] =>
      sh('ip -br link show type bridge')
        .split('\n')
        .flatMap((line) => line.split(/\s/)[0] || []);
    /** This process answers, so it must not wait. */
    const resolvedIn = async (sandbox: string, name: string): Promise<string> => {
      const argv = [`--net=${key(sandbox)}`, 'dig', '+short', '+tries=1', '+time=2', '@127.0.0.11', '-q', name];
      return (await promisify(execFile)('nsenter', argv)).stdout.trim();
    };
    const check = () => new System({ ...system.options, kernel }).check();

    before(async () => {
      sh(`ip link set lo up
        touch ${outside}; unshare --net=${outside} true
        ip link add up0 type veth peer name up0 netns ${outside}
        ip addr add 10.99.0.1/24 dev up0; ip link set up0 up; ip route add default via 10.99.0.2`);
      shIn(
        outside,
        `ip addr add 10.99.0.2/24 dev up0; ip addr add ${outsideAddress}/32 dev lo; ip addr add 192.0.2.53/32 dev lo
        ip link set up0 up; ip link set lo up`,
      );
      writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
      await spawnIn(outside, answering);
      await spawnIn(outside, naming);
      streams = await natsStreams();
      kernel = await linuxKernel({ realm, host, runDir, resolverPort: RESOLVER_PORT });
      system = await new System({ ...streams, kernel, runDir }).start();
      const create = (name: string, third: number, more: object = {}) =>
        system.run('CreateNetwork', {
          name,
          driver: 'overlay',
          ipam: { subnets: [{ subnet: `10.77.${third}.0/24` }] },
          ...more,
        });
      await create('span', 1);
      await create('wide', 2);
      await create('closed', 3, { internal: true });
      await system.run('CreateNetwork', { name: 'web', ipam: { subnets: [{ subnet: '10.1.0.0/24' }] } });
    });
    after(async () => {
      for (const child of children) child.kill('SIGKILL');
      await system.stop();
      await clearAway(kernel, { realm, host, runDir });
      await streams.stop();
      sh(`umount ${outside}; rm ${outside}`);
    });

    it('leads to the world outside, with an address of the host, and names of that world are found', async () => {
      await attach('a', 'span');
      assert.deepEqual(interfaces('a'), ['eth0', 'eth1']);
      assert.ok(pings('a', outsideAddress));
      assert.equal(heardIn(key('a'), outsideAddress, 80), '10.99.0.1');
      assert.equal(await resolvedIn('a', 'www.example.com'), '203.0.113.9');
      await check();
    });

    it('keeps those apart who go the same way', async () => {
      await attach('b', 'wide');
      const [own, other] = [addressOn('a', 'eth1'), addressOn('b', 'eth1')];
      assert.match(own, /^10\.200\.0\./);
      assert.notEqual(own, other);
      assert.ok(pings('b', outsideAddress));
      assert.ok(pings('a', '10.200.0.1'), 'the host is reached');
      assert.ok(!pings('a', other) && !pings('b', own));
      assert.ok(!pings('a', addressOn('b', 'eth0')), 'nor does the other network become reachable');
      await detach('b');
      assert.ok(pings('a', outsideAddress));
    });

    it('has no names and stands in no file', async () => {
      const { sandboxes, endpoints } = await system.state();
      const [row] = [...sandboxes.values()];
      assert.ok(row);
      const outlet = [...endpoints.values()].find(({ facts }) => facts.origin === 'outlet');
      assert.ok(outlet);
      assert.equal(await resolvedIn('a', 'a'), addressOn('a', 'eth0'));
      assert.equal(await resolvedIn('a', outlet.facts.name), '');
      const hosts = readFileSync(`${row.facts.files}/hosts`, 'utf8');
      assert.ok(hosts.includes(`${addressOn('a', 'eth0')}\t`) && !hosts.includes(addressOn('a', 'eth1')));
    });

    it('is not there for internal networks, nor beside a network with a gateway', async () => {
      await attach('c', 'closed');
      assert.deepEqual([interfaces('c'), defaultRoute('c')], [['eth0'], '']);
      assert.ok(!pings('c', outsideAddress) && !pings('c', '10.200.0.1'));
      await attach('d', 'span', 'web');
      assert.deepEqual([interfaces('d'), defaultRoute('d')], [['eth0', 'eth1'], 'default via 10.1.0.1 dev eth1']);
      assert.ok(pings('d', outsideAddress) && pings('d', addressOn('a', 'eth0')));
      await check();
      await detach('c');
      await detach('d');
    });

    it('comes and goes with a network that has a gateway, and is as it was when that cannot be joined', async () => {
      const was = defaultRoute('a');
      assert.match(was, /^default via 10\.200\.0\.1 dev eth1/);
      shIn(key('a'), 'ip link add eth2 type bridge');
      const failed = await system.outcomeOf('AttachSandbox', { sandbox: 'a', networks: [{ network: 'web' }] });
      assert.equal(failed.fault?.code, 'FOREIGN_OBJECT');
      shIn(key('a'), 'ip link del eth2');
      assert.deepEqual([interfaces('a'), defaultRoute('a')], [['eth0', 'eth1'], was]);
      assert.ok(pings('a', outsideAddress));
      await check();
      await attach('a', 'web');
      await kernel.settled();
      assert.deepEqual([interfaces('a'), defaultRoute('a')], [['eth0', 'eth2'], 'default via 10.1.0.1 dev eth2']);
      assert.ok(pings('a', outsideAddress));
      assert.equal((await check()).filter(({ kind }) => kind === 'bridge').length, 2, 'nobody goes the other way');
      await system.run('LeaveEndpoint', { network: 'web', endpoint: 'a' });
      await kernel.settled();
      assert.deepEqual(interfaces('a'), ['eth0', 'eth1']);
      assert.match(defaultRoute('a'), /^default via 10\.200\.0\.1 dev eth1/);
      assert.ok(pings('a', outsideAddress));
      await check();
    });

    it('leads in from published ports of the host, and from outside', async () => {
      await system.run('AttachSandbox', {
        sandbox: 'e',
        networks: [{ network: 'wide', ports: [{ hostPort: 8080, port: 80 }] }],
        ports: [{ hostPort: 8090, port: 80, hostAddress: 'any' }],
      });
      await spawnIn(key('e'), answering);
      assert.notEqual(await said(8080), null);
      assert.notEqual(await said(8090), null);
      assert.equal(heardIn(outside, '10.99.0.1', 8090), '10.99.0.2');
      assert.equal(heardIn(outside, '10.99.0.1', 8080), '');
      await system.run('MoveSandbox', { sandbox: 'e', from: 'wide', to: { network: 'web' } });
      assert.equal(heardIn(outside, '10.99.0.1', 8090), '10.99.0.2');
      await check();
      await detach('e');
    });

    it('outlives the worker, and is repaired by the next one', async () => {
      await system.stopWorker();
      assert.ok(pings('a', outsideAddress));
      const way = bridges().find((name) => sh(`ip -o -4 addr show dev ${name}`).includes('10.200.0.1'));
      sh(`ip link del ${way}`);
      assert.ok(!pings('a', outsideAddress));
      await system.startWorker();
      assert.ok(pings('a', outsideAddress));
      await check();
    });

    it('is gone with the last one, and its network is pruned', async () => {
      await detach('a');
      await kernel.settled();
      assert.equal((await check()).filter(({ kind }) => kind === 'bridge').length, 1);
      assert.equal(bridges().length, 1, 'that of web');
      await system.run('DeleteEndpoint', { network: 'web', endpoint: 'a' });
      await system.run('PruneNetworks', {});
      const { networks, outlets } = await system.quiet();
      assert.deepEqual(
        [[...networks.values()].map(({ facts, status }) => `${facts.name} ${status}`), outlets.size],
        [[], 0],
      );
      assert.deepEqual(await check(), []);
    });
  });
}
