/** A replay against the host that was: the kernel holds the same, moment by moment. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import { tableName } from '../../drivers/kernel/ruleset.ts';
import type { KernelObject } from '../../drivers/objects.ts';
import { diff } from '../../drivers/plan.ts';
import type { Kernel } from '../../drivers/port.ts';
import { openExport } from '../../services/audit/open-export.ts';
import { RESOLVER_PORT } from '../../services/dns/address.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { relocate } from '../../services/replay/relocate.ts';
import { Replay } from '../../services/replay/replay.ts';
import { writeExport } from '../support/export-file.ts';
import { byKey } from '../support/kernel-objects.ts';
import { hasKind, inOwnNamespaces, sh, succeedsIn } from '../support/netns.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

const table = tableName(realm, host);

interface Seen {
  readonly position: number;
  readonly objects: readonly KernelObject[];
}

const take = async (kernel: Kernel, runDir: string): Promise<void> => {
  const { objects } = await kernel.census();
  await kernel.apply([{ id: 'clean', operations: diff([], objects) }]);
  await kernel.settled();
  await kernel.close();
  sh(`nft delete table inet ${table}; umount ${runDir}`);
  rmSync(runDir, { recursive: true });
};

if (inOwnNamespaces(import.meta.filename)) {
  describe('a replay on Linux', () => {
    const folder = mkdtempSync('/tmp/cnm-test-');
    const file = join(folder, 'export');
    const runDir = mkdtempSync('/run/cnm-test-');
    const streams = memoryStreams();
    const moments: Seen[] = [];

    /** @param then with what it left, once it is closed: its table is its own until then */
    const replaying = async (
      until: number,
      use: (replay: Replay) => Promise<void>,
      then: (directory: string) => Promise<void> = async () => undefined,
    ): Promise<void> => {
      const directory = mkdtempSync('/run/cnm-test-');
      const log = await openExport(file);
      const logger = pino({ level: 'silent' });
      const replay = await Replay.open({ log, realm, until, host: undefined, directory, clock: systemClock, logger });
      try {
        await use(replay);
        await replay.close();
        await then(directory);
      } finally {
        await replay.close();
        await take(await linuxKernel({ realm, host, runDir: directory }), directory);
      }
    };
    const census = async (directory: string): Promise<readonly KernelObject[]> => {
      const kernel = await linuxKernel({ realm, host, runDir: directory });
      try {
        const { objects, unknown } = await kernel.census();
        assert.deepEqual(unknown, []);
        return byKey(objects);
      } finally {
        await kernel.close();
      }
    };
    /** What the host itself resolved names with is not on the log. */
    const comparable = (objects: readonly KernelObject[]): readonly KernelObject[] =>
      objects.map((object) =>
        object.kind === 'file' && object.path.endsWith('/resolv.conf') ? { ...object, content: '' } : object,
      );
    const expected = ({ objects }: Seen, directory: string): readonly KernelObject[] =>
      byKey(objects.map((object) => relocate({ from: runDir, to: directory }, object)));

    before(async () => {
      sh('ip link set lo up');
      const kernel = await linuxKernel({ realm, host, runDir, resolverPort: RESOLVER_PORT });
      const system = await new System({ ...streams, kernel, runDir }).start();
      const see = async (): Promise<void> => {
        await system.quiet();
        await kernel.settled();
        moments.push({ position: await streams.log.last(), objects: (await kernel.census()).objects });
      };
      await system.run('CreateNetwork', { name: 'a', ipv6: true, ipam: { subnets: [{ subnet: '10.1.0.0/24' }] } });
      await system.run('CreateNetwork', { name: 'b', internal: true, ipam: { subnets: [{ subnet: '10.2.0.0/24' }] } });
      await see();
      const ports = [{ hostPort: 8080, port: 80 }];
      await system.run('AttachSandbox', { sandbox: 'web', networks: [{ network: 'a', ports }, { network: 'b' }] });
      await system.run('AttachSandbox', { sandbox: 'db', hostname: 'base', networks: [{ network: 'a' }] });
      for (const driver of ['macvlan', 'ipvlan'].filter(hasKind).slice(0, 1)) {
        const options = { parent: 'lan0' };
        sh('ip link add lan0 type veth peer name lan1; ip link set lan0 up; ip link set lan1 up');
        const subnets = [{ subnet: '10.3.0.0/24' }];
        await system.run('CreateNetwork', { name: 'lan', driver, options, ipam: { subnets } });
        await system.run('AttachSandbox', { sandbox: 'far', networks: [{ network: 'lan' }] });
      }
      await see();
      await system.run('DetachSandbox', { sandbox: 'web' });
      await system.run('DeleteNetwork', { network: 'b' });
      await see();
      await system.stop();
      await take(kernel, runDir);
      sh('ip link del lan0 2>/dev/null || true');
      await writeExport(streams.log, file);
    });
    after(() => rmSync(folder, { recursive: true }));

    it('has at each moment what the host had then', async () => {
      assert.deepEqual(
        moments.map(({ objects }) => objects.filter(({ kind }) => kind === 'netns').length > 0),
        [false, true, true],
      );
      for (const moment of moments) {
        const build = async (replay: Replay): Promise<void> => assert.deepEqual((await replay.show()).failures, []);
        await replaying(moment.position, build, async (directory) => {
          const found = await census(directory);
          // Of what the host stood on there are stand-ins.
          const stubs = found.filter(({ tag }) => tag.id === 'replay');
          assert.ok(stubs.every(({ kind }) => kind === 'stub'));
          const others = found.filter((object) => !stubs.includes(object));
          assert.deepEqual(comparable(others), comparable(expected(moment, directory)));
        });
      }
    });

    it('goes from moment to moment, there and back, and has then what the host had', async () => {
      const [first, middle, last] = moments;
      assert.ok(first && middle && last);
      const comparing = async (moment: Seen, directory: string): Promise<void> => {
        const found = (await census(directory)).filter(({ tag }) => tag.id !== 'replay');
        assert.deepEqual(comparable(found), comparable(expected(moment, directory)));
      };
      const walk = async (replay: Replay): Promise<void> => {
        await replay.show();
        let changes = 0;
        while (replay.position < last.position) {
          const step = await replay.next();
          assert.deepEqual(step?.failures, []);
          changes += step.changes.length;
        }
        assert.ok(changes > last.objects.length, 'what came and went in between was there');
      };
      await replaying(first.position, walk, (directory) => comparing(last, directory));
      const leap = async (replay: Replay): Promise<void> => {
        await walk(replay);
        assert.equal(await replay.next(), null);
        assert.deepEqual((await replay.goTo(middle.position)).failures, []);
        await assert.rejects(replay.goTo(last.position + 1), { code: 'REPLAY_POSITION_UNKNOWN' });
      };
      await replaying(first.position, leap, (directory) => comparing(middle, directory));
      const empty = async (replay: Replay): Promise<void> => {
        await replay.show();
        await replay.goTo(1);
      };
      await replaying(middle.position, empty, async (directory) => assert.deepEqual(await census(directory), []));
    });

    it('lets its sandboxes reach each other as they did', async () => {
      await replaying(moments[1]?.position ?? 0, async (replay) => {
        await replay.show();
        const [web, base] = [replay.inside('web').netns, replay.inside('db').netns];
        assert.ok(succeedsIn(base, 'ping -c1 -W1 10.1.0.2'));
        assert.ok(succeedsIn(web, 'ping -c1 -W1 10.1.0.3'));
        assert.ok(!succeedsIn(base, 'ping -c1 -W1 10.2.0.2'));
        assert.throws(() => replay.inside('nobody'), { code: 'REPLAY_SANDBOX_UNKNOWN' });
      });
    });
  });
}
