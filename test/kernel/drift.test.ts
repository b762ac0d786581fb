/** What others change of ours on Linux: found by notifications or without them, told of once, repaired or left, and nothing else touched. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import { tableName } from '../../drivers/kernel/ruleset.ts';
import type { Kernel } from '../../drivers/port.ts';
import type { EventOf } from '../../events/envelope.ts';
import { clearAway } from '../support/linux-lab.ts';
import { waitFor } from '../support/nats.ts';
import { inOwnNamespaces, ipLinks, namespaceOf, sh, shIn, succeedsIn } from '../support/netns.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

const table = tableName(realm, host);
/** Nothing of what is done here is a row. */
const quietMs = 0;
type Detected = EventOf<'DriftDetected'>;
type DriftEvent = Detected | EventOf<'DriftRepaired' | 'DriftLeft' | 'DriftEnded'>;

if (inOwnNamespaces(import.meta.filename)) {
  describe('drift on Linux', () => {
    const runDir = mkdtempSync('/run/cnm-test-');
    const streams = memoryStreams();
    let kernel: Kernel;
    let system: System;
    let process: ChildProcess;
    const key = (name: string): string => `${runDir}/netns/${name}`;
    /** Not in this thread, where the worker is. */
    const pings = (to: string): Promise<boolean> =>
      new Promise((resolve) => {
        execFile('nsenter', [`--net=${key('a')}`, 'ping', '-c1', '-W1', to], (error) => resolve(error === null));
      });
    const allPing = async (...addresses: readonly string[]): Promise<boolean> =>
      (await Promise.all(addresses.map(pings))).every(Boolean);
    const own = (prefix: string): readonly string[] =>
      ipLinks().flatMap(({ ifname, ifalias }) =>
        ifname.startsWith(prefix) && ifalias?.startsWith(`cnm:${realm}:${host}:`) ? [ifname] : [],
      );
    const bridgeAt = (address: string): string => {
      const links = JSON.parse(sh('ip -j -4 addr')) as { ifname: string; addr_info: { local: string }[] }[];
      return links.find(({ addr_info }) => addr_info.some(({ local }) => local === address))?.ifname ?? '';
    };
    const drifts = async (): Promise<readonly DriftEvent[]> =>
      (await system.events()).filter((event): event is DriftEvent => event.type.startsWith('Drift'));
    const start = async (everyMs: number, more: Partial<Parameters<typeof linuxKernel>[0]> = {}): Promise<void> => {
      kernel = await linuxKernel({ realm, host, runDir, ...more });
      system = new System({ ...streams, kernel, runDir, drift: { everyMs, quietMs } });
      await new Promise<void>((listening) => {
        const watch: Kernel['watch'] = (tell) =>
          kernel.watch((notices) => {
            tell(notices);
            listening();
          });
        void system.startWorker({ kernel: { ...kernel, watch } });
      });
      await system.startController();
    };
    const stop = async (): Promise<void> => {
      await system.stop();
      await kernel.close();
    };
    const restart = async (...how: Parameters<typeof start>): Promise<void> => {
      await stop();
      await start(...how);
    };
    const timeoutMs = 15_000;
    /** Does something behind our back; answers the drifts of so many things, each once detected and once repaired. */
    const heals = async (
      harm: () => void,
      isWhole: () => boolean | Promise<boolean>,
      things = 1,
    ): Promise<readonly Detected[]> => {
      const before = (await drifts()).length;
      harm();
      await waitFor(isWhole, { what: 'the repair', timeoutMs }).catch(async (error) => {
        throw new Error(JSON.stringify((await drifts()).slice(before).map(({ type, data }) => [type, data])), {
          cause: error,
        });
      });
      let found: readonly DriftEvent[] = [];
      const isOver = async () => {
        found = (await drifts()).slice(before);
        const open = new Set<string>();
        for (const { type, data } of found) if (type === 'DriftDetected') open.add(data.drift);
        for (const { type, data } of found) if (type !== 'DriftDetected') open.delete(data.drift);
        return found.length >= 2 * things && open.size === 0;
      };
      await waitFor(isOver, { what: 'the report of it', timeoutMs }).catch((error) => {
        throw new Error(JSON.stringify(found.map(({ type, data }) => [type, data])), { cause: error });
      });
      const others = found.filter(({ type }) => type !== 'DriftDetected' && type !== 'DriftRepaired');
      assert.deepEqual(others, []);
      const detected = found.filter(({ type }) => type === 'DriftDetected') as readonly Detected[];
      assert.equal(detected.length, new Set(detected.map(({ data }) => JSON.stringify(data.of))).size, 'each once');
      await new System({ ...system.options, kernel }).check();
      return detected;
    };
    const changesOf = (detected: readonly Detected[]): readonly string[] =>
      detected.flatMap(({ data }) => data.changes.map(({ before, after }) => `${data.of.kind}: ${before} -> ${after}`));

    before(async () => {
      sh('ip link set lo up');
      writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
      await start(600_000);
      await system.run('CreateNetwork', { name: 'net', ipam: { subnets: [{ subnet: '10.1.0.0/24' }] } });
      await system.run('AttachSandbox', { sandbox: 'a', networks: [{ network: 'net' }] });
      await system.run('AttachSandbox', { sandbox: 'b', networks: [{ network: 'net' }] });
      process = spawn('nsenter', [`--net=${key('a')}`, 'sleep', '1000']);
    });
    after(async () => {
      process.kill('SIGKILL');
      await system.stop();
      await clearAway(kernel, { realm, host, runDir });
    });

    it('gives a bridge its address again', async () => {
      const bridge = bridgeAt('10.1.0.1');
      const found = await heals(
        () => sh(`ip addr del 10.1.0.1/24 dev ${bridge}`),
        () => pings('10.1.0.1'),
      );
      assert.deepEqual(changesOf(found), ['network: addresses 10.1.0.1/24 -> addresses none']);
      assert.equal(found[0]?.data.by, 'notification');
      assert.match(found[0]?.data.suspects.join() ?? '', /^netlink port \d+/);
    });

    it('brings links up again: a bridge, a host end, an interface inside', async () => {
      const bridge = bridgeAt('10.1.0.1');
      const ends = own('cv').filter((name) => ipLinks().find(({ ifname }) => ifname === name)?.master === bridge);
      for (const link of [bridge, ends[0] ?? '']) {
        const found = await heals(
          () => sh(`ip link set ${link} down`),
          () => allPing('10.1.0.3', '10.1.0.1'),
        );
        assert.ok(
          changesOf(found).some((change) => change.endsWith('up -> down')),
          changesOf(found).join(),
        );
      }
      const inside = await heals(
        () => shIn(key('a'), 'ip link set eth0 down'),
        () => pings('10.1.0.3'),
      );
      assert.ok(changesOf(inside).includes('endpoint: up -> down inside'), changesOf(inside).join());
    });

    it('makes again what was deleted: a pair, a bridge with all that is on it', async () => {
      const bridge = bridgeAt('10.1.0.1');
      const [end = ''] = own('cv').filter((name) => ipLinks().find(({ ifname }) => ifname === name)?.master === bridge);
      const pair = await heals(
        () => sh(`ip link del ${end}`),
        () => pings('10.1.0.3'),
      );
      assert.ok(changesOf(pair).some((change) => /^endpoint: veth .* -> absent$/.test(change)));
      const all = await heals(
        () => sh(`ip link del ${bridge}`),
        () => allPing('10.1.0.3', '10.1.0.1'),
        3,
      );
      assert.deepEqual(all.map(({ data }) => data.of.kind).sort(), ['endpoint', 'endpoint', 'network']);
    });

    it('takes a pair back to its bridge, and sizes and hardware addresses to what they were', async () => {
      const bridge = bridgeAt('10.1.0.1');
      const [end = ''] = own('cv').filter((name) => ipLinks().find(({ ifname }) => ifname === name)?.master === bridge);
      const detached = await heals(
        () => sh(`ip link set ${end} nomaster`),
        () => pings('10.1.0.3'),
      );
      assert.ok(changesOf(detached).some((change) => change.startsWith(`endpoint: bridge ${bridge} -> bridge none`)));
      const mtuOf = (name: string, path?: string) => ipLinks(path).find(({ ifname }) => ifname === name)?.mtu;
      const mtu = await heals(
        () => sh(`ip link set ${bridge} mtu 1400`),
        () => mtuOf(bridge) === 1500,
      );
      assert.deepEqual(changesOf(mtu), ['network: mtu 1500 -> mtu 1400']);
      const macOf = () => ipLinks(key('a')).find(({ ifname }) => ifname === 'eth0')?.address;
      const before = macOf();
      const mac = await heals(
        () => shIn(key('a'), 'ip link set eth0 address 02:00:00:00:00:99'),
        () => macOf() === before,
      );
      assert.deepEqual(changesOf(mac), [`endpoint: peer.mac ${before} -> peer.mac 02:00:00:00:00:99`]);
    });

    it('puts routes back: of a sandbox, and to the subnets of a sandbox and of the host', async () => {
      const routes = await heals(
        () => shIn(key('a'), 'ip route del default'),
        () => shIn(key('a'), 'ip route').includes('default via 10.1.0.1'),
      );
      assert.deepEqual(
        routes.map(({ data }) => data.of.kind),
        ['sandbox'],
      );
      await heals(
        () => shIn(key('a'), 'ip route del 10.1.0.0/24'),
        () => pings('10.1.0.3'),
      );
      const bridge = bridgeAt('10.1.0.1');
      await heals(
        () => sh(`ip route del 10.1.0.0/24 dev ${bridge}`),
        () => sh('ip route').includes(`10.1.0.0/24 dev ${bridge}`),
      );
    });

    it('gives a namespace its file again while somebody is in it, and makes another where nobody is', async () => {
      await restart(200);
      const isMounted = (name: string) => readFileSync('/proc/self/mountinfo', 'utf8').includes(`${key(name)} `);
      const before = namespaceOf(key('a'));
      const found = await heals(
        () => sh(`umount ${key('a')} ${key('b')}`),
        async () => isMounted('a') && isMounted('b') && (await pings('10.1.0.3')),
        4,
      );
      assert.equal(namespaceOf(key('a')), before, 'whoever is in there has noticed nothing');
      const kinds = found.map(({ data }) => data.of.kind);
      assert.equal(kinds.filter((kind) => kind === 'sandbox').length, 2);
    });

    it('turns settings back, and follows those that are others to set', async () => {
      const bridge = bridgeAt('10.1.0.1');
      const setting = (path: string) => readFileSync(`/proc/sys/net/${path}`, 'utf8').trim();
      const forwarding = await heals(
        () => writeFileSync('/proc/sys/net/ipv4/ip_forward', '0'),
        () => setting('ipv4/ip_forward') === '1',
      );
      assert.ok(changesOf(forwarding).includes('network: as made -> net.ipv4.ip_forward is 0'));
      const local = await heals(
        () => writeFileSync(`/proc/sys/net/ipv4/conf/${bridge}/route_localnet`, '0'),
        () => setting(`ipv4/conf/${bridge}/route_localnet`) === '1',
      );
      assert.deepEqual(changesOf(local), ['network: as made -> route_localnet is off']);
      if (!existsSync('/proc/sys/net/bridge')) return;
      const path = 'bridge/bridge-nf-call-iptables';
      const before = setting(path);
      const after = before === '1' ? '0' : '1';
      const hairpins = () => new Set([...sh('bridge -d link').matchAll(/hairpin (on|off)/g)].map(([, how]) => how));
      const seen = await heals(
        () => {
          for (const name of [path, 'bridge/bridge-nf-call-ip6tables']) writeFileSync(`/proc/sys/net/${name}`, after);
        },
        () => hairpins().size === 1 && hairpins().has(after === '1' ? 'on' : 'off'),
      );
      assert.deepEqual(
        new Set(seen.map(({ data }) => data.of.kind)),
        new Set(['host']),
        'ports follow, and are not told of',
      );
      assert.ok(changesOf(seen).includes(`host: ${before} -> ${after}`));
      assert.equal(setting(path), after, 'it is not ours');
    });

    it('only tells of what a network leaves to others, until they have put it right, or it is to be repaired', async () => {
      await system.run('CreateNetwork', {
        name: 'seen',
        drift: 'report',
        ipam: { subnets: [{ subnet: '10.2.0.0/24' }] },
      });
      await system.run('AttachSandbox', { sandbox: 'c', networks: [{ network: 'seen' }] });
      const bridge = bridgeAt('10.2.0.1');
      const before = (await drifts()).length;
      const told = async () => (await drifts()).slice(before).map(({ type }) => type);
      sh(`ip link set ${bridge} mtu 1400`);
      await waitFor(async () => (await told()).length > 1, { what: 'the report' });
      await restart(200);
      await new Promise((resolve) => setTimeout(resolve, 700));
      assert.deepEqual(await told(), ['DriftDetected', 'DriftLeft'], 'once, whoever looks');
      assert.equal(ipLinks().find(({ ifname }) => ifname === bridge)?.mtu, 1400);
      sh(`ip link set ${bridge} mtu 1500`);
      await waitFor(async () => (await told()).length > 2, { what: 'the end' });
      assert.equal((await told())[2], 'DriftEnded');
      sh(`ip link set ${bridge} mtu 1300`);
      await waitFor(async () => (await told()).length > 4, { what: 'the second report' });
      await system.run('UpdateNetwork', { network: 'seen', drift: 'repair' });
      await waitFor(async () => (await told()).length > 5, { what: 'the end of the second' });
      assert.equal(ipLinks().find(({ ifname }) => ifname === bridge)?.mtu, 1500);
      await new System({ ...system.options, kernel }).check();
    });

    it('makes its table and elements again where it cannot own them, and tells who it was', async () => {
      await system.stop();
      await kernel.close();
      sh(`nft delete table inet ${table}`);
      sh('nft add table inet others; nft add chain inet others c');
      await start(600_000, { ownTable: false });
      await system.run('AttachSandbox', {
        sandbox: 'd',
        ports: [{ hostPort: 8080, port: 80 }],
        networks: [{ network: 'net' }],
      });
      const listing = () => sh(`nft list table inet ${table}`);
      const whole = listing();
      const isWhole = () => succeedsIn('/proc/self/ns/net', `nft list table inet ${table}`) && listing() === whole;
      const flushed = await heals(() => sh('nft flush ruleset; nft add table inet others'), isWhole);
      assert.deepEqual(changesOf(flushed), ['host: as made -> gone']);
      assert.match(flushed[0]?.data.suspects.join() ?? '', /^pid \d+ \(nft\)$/);
      const rules = await heals(() => sh(`nft flush chain inet ${table} forward`), isWhole);
      assert.deepEqual(changesOf(rules), ['host: as made -> other rules']);
      const element = await heals(() => sh(`nft flush map inet ${table} dnat4ip`), isWhole);
      assert.ok(
        changesOf(element).some((change) => change.startsWith('sandbox: nft element dnat4ip')),
        changesOf(element).join(),
      );
      const led = /127\.0\.0\.1 \. tcp \. 8080 .* : \S+ \. 80/.exec(whole)?.[0] ?? '';
      const elsewhere = await heals(() => {
        const map = `element inet ${table} dnat4ip`;
        sh(`nft 'delete ${map} { 127.0.0.1 . tcp . 8080 }; add ${map} { ${led.replace(/ : \S+/, ' : 10.1.0.99')} }'`);
      }, isWhole);
      assert.deepEqual(changesOf(elsewhere), ['sandbox: data 10.1.0.4 80 -> data 10.1.0.99 80']);
      assert.ok(sh('nft list tables').includes('others'), 'what is others stays');
    });
  });
}
