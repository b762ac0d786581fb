/** Files of sandboxes as a runtime and its container see them. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { SandboxFile } from '../../drivers/objects.ts';
import { diff } from '../../drivers/plan.ts';
import type { Plan } from '../../drivers/port.ts';
import { create, remove, tag, veth } from '../support/kernel-objects.ts';
import { LinuxLab } from '../support/linux-lab.ts';
import { inOwnNamespaces, sh } from '../support/netns.ts';

if (inOwnNamespaces(import.meta.filename)) {
  describe('files', () => {
    let lab: LinuxLab;
    const path = (name: string): string => `${lab.runDir}/files/s2/${name}`;
    const file = (name: string, content: string): SandboxFile => ({
      kind: 'file',
      path: path(name),
      content,
      tag: tag('sandbox', 's2'),
    });
    const change = (name: string, from: string, to: string): Plan => ({
      id: 'change',
      operations: [{ op: 'update', from: file(name, from), object: file(name, to) }],
    });
    const restart = async (): Promise<void> => {
      await lab.kernel.close();
      await lab.start();
    };
    const inode = (name: string): number => statSync(path(name)).ino;
    const missing = create('', [veth({ network: 7, number: 2, netns: '/nowhere' })]).operations;

    beforeEach(async () => {
      lab = await LinuxLab.open();
    });
    afterEach(async () => {
      await lab.close();
    });

    it('leave nothing behind when the process ends while they are made or removed', async () => {
      await lab.apply(create('files', [file('hosts', 'one\n')]));
      const [record = ''] = readdirSync(`${lab.runDir}/.files`);
      // Of one that had begun a record, and one that had removed the last file and not yet its directory.
      writeFileSync(`${lab.runDir}/.files/${record.slice(0, 8)}${'0'.repeat(32)}`, '');
      mkdirSync(`${lab.runDir}/files/s3/more`, { recursive: true });
      await restart();
      await lab.holds(file('hosts', 'one\n'));
      assert.deepEqual(readdirSync(`${lab.runDir}/files`), ['s2']);
      assert.deepEqual(readdirSync(`${lab.runDir}/.files`), [record]);
      await lab.apply(remove('files', [file('hosts', '')]));
      assert.deepEqual(readdirSync(lab.runDir).sort(), ['.files', '.records']);
    });

    it('can be read by everybody, whatever the mask of the process is, and leave no directory behind', async () => {
      await lab.apply(create('files', [file('hosts', 'one\n'), file('hostname', 'box\n')]));
      assert.equal(statSync(path('hosts')).mode & 0o777, 0o644);
      await lab.apply(remove('files', [file('hosts', ''), file('hostname', '')]));
      assert.deepEqual(readdirSync(lab.runDir).sort(), ['.files', '.records']);
      assert.deepEqual(readdirSync(`${lab.runDir}/.files`), []);
    });

    it('are the same file after a change, so that a mount of one shows it', async () => {
      await lab.apply(create('file', [file('hosts', 'a longer text than the next one\n')]));
      const before = inode('hosts');
      sh(`touch ${lab.runDir}/mounted; mount --bind ${path('hosts')} ${lab.runDir}/mounted`);
      for (const content of ['short\n', 'a longer one again, with more\n', '']) {
        await lab.apply(change('hosts', '', content));
        assert.equal(readFileSync(`${lab.runDir}/mounted`, 'utf8'), content);
        assert.equal(inode('hosts'), before);
      }
      sh(`umount ${lab.runDir}/mounted; rm ${lab.runDir}/mounted`);
    });

    it('are the same file after a removal that was undone', async () => {
      await lab.apply(create('file', [file('hosts', 'one\n')]));
      const before = inode('hosts');
      await lab.faultOf({ id: 'x', operations: [...remove('', [file('hosts', 'one\n')]).operations, ...missing] });
      assert.deepEqual([inode('hosts'), readFileSync(path('hosts'), 'utf8')], [before, 'one\n']);
      writeFileSync(path('hosts'), 'mine\n');
      await lab.faultOf({ id: 'x', operations: [...change('hosts', 'one\n', 'two\n').operations, ...missing] });
      assert.equal(readFileSync(path('hosts'), 'utf8'), 'mine\n');
    });

    it('are never seen half changed', async () => {
      const [short, long] = [`${'s'.repeat(99)}\n`, `${'l'.repeat(1999)}\n`];
      await lab.apply(create('file', [file('hosts', short)]));
      // Each text as its first letter and the end of its line; empty lines at the end are as good as none. Read by one call: whoever reads
      // on after what was the end of a file sees what has been added to it since. The kernel reads the size first and then copies, and clears
      // what is cut off (mm/filemap.c, mm/truncate.c): whoever reads at that instant sees zeros behind the text, as good as empty lines.
      const once = `dd if=${path('hosts')} bs=8192 count=1 2>/dev/null`;
      const loop = `while [ ! -e ${lab.runDir}/stop ]; do ${once} | tr '\\0' '\\n' | tr -s '\\nsl' | tr '\\n' .; echo; done | sort -u`;
      const reader = spawn('sh', ['-c', loop], { stdio: ['ignore', 'pipe', 'inherit'] });
      const read = text(reader.stdout);
      for (let round = 0; round < 200; round++) {
        await lab.apply(change('hosts', short, long), change('hosts', long, short));
      }
      writeFileSync(`${lab.runDir}/stop`, '');
      const seen = (await read).trim().split('\n');
      assert.deepEqual(
        seen.filter((line) => line !== 's.' && line !== 'l.'),
        [],
      );
      assert.notEqual(seen[0], '');
      unlinkSync(`${lab.runDir}/stop`);
    });

    it('are written again by the next process when the last one ended between record and file', async () => {
      await lab.apply(create('file', [file('hosts', 'one\n')]));
      const [record = ''] = readdirSync(`${lab.runDir}/.files`);
      const stale = readFileSync(`${lab.runDir}/.files/${record}`, 'utf8');
      await lab.apply(change('hosts', 'one\n', 'two\n'));
      // The record says what was to be written, the file still what it said before.
      writeFileSync(path('hosts'), 'one\n');
      await restart();
      const { objects } = await lab.kernel.census();
      assert.deepEqual(objects, [file('hosts', 'one\n')]);
      await lab.apply({ id: 'repair', operations: diff([file('hosts', 'two\n')], objects) });
      assert.equal(readFileSync(path('hosts'), 'utf8'), 'two\n');
      // A record without its file is forgotten, half of one as well.
      unlinkSync(path('hosts'));
      writeFileSync(`${lab.runDir}/.files/${record}.next`, stale.slice(0, 10));
      await restart();
      assert.deepEqual((await lab.kernel.census()).objects, []);
      assert.deepEqual(readdirSync(`${lab.runDir}/.files`), []);
      await lab.apply(create('file', [file('hosts', 'three\n')]));
      assert.equal(readFileSync(path('hosts'), 'utf8'), 'three\n');
    });

    it('are written again when the last process ended while it wrote one', async () => {
      await lab.apply(create('files', [file('hosts', 'one\n'), file('hostname', 'box\n')]));
      // A file gets its mode when all is written.
      writeFileSync(path('hosts'), '');
      chmodSync(path('hosts'), 0);
      await restart();
      assert.deepEqual((await lab.kernel.census()).objects, [file('hostname', 'box\n')]);
      assert.ok(!existsSync(path('hosts')));
      await lab.apply(create('file', [file('hosts', 'two\n')]));
      assert.deepEqual([readFileSync(path('hosts'), 'utf8'), statSync(path('hosts')).mode & 0o777], ['two\n', 0o644]);
    });

    it('are gone when the last process ended in the middle of a removal', async () => {
      await lab.apply(create('file', [file('hosts', 'one\n')]));
      const [record = ''] = readdirSync(`${lab.runDir}/.files`);
      renameSync(path('hosts'), `${lab.runDir}/.files/${record}.gone`);
      await restart();
      assert.deepEqual((await lab.kernel.census()).objects, []);
      assert.deepEqual(readdirSync(`${lab.runDir}/.files`), []);
    });

    it("stay their user's, whatever was appended", async () => {
      await lab.apply(create('file', [file('hosts', 'one\n')]));
      appendFileSync(path('hosts'), Buffer.from([0x0a, 0xff, 0xfe]));
      await lab.apply(change('hosts', 'one\n', 'two\n'));
      assert.deepEqual(readFileSync(path('hosts')), Buffer.from([0x6f, 0x6e, 0x65, 0x0a, 0x0a, 0xff, 0xfe]));
      assert.deepEqual(diff([file('hosts', 'two\n')], (await lab.kernel.census()).objects), []);
    });

    it('are not taken from others, and made nowhere else', async () => {
      mkdirSync(`${lab.runDir}/files/s2`, { recursive: true });
      writeFileSync(path('hosts'), 'theirs\n');
      assert.equal((await lab.faultOf(create('file', [file('hosts', 'one\n')]))).code, 'FOREIGN_OBJECT');
      assert.equal((await lab.faultOf(remove('file', [file('hosts', 'one\n')]))).code, 'FOREIGN_OBJECT');
      assert.equal(readFileSync(path('hosts'), 'utf8'), 'theirs\n');
      unlinkSync(path('hosts'));
      for (const elsewhere of ['/tmp/cnm-elsewhere', `${lab.runDir}/../cnm-elsewhere`]) {
        const fault = await lab.faultOf(create('file', [{ ...file('hosts', 'one\n'), path: elsewhere }]));
        assert.deepEqual([fault.code, fault.errno], ['KERNEL_ERROR', 'EINVAL']);
        assert.ok(!existsSync(elsewhere));
      }
      sh(`rmdir ${lab.runDir}/files/s2 ${lab.runDir}/files`);
    });
  });
}
