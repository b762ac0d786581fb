/** A plugin in a process of its own that carries networks for real: its interface goes into the sandbox and back, and packets pass. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import type { Kernel } from '../../drivers/port.ts';
import { silentLogger } from '../../services/lib/logger.ts';
import { createPlugins, type Plugins } from '../../services/plugins/plugins.ts';
import { clearAway } from '../support/linux-lab.ts';
import { waitFor } from '../support/nats.ts';
import { inOwnNamespaces, ipLinks, sh, shIn, succeedsIn } from '../support/netns.ts';
import { linkPlugins } from '../support/plugins/links.ts';
import { type PluginProcess, startVeth } from '../support/plugins/start.ts';
import { host, type NatsStreams, natsStreams, realm, System } from '../support/system.ts';

const exec = promisify(execFile);

/** A worker in a process of its own, until it is killed. */
const workerProcess = (url: string, runDir: string, sockets: string): string => `
  import { pino } from 'pino';
  import { linuxKernel } from '${new URL('../../drivers/kernel/kernel.ts', import.meta.url)}';
  import { drivers } from '${new URL('../../drivers/registry.ts', import.meta.url)}';
  import { systemClock as clock } from '${new URL('../../services/lib/clock.ts', import.meta.url)}';
  import { hostServers } from '${new URL('../../services/dns/upstreams.ts', import.meta.url)}';
  import { connectNats } from '${new URL('../../services/nats/connection.ts', import.meta.url)}';
  import { jetStream } from '${new URL('../../services/nats/jetstream.ts', import.meta.url)}';
  import { createPlugins } from '${new URL('../../services/plugins/plugins.ts', import.meta.url)}';
  import { createWorker } from '${new URL('../../services/worker/worker.ts', import.meta.url)}';
  const logger = pino({ level: 'silent' });
  const place = { realm: '${realm}', host: '${host}', runDir: '${runDir}' };
  const kernel = await linuxKernel(place);
  const plugins = createPlugins({ sockets: ['${sockets}'], specs: [], logger });
  const connection = await connectNats({ url: '${url}', role: 'worker', log: logger });
  const [log, commands] = [jetStream(connection, 'CNM_LOG'), jetStream(connection, 'CNM_COMMANDS')];
  const worker = createWorker({ ...place, log, commands, kernel, drivers, plugins, hostServers: hostServers(), clock, logger,
    ula: 'fd00:1:2::/48', pools: [{ base: '10.200.0.0/14', size: 24 }], netnsRoots: ['/run', '/tmp'] });
  await worker.start();
  console.log('started');`;

if (inOwnNamespaces(import.meta.filename)) {
  describe('a plugin on Linux', () => {
    const runDir = mkdtempSync('/run/cnm-test-');
    const sockets = `${runDir}-plugins`;
    let streams: NatsStreams;
    let kernel: Kernel;
    let plugin: PluginProcess;
    let plugins: Plugins;
    let system: System;
    const key = (name: string): string => `${runDir}/netns/${name}`;
    const attach = (sandbox: string, ...networks: string[]) =>
      system.run('AttachSandbox', { sandbox, networks: networks.map((network) => ({ network })) });
    const detach = (sandbox: string) => system.run('DetachSandbox', { sandbox });
    const links = (): readonly string[] => ipLinks().map(({ ifname }) => ifname);
    const pluginLinks = (): readonly string[] => links().filter((name) => /^pv/.test(name));

    before(async () => {
      mkdirSync(sockets);
      sh('ip link set lo up');
      streams = await natsStreams();
      kernel = await linuxKernel({ realm, host, runDir });
      plugin = await startVeth(join(sockets, 'weave.sock'));
      plugins = createPlugins({ sockets: [sockets], specs: [], timeoutMs: 1_500, logger: silentLogger() });
      system = new System({ ...streams, kernel, plugins, runDir });
      await system.startController();
    });
    beforeEach(async () => {
      await system.startWorker();
      await system.run('CreateNetwork', { name: 'web', driver: 'weave', ipv6: true });
    });
    afterEach(async () => {
      const { sandboxes } = await system.state();
      for (const { facts } of sandboxes.values()) await detach(facts.id);
      await system.run('DeleteNetwork', { network: 'web' });
      await system.check();
      await kernel.settled();
      assert.deepEqual(
        links().filter((name) => /^(pv|pb|cn)/.test(name)),
        [],
      );
      await system.stopWorker();
    });
    after(async () => {
      await system.stop();
      await plugins.close();
      await plugin.kill();
      await clearAway(kernel, { realm, host, runDir });
      await streams.stop();
      rmSync(sockets, { recursive: true });
    });

    it('moves its interface into the sandbox under a name of ours, and it carries packets of both families', async () => {
      const [one, two] = [await attach('one', 'web'), await attach('two', 'web')];
      const [first, second] = [one.endpoints[0], two.endpoints[0]];
      assert.equal(first?.interface, 'eth0');
      const inside = ipLinks(key('one')).filter(({ ifname }) => ifname !== 'lo');
      assert.deepEqual(
        inside.map(({ ifname, ifalias, operstate }) => [ifname, ifalias?.startsWith('cnm:'), operstate]),
        [['eth0', true, 'UP']],
      );
      for (const to of [second?.ipv4, second?.ipv6]) {
        const address = to?.split('/')[0] ?? 'none';
        await waitFor(async () => succeedsIn(key('one'), `ping -c1 -W1 ${address}`), { what: `${address} to answer` });
      }
      const [route] = JSON.parse(shIn(key('one'), 'ip -j route show default')) as [{ gateway: string; dev: string }];
      assert.equal(route.dev, 'eth0');
      assert.ok(succeedsIn(key('one'), `ping -c1 -W1 ${route.gateway}`), 'the gateway is the plugin’s bridge');
      const [sandbox] = [...(await system.state()).sandboxes.values()];
      const look = `mount --bind ${sandbox?.facts.files}/resolv.conf /etc/resolv.conf; getent ahostsv4 two`;
      // This process is the one that answers, so it must not wait.
      const { stdout } = await exec('nsenter', [`--net=${key('one')}`, 'unshare', '--mount', 'sh', '-ec', look]);
      assert.equal(stdout.split(/\s/)[0], second?.ipv4?.split('/')[0]);
    });

    it('gives it back when the endpoint leaves, under the name that the plugin knows', async () => {
      await attach('one', 'web');
      const [endpoint] = [...(await system.state()).endpoints.values()];
      const link = endpoint?.plug?.link ?? '';
      assert.deepEqual(pluginLinks(), [`${link}h`]);
      await system.run('LeaveEndpoint', { network: 'web', endpoint: 'one' });
      assert.deepEqual([...pluginLinks()].sort(), [link, `${link}h`]);
      const [back] = ipLinks().filter(({ ifname }) => ifname === link);
      assert.equal(back?.ifalias ?? '', '');
      await system.run('JoinEndpoint', { network: 'web', endpoint: 'one', sandbox: 'one' });
      assert.deepEqual(pluginLinks(), [`${link}h`]);
    });

    it('stands beside a bridge network in one sandbox, and the default route follows the priority', async () => {
      await system.run('CreateNetwork', { name: 'lan' });
      await attach('one', 'web', 'lan');
      const dev = (): string => (JSON.parse(shIn(key('one'), 'ip -j route show default')) as [{ dev: string }])[0].dev;
      // Named when it is known, so the other one has the first number.
      assert.equal(dev(), 'eth1');
      await system.run('UpdateEndpoint', { network: 'lan', endpoint: 'one', gatewayPriority: 1, disrupt: true });
      assert.equal(dev(), 'eth0');
      assert.ok((await plugin.methods()).includes('NetworkDriver.RevokeExternalConnectivity'));
      await detach('one');
      await system.run('DeleteNetwork', { network: 'lan' });
    });

    it('is named where the kernel refuses what it has said', async () => {
      await system.stopWorker();
      const liar = linkPlugins(['liar'], {
        addLink: (name) => sh(`ip link add ${name} type veth peer name ${name}h`),
        removeLink: (name) => sh(`ip link del ${name} 2>/dev/null || true`),
      });
      await system.startWorker({ plugins: liar });
      await system.run('CreateNetwork', { name: 'lies', driver: 'liar' });
      sh('ip link add theirs0 type veth peer name theirs1');
      const join = 'NetworkDriver.Join of plugin liar';
      const lies = [
        { SrcName: 'nolink0', Gateway: '', says: [join, 'ENODEV', /^InterfaceName.SrcName "nolink0": /] },
        { SrcName: 'theirs0', Gateway: '203.0.113.9', says: [join, 'ENETUNREACH', /^Gateway 203.0.113.9: /] },
      ] as const;
      for (const { SrcName, Gateway, says } of lies) {
        liar.answers = { 'NetworkDriver.Join': () => ({ InterfaceName: { SrcName, DstPrefix: 'eth' }, Gateway }) };
        const networks = [{ network: 'lies' }];
        const { fault } = await system.outcomeOf('AttachSandbox', { sandbox: 'one', networks });
        const [step, errno, text] = says;
        assert.deepEqual([fault?.code, fault?.step, fault?.errno], ['PLUGIN_INVALID', step, errno]);
        assert.match(fault?.text ?? '', text);
      }
      assert.ok(links().includes('theirs0'));
      sh('ip link del theirs0');
      await system.run('DeleteNetwork', { network: 'lies' });
      await system.stopWorker();
      await system.startWorker();
    });

    it('ends in an outcome when the plugin is gone, and goes on when it is back', async () => {
      await attach('one', 'web');
      plugin.freeze();
      const failed = await system.outcomeOf('AttachSandbox', { sandbox: 'two', networks: [{ network: 'web' }] });
      assert.equal(failed.fault?.code, 'PLUGIN_UNREACHABLE');
      plugin.thaw();
      await plugin.kill();
      plugin = await startVeth(join(sockets, 'weave.sock'));
      await waitFor(
        async () =>
          (await system.outcomeOf('AttachSandbox', { sandbox: 'two', networks: [{ network: 'web' }] })).status ===
          'succeeded',
        { what: 'the plugin to be tried again' },
      );
    });

    const moments = ['Join', 'ProgramExternalConnectivity', 'Leave', 'DeleteEndpoint'] as const;
    for (const method of moments) {
      it(`goes on where it was when the worker is killed while ${method} is asked`, async () => {
        const attaches = method === 'Join' || method === 'ProgramExternalConnectivity';
        if (!attaches) await attach('one', 'web');
        await system.stopWorker();
        const asked = (await plugin.methods()).filter((one) => one.endsWith(method)).length;
        await plugin.order({ behaviours: { [`NetworkDriver.${method}`]: { kind: 'hangs' } } });
        const child: ChildProcess = spawn(
          process.execPath,
          ['--input-type=module', '-e', workerProcess(streams.nats.url, runDir, sockets)],
          { stdio: ['ignore', 'pipe', 'inherit'] },
        );
        await new Promise((resolve) => child.stdout?.once('data', resolve));
        const sent = attaches
          ? system.send('AttachSandbox', { sandbox: 'one', networks: [{ network: 'web' }] })
          : system.send('DetachSandbox', { sandbox: 'one' });
        await waitFor(async () => (await plugin.methods()).filter((one) => one.endsWith(method)).length > asked, {
          what: `${method} to be asked`,
        });
        const gone = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGKILL');
        await gone;
        await plugin.order({ behaviours: {} });
        await system.startWorker();
        const outcome = await sent.outcome;
        assert.equal(outcome.status, 'succeeded', JSON.stringify(outcome.fault));
        await system.check();
        assert.equal(pluginLinks().length, attaches ? 1 : 0);
        if (attaches) assert.ok(succeedsIn(key('one'), 'ip link show eth0'));
      });
    }
  });
}
