/**
 * Three proofs for every plan of a life of networks and sandboxes (test/support/proofs.ts): each call that fails is taken back, each
 * undoing that fails is mended, each step done twice is as done once. And what others have in the way is refused by name and stays, and
 * what is to be removed may be gone. Pains 15 and 16.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import type { Kernel } from '../../drivers/port.ts';
import type { CommandInput, CommandType } from '../../events/commands.ts';
import { Fuse } from '../support/fuse.ts';
import { clearAway } from '../support/linux-lab.ts';
import { hasKind, inOwnNamespaces, sh } from '../support/netns.ts';
import { proven, type Tallies, tallies } from '../support/proofs.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

interface ShownLink {
  readonly ifname: string;
  readonly ifalias?: string;
  readonly address?: string;
  readonly mtu: number;
  readonly master?: string;
  readonly flags: readonly string[];
  readonly addr_info: readonly { readonly local: string; readonly prefixlen: number }[];
}

/** Links with their addresses, one a line. What the kernel chooses or changes at its leisure is left out. */
const linksIn = (text: string): string =>
  (JSON.parse(text) as ShownLink[])
    .filter(({ ifname }) => ifname !== undefined)
    .map(({ ifname, ifalias, address, mtu, master, flags, addr_info: addresses }) => {
      const own = addresses.map(({ local, prefixlen }) => `${local}/${prefixlen}`).sort();
      // Host ends and tunnels have a MAC of the kernel's choice.
      return [ifname, ifalias, /^c[vx]/.test(ifname) ? '' : address, mtu, master, flags.includes('UP'), ...own].join(
        ' ',
      );
    })
    .sort()
    .join('\n');

/** A ruleset with the elements of a set in order, one a line: the kernel shows them as they lie. */
const rulesIn = (text: string): string =>
  text.replaceAll(/elements = \{([^}]*)\}/g, (_, elements: string) =>
    elements
      .split(/,\s*(?=")/)
      .map((one) => `element ${one.trim()}`)
      .sort()
      .join('\n'),
  );

if (inOwnNamespaces(import.meta.filename)) {
  const runDir = mkdtempSync('/run/cnm-test-');
  /** A caller's namespace. */
  const brought = `${runDir}-brought`;
  const fuse = new Fuse();
  const counts: Tallies = tallies();
  let kernel: Kernel;
  let system: System;

  /** Files with what they say, and links of records with where they lead. */
  const files = (): readonly string[] =>
    readdirSync(runDir, { recursive: true, withFileTypes: true })
      .map((entry) => {
        const path = `${entry.parentPath}/${entry.name}`;
        if (entry.isSymbolicLink()) return `${path} -> ${readlinkSync(path)}`;
        return entry.isFile() && !path.includes('/netns/')
          ? `${path}: ${JSON.stringify(readFileSync(path, 'utf8'))}`
          : path;
      })
      // The place for namespaces, once there was one.
      .filter((line) => line !== `${runDir}/netns`)
      .sort();
  const photograph = (): string => {
    const here = files();
    const boxes = here.filter((path) => /\/netns\/[^/]+$/.test(path) && !path.includes(' -> '));
    const inside = boxes.map(
      (path) =>
        `nsenter --net=${path} sh -c 'ip -j -d addr; echo; ip route; ip -6 route; nft list ruleset' 2>&1 || true`,
    );
    const seen = sh(['ip -j -d addr', 'echo', 'nft list ruleset', ...inside.map((one) => `echo; ${one}`)].join('; '));
    // Whether a carrier has been seen to come up yet is a matter of moments.
    const still = (line: string): string => line.replaceAll(' linkdown', '');
    const lines = seen.split('\n').map((line) => (line.startsWith('[{') ? linksIn(line) : still(line)));
    return [...here, rulesIn(lines.join('\n'))].join('\n');
  };

  const run = async <T extends CommandType>(type: T, data: CommandInput<T>): Promise<void> => {
    const sent = system.send(type, data, { deadlineMs: 3_600_000 });
    const first = await sent.first;
    assert.equal(first.kind, 'accepted', `${type}: ${JSON.stringify(first)}`);
    const outcome = await Promise.race([sent.outcome, system.worker?.failed ?? sent.outcome]);
    assert.equal(outcome.status, 'succeeded', `${type}: ${JSON.stringify(outcome.fault)}`);
    const { wrong } = counts;
    assert.deepEqual(wrong.splice(0), [], `in the course of ${type}`);
  };

  describe('three proofs for every plan', () => {
    before(async () => {
      sh('ip link set lo up; ip link add up0 type bridge; ip addr add 192.0.2.1/24 dev up0; ip link set up0 up');
      sh(`touch ${brought}; unshare --net=${brought} true`);
      kernel = await linuxKernel({ realm, host, runDir, underlay: '192.0.2.1', fuse: fuse.shared });
      const every = Number(process.env.CNM_INTERRUPT_EVERY ?? 7);
      const proving = { kernel, fuse, photograph, tallies: counts, interruptEvery: every, subsets: 2 };
      const proved = proven(proving);
      system = await new System({ ...memoryStreams(), kernel: proved, runDir }).start();
    });
    after(async () => {
      await system.stop();
      await clearAway(kernel, { realm, host, runDir });
      sh(`umount ${brought}; rm ${brought}; ip link del up0`);
    });

    it('of bridges: networks, sandboxes, ports, moves, and back', async () => {
      await run('CreateNetwork', { name: 'six', ipv6: true });
      await run('CreateNetwork', { name: 'inner', internal: true });
      await run('AttachSandbox', {
        sandbox: 'a',
        networks: [{ network: 'six' }, { network: 'inner' }],
        ports: [{ hostPort: 8080, port: 80 }],
      });
      await run('CreateEndpoint', {
        network: 'six',
        name: 'e',
        ports: [{ hostPort: 8081, port: 81, protocol: 'udp' }],
      });
      await run('JoinEndpoint', { network: 'six', endpoint: 'e', sandbox: 'b', netns: brought });
      await run('UpdateNetwork', { network: 'six', options: { 'com.docker.network.driver.mtu': '1400' } });
      await run('UpdateEndpoint', { network: 'six', endpoint: 'e', ports: [{ hostPort: 8082, port: 82 }] });
      await run('MoveSandbox', { sandbox: 'a', from: 'inner', to: { network: 'six', name: 'other' } }).catch(
        () => undefined,
      );
      await run('LeaveEndpoint', { network: 'six', endpoint: 'e' });
      await run('DeleteEndpoint', { network: 'six', endpoint: 'e' });
      await run('DetachSandbox', { sandbox: 'a' });
      await run('DeleteNetwork', { network: 'inner' });
      await run('DeleteNetwork', { network: 'six' });
      assert.deepEqual(await system.check(), []);
    });

    it('of overlays', async () => {
      await run('CreateNetwork', { name: 'far', driver: 'overlay' });
      await run('AttachSandbox', { sandbox: 'c', networks: [{ network: 'far' }] });
      await run('DetachSandbox', { sandbox: 'c' });
      await run('DeleteNetwork', { network: 'far' });
    });

    it('of devices on a parent, on a VLAN and on a stub', async () => {
      const drivers = [...(hasKind('macvlan') ? ['macvlan'] : []), ...(hasKind('ipvlan') ? ['ipvlan'] : [])];
      for (const driver of drivers) {
        const parents = [{}, ...(hasKind('vlan') ? [{ parent: 'up0.50' }] : [])];
        for (const options of parents) {
          await run('CreateNetwork', { name: 'lan', driver, options });
          await run('AttachSandbox', { sandbox: 'd', networks: [{ network: 'lan' }] });
          await run('DetachSandbox', { sandbox: 'd' });
          await run('DeleteNetwork', { network: 'lan' });
        }
      }
    });

    it('were of many plans and many calls', (test) => {
      test.diagnostic(JSON.stringify(counts));
      assert.ok(
        counts.plans >= 15 &&
          counts.failures >= 100 &&
          counts.interrupted >= 20 &&
          counts.foreign >= 10 &&
          counts.bereft >= 40,
        JSON.stringify(counts),
      );
    });
  });
}
