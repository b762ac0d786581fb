/** Processes of ours end at any moment, and other people's things are in the way: what the next process makes of it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import { tableName } from '../../drivers/kernel/ruleset.ts';
import type { KernelObject } from '../../drivers/objects.ts';
import { diff } from '../../drivers/plan.ts';
import type { Kernel, Plan } from '../../drivers/port.ts';
import { bridge, byKey, create, netns, network, owner, remove, sandbox, tag, veth } from '../support/kernel-objects.ts';
import { clearKernel } from '../support/linux-lab.ts';
import { inOwnNamespaces, ipLinks, sh, shIn } from '../support/netns.ts';

const table = tableName(owner.realm, owner.host);

/** A process that attaches and detaches sandboxes until it is killed. */
const churner = (runDir: string): string => `
  import { linuxKernel } from '${new URL('../../drivers/kernel/kernel.ts', import.meta.url)}';
  import { create, network, owner, remove, sandbox } from '${new URL('../support/kernel-objects.ts', import.meta.url)}';
  const kernel = await linuxKernel({ ...owner, runDir: '${runDir}' });
  const box = (number) => sandbox('s' + number, { network: 1 + number % 2, number, netns: '${runDir}/s' + number });
  console.log('started');
  for (let number = 2; ; number++) {
    await kernel.apply([create('nets', [...network(1), ...network(2)]), ...[0, 1, 2].map((n) => create('box', box(number * 3 + n)))]);
    await kernel.apply([remove('box', box(number * 3)), ...(number % 7 ? [] : [remove('nets', network(2))])]);
  }`;

if (inOwnNamespaces(import.meta.filename)) {
  describe('recovery', () => {
    let runDir = '';
    let kernel: Kernel;
    const apply = async (...plans: Plan[]): Promise<void> => {
      assert.deepEqual(
        await kernel.apply(plans),
        plans.map(() => ({ ok: true })),
      );
    };
    const start = async (): Promise<void> => {
      kernel = await linuxKernel({ ...owner, runDir });
    };
    const holds = async (...objects: readonly KernelObject[]): Promise<void> => {
      const census = await kernel.census();
      assert.deepEqual([census.unknown, byKey(census.objects)], [[], byKey(objects)]);
    };
    const path = (name: string): string => `${runDir}/${name}`;
    const box = (number: number): readonly KernelObject[] =>
      sandbox(`s${number}`, { network: 1, number, netns: path(`s${number}`) });

    beforeEach(() => {
      runDir = mkdtempSync('/run/cnm-test-');
    });
    afterEach(async () => {
      await clearKernel(kernel);
      sh(`nft delete table inet ${table}; umount ${runDir}; rmdir ${runDir}`);
      assert.deepEqual(
        ipLinks().map(({ ifname }) => ifname),
        ['lo'],
      );
    });

    it('finds everything, and clears it, after a kill at any moment', async () => {
      for (let round = 0; round < 5; round++) {
        const child = spawn(process.execPath, ['--input-type=module', '--eval', churner(runDir)], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
        assert.equal(child.exitCode, null);
        await new Promise((resolve) => setTimeout(resolve, 20 + 37 * round));
        child.kill('SIGKILL');
        await once(child, 'exit');
        await start();
        const before = await kernel.census();
        assert.deepEqual(before.unknown, []);
        const wanted = [...network(1), ...box(1000 + round)];
        await apply({ id: 'repair', operations: diff(wanted, before.objects) });
        await holds(...wanted);
        await kernel.settled();
        const names = ipLinks()
          .map(({ ifname }) => ifname)
          .sort();
        assert.deepEqual(names, ['cb1', `cv1x${1000 + round}`, 'lo']);
        const files = readdirSync(runDir).filter((name) => !name.startsWith('.'));
        assert.deepEqual(files, [`s${1000 + round}`]);
        assert.equal(readdirSync(path('.records')).length, 1);
        await kernel.close();
      }
      await start();
    });

    it('removes at its start what an earlier process had only silenced', async () => {
      await start();
      await apply(create('net', network(1)), create('box', box(2)));
      const [first] = [veth({ network: 1, number: 2, netns: path('s2') })];
      await kernel.apply([remove('veth', [first])]);
      await kernel.close();
      await start();
      await kernel.settled();
      assert.deepEqual(
        ipLinks()
          .map(({ ifname }) => ifname)
          .sort(),
        ['cb1', 'lo'],
      );
    });

    it('removes the interfaces of a sandbox that somebody still lives in', async () => {
      await start();
      await apply(create('net', network(1)), create('box', box(2)));
      const inhabitant = spawn('nsenter', [`--net=${path('s2')}`, 'sleep', '60']);
      await new Promise((resolve) => setTimeout(resolve, 100));
      await apply(remove('box', box(2)));
      await kernel.settled();
      assert.deepEqual(
        ipLinks()
          .map(({ ifname }) => ifname)
          .sort(),
        ['cb1', 'lo'],
      );
      inhabitant.kill('SIGKILL');
      await once(inhabitant, 'exit');
    });

    it('sees what others changed, and puts it right', async () => {
      await start();
      const wanted = [...network(1), ...box(2), ...box(3), ...box(4), ...box(5), ...box(6)];
      await apply(create('all', wanted));
      sh(
        'ip link set cv1x2 down; ip link set cv1x3 nomaster; ip link set cv1x3 mtu 1400; ip addr del 10.1.0.1/16 dev cb1',
      );
      shIn(
        path('s4'),
        'ip addr add 10.1.9.9/16 dev eth0; ip link set eth0 address 02:00:00:00:00:01; ip route del default',
      );
      shIn(path('s5'), 'ip link set eth0 name eth9');
      sh(`ip link del cv1x6; umount ${path('s6')}`);
      const { objects } = await kernel.census();
      await apply({ id: 'repair', operations: diff(wanted, objects) });
      await holds(...wanted);
      sh(
        'ping -c1 -W1 10.1.0.2; ping -c1 -W1 10.1.0.3; ping -c1 -W1 10.1.0.4; ping -c1 -W1 10.1.0.5; ping -c1 -W1 10.1.0.6',
      );
      sh('ip link set cb1 down');
      const again = await kernel.census();
      await apply({ id: 'repair', operations: diff(wanted, again.objects) });
      sh('ping -c1 -W1 10.1.0.2; ping -c1 -W1 fd00:1::2');
      await holds(...wanted);
    });

    it('makes a sandbox anew whose namespace is gone, with its interface still there', async () => {
      await start();
      const wanted = [...network(1), ...box(2)];
      await apply(create('all', wanted));
      const inhabitant = spawn('nsenter', [`--net=${path('s2')}`, 'sleep', '60']);
      await new Promise((resolve) => setTimeout(resolve, 100));
      sh(`umount ${path('s2')}; rm ${path('s2')}`);
      const { objects } = await kernel.census();
      await apply({ id: 'repair', operations: diff(wanted, objects) });
      await holds(...wanted);
      inhabitant.kill('SIGKILL');
      sh('ping -c1 -W1 10.1.0.2');
    });

    it('takes what cannot be read for unknown, not for absent', async () => {
      await start();
      const wanted = [...network(1), ...box(2)];
      await apply(create('all', wanted));
      // A path that loops cannot be opened, and says nothing about what was there.
      sh(
        `umount ${path('s2')}; rm ${path('s2')}; touch ${path('s2')}; mount -t tmpfs none ${runDir}/.records; umount ${runDir}/.records`,
      );
      sh(`mv ${path('.records')} ${path('hidden')}`);
      const census = await kernel.census();
      const unknown = ['device ', 'link ', 'netns ', 'resolver ', 'route '];
      assert.deepEqual(census.unknown.map(({ what }) => what).sort(), unknown);
      assert.ok(census.objects.every(({ kind }) => kind === 'element'));
      sh(`mv ${path('hidden')} ${path('.records')}`);
    });

    it('replaces the rules of an earlier version, and keeps the elements', async () => {
      const comment = `cnm:${owner.realm}:${owner.host}`;
      sh(`nft -f - <<'X'
        table inet ${table} {
          comment "${comment}:rules:0123456789abcdef"
          set bridges { type ifname; elements = { "cb1" comment "${comment}:n:n1" } }
          set internal { type ifname; }
          set own { type ifname . ifname; elements = { "cb1" . "cb1" comment "${comment}:n:n1" } }
          chain old { accept; }
        }`);
      await start();
      await holds(...network(1).filter((object) => object.kind === 'element' && object.set !== 'icc'));
      const text = sh(`nft list table inet ${table}`);
      assert.match(text, /chain forward/);
      assert.doesNotMatch(text, /chain old/);
    });

    it('leaves a table of its name alone that is not its own', async () => {
      sh(`nft add table inet ${table}; nft add chain inet ${table} theirs`);
      await start();
      const before = sh('nft list ruleset');
      const [result] = await kernel.apply([create('net', network(1))]);
      assert.ok(result && !result.ok);
      assert.equal(result.fault.code, 'FOREIGN_OBJECT');
      assert.match(result.fault.text, new RegExp(table));
      assert.equal(sh('nft list ruleset'), before);
      assert.deepEqual(
        (await kernel.census()).unknown.map(({ what }) => what),
        ['element '],
      );
      await apply(create('bridge only', [bridge(1)]), create('box', box(2)));
    });

    it('does not share its table with a second process', async () => {
      await start();
      const second = await linuxKernel({ ...owner, runDir });
      const [result] = await second.apply([create('net', network(1))]);
      assert.ok(result && !result.ok);
      assert.deepEqual([result.fault.code, result.fault.errno], ['KERNEL_ERROR', 'EPERM']);
      await second.close();
      await apply(create('net', network(1)));
    });

    it('keeps apart what belongs to another host on the same machine', async () => {
      await start();
      await apply(create('net', network(1)), create('box', box(2)));
      const other = await linuxKernel({ realm: owner.realm, host: 'h-2', runDir });
      assert.deepEqual(await other.census(), { objects: [], unknown: [] });
      const mine = { ...tag('network', 'n9'), host: 'h-2' };
      const theirs: KernelObject = { ...bridge(9), tag: mine };
      assert.deepEqual(await other.apply([create('net', [theirs])]), [{ ok: true }]);
      await holds(...network(1), ...box(2));
      await other.apply([remove('net', [theirs])]);
      await other.settled();
      await other.close();
      sh(`nft delete table inet ${tableName(owner.realm, 'h-2')}`);
    });

    it('forgets a brought namespace that its owner has removed', async () => {
      await start();
      sh(`touch ${path('guest')}; unshare --net=${path('guest')} true`);
      await apply(create('guest', [netns(path('guest'), 'g', false)]));
      sh(`umount ${path('guest')}; rm ${path('guest')}`);
      await holds();
    });
  });
}
