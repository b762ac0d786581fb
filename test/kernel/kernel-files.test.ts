/** Files of sandboxes as a runtime and its container see them. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import { tableName } from '../../drivers/kernel/ruleset.ts';
import type { SandboxFile } from '../../drivers/objects.ts';
import { diff } from '../../drivers/plan.ts';
import type { Kernel, KernelFault, Plan } from '../../drivers/port.ts';
import { create, owner, remove, tag, veth } from '../support/kernel-objects.ts';
import { inOwnNamespaces, sh } from '../support/netns.ts';

if (inOwnNamespaces(import.meta.filename)) {
  describe('files', () => {
    let runDir = '';
    let kernel: Kernel;
    const path = (name: string): string => `${runDir}/files/s2/${name}`;
    const file = (name: string, content: string): SandboxFile => ({
      kind: 'file',
      path: path(name),
      content,
      tag: tag('sandbox', 's2'),
    });
    const apply = async (...plans: Plan[]): Promise<void> => {
      assert.deepEqual(
        await kernel.apply(plans),
        plans.map(() => ({ ok: true })),
      );
    };
    const faultOf = async (plan: Plan): Promise<KernelFault> => {
      const [result] = await kernel.apply([plan]);
      assert.ok(result && !result.ok);
      assert.deepEqual(result.fault.undoFaults, []);
      return result.fault;
    };
    const change = (name: string, from: string, to: string): Plan => ({
      id: 'change',
      operations: [{ op: 'update', from: file(name, from), object: file(name, to) }],
    });
    const restart = async (): Promise<void> => {
      await kernel.close();
      kernel = await linuxKernel({ ...owner, runDir });
    };
    const inode = (name: string): number => statSync(path(name)).ino;
    const missing = create('', [veth({ network: 7, number: 2, netns: '/nowhere' })]).operations;

    beforeEach(async () => {
      runDir = mkdtempSync('/run/cnm-test-');
      kernel = await linuxKernel({ ...owner, runDir });
    });
    afterEach(async () => {
      const { objects } = await kernel.census();
      await apply({ id: 'clean', operations: diff([], objects) });
      await kernel.close();
      sh(`nft delete table inet ${tableName(owner.realm, owner.host)}; umount ${runDir}; rmdir ${runDir}`);
    });

    it('can be read by everybody, whatever the mask of the process is, and leave no directory behind', async () => {
      await apply(create('files', [file('hosts', 'one\n'), file('hostname', 'box\n')]));
      assert.equal(statSync(path('hosts')).mode & 0o777, 0o644);
      await apply(remove('files', [file('hosts', ''), file('hostname', '')]));
      assert.deepEqual(readdirSync(runDir).sort(), ['.files', '.records']);
      assert.deepEqual(readdirSync(`${runDir}/.files`), []);
    });

    it('are the same file after a change, so that a mount of one shows it', async () => {
      await apply(create('file', [file('hosts', 'a longer text than the next one\n')]));
      const before = inode('hosts');
      sh(`touch ${runDir}/mounted; mount --bind ${path('hosts')} ${runDir}/mounted`);
      for (const content of ['short\n', 'a longer one again, with more\n', '']) {
        await apply(change('hosts', '', content));
        assert.equal(readFileSync(`${runDir}/mounted`, 'utf8'), content);
        assert.equal(inode('hosts'), before);
      }
      sh(`umount ${runDir}/mounted; rm ${runDir}/mounted`);
    });

    it('are the same file after a removal that was undone', async () => {
      await apply(create('file', [file('hosts', 'one\n')]));
      const before = inode('hosts');
      await faultOf({ id: 'x', operations: [...remove('', [file('hosts', 'one\n')]).operations, ...missing] });
      assert.deepEqual([inode('hosts'), readFileSync(path('hosts'), 'utf8')], [before, 'one\n']);
      writeFileSync(path('hosts'), 'mine\n');
      await faultOf({ id: 'x', operations: [...change('hosts', 'one\n', 'two\n').operations, ...missing] });
      assert.equal(readFileSync(path('hosts'), 'utf8'), 'mine\n');
    });

    it('are never seen half changed', async () => {
      const [short, long] = [`${'s'.repeat(99)}\n`, `${'l'.repeat(1999)}\n`];
      await apply(create('file', [file('hosts', short)]));
      // Each text as its first letter and the end of its line; empty lines at the end are as good as none. Read by one call: whoever reads
      // on after what was the end of a file sees what has been added to it since.
      const once = `dd if=${path('hosts')} bs=8192 count=1 2>/dev/null`;
      const loop = `while [ ! -e ${runDir}/stop ]; do ${once} | tr -s '\\nsl' | tr '\\n' .; echo; done | sort -u`;
      const reader = spawn('sh', ['-c', loop], { stdio: ['ignore', 'pipe', 'inherit'] });
      const read = text(reader.stdout);
      for (let round = 0; round < 200; round++) {
        await apply(change('hosts', short, long), change('hosts', long, short));
      }
      writeFileSync(`${runDir}/stop`, '');
      const seen = (await read).trim().split('\n');
      assert.deepEqual(
        seen.filter((line) => line !== 's.' && line !== 'l.'),
        [],
      );
      assert.notEqual(seen[0], '');
      unlinkSync(`${runDir}/stop`);
    });

    it('are written again by the next process when the last one ended between record and file', async () => {
      await apply(create('file', [file('hosts', 'one\n')]));
      const [record = ''] = readdirSync(`${runDir}/.files`);
      const stale = readFileSync(`${runDir}/.files/${record}`, 'utf8');
      await apply(change('hosts', 'one\n', 'two\n'));
      // The record says what was to be written, the file still what it said before.
      writeFileSync(path('hosts'), 'one\n');
      await restart();
      const { objects } = await kernel.census();
      assert.deepEqual(objects, [file('hosts', 'one\n')]);
      await apply({ id: 'repair', operations: diff([file('hosts', 'two\n')], objects) });
      assert.equal(readFileSync(path('hosts'), 'utf8'), 'two\n');
      // A record without its file is forgotten, half of one as well.
      unlinkSync(path('hosts'));
      writeFileSync(`${runDir}/.files/${record}.next`, stale.slice(0, 10));
      await restart();
      assert.deepEqual((await kernel.census()).objects, []);
      assert.deepEqual(readdirSync(`${runDir}/.files`), []);
      await apply(create('file', [file('hosts', 'three\n')]));
      assert.equal(readFileSync(path('hosts'), 'utf8'), 'three\n');
    });

    it('are written again when the last process ended while it wrote one', async () => {
      await apply(create('files', [file('hosts', 'one\n'), file('hostname', 'box\n')]));
      // A file gets its mode when all is written.
      writeFileSync(path('hosts'), '');
      chmodSync(path('hosts'), 0);
      await restart();
      assert.deepEqual((await kernel.census()).objects, [file('hostname', 'box\n')]);
      assert.ok(!existsSync(path('hosts')));
      await apply(create('file', [file('hosts', 'two\n')]));
      assert.deepEqual([readFileSync(path('hosts'), 'utf8'), statSync(path('hosts')).mode & 0o777], ['two\n', 0o644]);
    });

    it('are gone when the last process ended in the middle of a removal', async () => {
      await apply(create('file', [file('hosts', 'one\n')]));
      const [record = ''] = readdirSync(`${runDir}/.files`);
      renameSync(path('hosts'), `${runDir}/.files/${record}.gone`);
      await restart();
      assert.deepEqual((await kernel.census()).objects, []);
      assert.deepEqual(readdirSync(`${runDir}/.files`), []);
    });

    it("stay their user's, whatever was appended", async () => {
      await apply(create('file', [file('hosts', 'one\n')]));
      appendFileSync(path('hosts'), Buffer.from([0x0a, 0xff, 0xfe]));
      await apply(change('hosts', 'one\n', 'two\n'));
      assert.deepEqual(readFileSync(path('hosts')), Buffer.from([0x6f, 0x6e, 0x65, 0x0a, 0x0a, 0xff, 0xfe]));
      assert.deepEqual(diff([file('hosts', 'two\n')], (await kernel.census()).objects), []);
    });

    it('are not taken from others, and made nowhere else', async () => {
      mkdirSync(`${runDir}/files/s2`, { recursive: true });
      writeFileSync(path('hosts'), 'theirs\n');
      assert.equal((await faultOf(create('file', [file('hosts', 'one\n')]))).code, 'FOREIGN_OBJECT');
      assert.equal((await faultOf(remove('file', [file('hosts', 'one\n')]))).code, 'FOREIGN_OBJECT');
      assert.equal(readFileSync(path('hosts'), 'utf8'), 'theirs\n');
      unlinkSync(path('hosts'));
      for (const elsewhere of ['/tmp/cnm-elsewhere', `${runDir}/../cnm-elsewhere`]) {
        const fault = await faultOf(create('file', [{ ...file('hosts', 'one\n'), path: elsewhere }]));
        assert.deepEqual([fault.code, fault.errno], ['KERNEL_ERROR', 'EINVAL']);
        assert.ok(!existsSync(elsewhere));
      }
      sh(`rmdir ${runDir}/files/s2 ${runDir}/files`);
    });
  });
}
