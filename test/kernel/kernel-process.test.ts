/** What the adapter does to the process that it runs in. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import { create, netns, network, owner, remove, sandbox } from '../support/kernel-objects.ts';
import { inOwnNamespaces, sh } from '../support/netns.ts';
import { threadsOf } from '../support/threads.ts';

const drivers = new URL('../../drivers/', import.meta.url);

/** Runs a module in a process of its own; `prefix` is a command that becomes it. */
const runModule = (source: string, ...prefix: string[]) => {
  const [command = '', ...argv] = [...prefix, process.execPath, '--input-type=module', '--eval', source];
  return spawnSync(command, argv, { encoding: 'utf8' });
};

/** Namespaces of all threads of this process. */
const namespaces = (): ReadonlySet<string> =>
  new Set(readdirSync('/proc/self/task').map((task) => readlinkSync(`/proc/self/task/${task}/ns/net`)));

/** Once no thread is anywhere else to make a namespace ahead; one that is lost stays where it is. */
const atRest = async (): Promise<ReadonlySet<string>> => {
  let seen = namespaces();
  for (let look = 0; look < 100 && seen.size > 1; look++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    seen = namespaces();
  }
  return seen;
};

const descriptors = (): number => readdirSync('/proc/self/fd').length;

if (inOwnNamespaces(import.meta.filename)) {
  describe('the process', () => {
    const runDir = mkdtempSync('/run/cnm-test-');
    const path = (name: string): string => `${runDir}/${name}`;
    const box = (number: number) => sandbox(`s${number}`, { network: 1, number, netns: path(`s${number}`) });

    before(() => {
      sh(`mount -t tmpfs none ${runDir}; mkfifo ${path('fifo')}`);
    });
    after(() => {
      sh(`umount -R ${runDir}; rmdir ${runDir}`);
    });

    it('has all its threads at home after each request', async () => {
      const home = readlinkSync('/proc/self/ns/net');
      const kernel = await linuxKernel({ ...owner, runDir });
      const bad = create('bad', [
        ...box(4),
        ...network(9).slice(0, 1),
        ...sandbox('s4', { network: 7, number: 5, netns: path('s5') }),
      ]);
      await kernel.apply([create('net', network(1)), create('box', box(2)), create('box', box(3)), bad]);
      assert.deepEqual(await atRest(), new Set([home]));
      await kernel.census();
      await kernel.facts();
      assert.deepEqual(await atRest(), new Set([home]));
      await kernel.apply([remove('box', box(2)), remove('box', box(3)), remove('net', network(1))]);
      await kernel.settled();
      assert.deepEqual(await atRest(), new Set([home]));
      await kernel.close();
    });

    it('has no thread left when one of them fails at its start', async () => {
      // A defect in the thread that makes namespaces ahead: no number that goes into a message.
      const resolverPort = 53n as unknown as number;
      await assert.rejects(linuxKernel({ ...owner, runDir, resolverPort }), /BigInt/);
      assert.ok(threadsOf(process.pid).every(({ name }) => name !== 'WorkerThread'));
    });

    it('keeps no descriptor of what is closed, finished or failed', async () => {
      const counts: number[] = [];
      for (let round = 0; round < 8; round++) {
        const kernel = await linuxKernel({ ...owner, runDir });
        const bad = create('bad', sandbox('s4', { network: 7, number: 5, netns: path('s5') }));
        const guest = create('guest', [netns(path('fifo'), 'g', false)]);
        await kernel.apply([create('net', network(1)), create('box', box(2)), create('again', box(2)), bad, guest]);
        await kernel.census();
        await kernel.facts();
        await kernel.apply([remove('box', box(2)), remove('net', network(1))]);
        // Every other time the reaper is stopped in the middle of its work.
        if (round % 2 === 0) await kernel.settled();
        await kernel.close();
        counts.push(descriptors());
      }
      assert.equal(counts.at(-1), counts[1], `descriptors after each round: ${counts.join(' ')}`);
    });

    it('refuses brought namespaces that are none, or are its own', async () => {
      const kernel = await linuxKernel({ ...owner, runDir });
      for (const place of [path('fifo'), '/proc/self/ns/mnt', '/proc/self/ns/net', '/dev/null', runDir, path('none')]) {
        const [result] = await kernel.apply([create('guest', [netns(place, 'g', false)])]);
        assert.ok(result && !result.ok, place);
        assert.equal(result.fault.code, 'NETNS_UNUSABLE', `${place}: ${result.fault.text}`);
      }
      await kernel.close();
    });

    it('refuses a brought namespace that it may not open', () => {
      // Of a process that may do more than the asking one (ptrace(2), PTRACE_MODE_READ).
      const source = `
        import { linuxKernel } from '${new URL('kernel/kernel.ts', drivers)}';
        import { create, netns, owner } from '${new URL('../test/support/kernel-objects.ts', drivers)}';
        const kernel = await linuxKernel({ ...owner, runDir: '${runDir}' });
        const [{ fault }] = await kernel.apply([create('guest', [netns('/proc/${process.pid}/ns/net', 'g', false)])]);
        console.log(fault.code, fault.errno, fault.text, fault.retryable);
        await kernel.close();`;
      const { stdout, stderr } = runModule(source, 'setpriv', '--bounding-set=-sys_ptrace');
      const words = `/proc/${process.pid}/ns/net cannot be opened: permission denied`;
      assert.equal(stdout, `NETNS_UNUSABLE EACCES ${words} false\n`, stderr);
    });

    it('becomes a command inside of a sandbox, with streams, signals and exit code of the command', async () => {
      const kernel = await linuxKernel({ ...owner, runDir });
      await kernel.apply([create('net', network(1)), create('box', box(2))]);
      const become = (place: string, argv: readonly string[]): string => `
        import { execIn } from '${new URL('kernel/exec.ts', drivers)}';
        process.stdin.resume(); process.stdin.pause();
        try { execIn('${place}', ${JSON.stringify(argv)}, { PATH: process.env.PATH, GREETING: 'hello there' }); }
        catch (error) { console.log(error.code, error.errno ?? ''); }`;
      const script = 'ip -br -4 addr show eth0; echo $GREETING; grep SigIgn /proc/self/status; exit 7';
      const { stdout, status } = runModule(become(path('s2'), ['sh', '-c', script]));
      assert.match(stdout, /eth0@\S+ +UP +10\.1\.0\.2\/16 *\nhello there\nSigIgn:\t0{16}\n$/);
      assert.equal(status, 7);
      assert.equal(runModule(become(path('s2'), ['no-such-command'])).stdout, 'ENOENT \n');
      assert.equal(runModule(become(path('none'), ['true'])).stdout, 'NETNS_UNUSABLE \n');
      await kernel.apply([remove('box', box(2)), remove('net', network(1))]);
      await kernel.settled();
      await kernel.close();
    });

    it('shows files to a command inside of a sandbox at other paths, and to nobody else', async () => {
      const kernel = await linuxKernel({ ...owner, runDir });
      await kernel.apply([create('net', network(1)), create('box', box(2))]);
      const [own, host, link] = [path('own'), path('of-host'), path('link-to-host')];
      writeFileSync(own, 'of the sandbox\n');
      writeFileSync(host, 'of the host\n');
      symlinkSync(host, link);
      const shown = (...files: readonly { path: string; at: string }[]) =>
        runModule(`
          import { execIn } from '${new URL('kernel/exec.ts', drivers)}';
          execIn('${path('s2')}', ['cat', '${host}', '${link}'], { PATH: process.env.PATH }, ${JSON.stringify(files)});`);
      const text = 'of the sandbox\n';
      assert.deepEqual(
        [shown({ path: own, at: host }).stdout, readFileSync(host, 'utf8')],
        [text + text, 'of the host\n'],
      );
      assert.equal(shown({ path: own, at: link }).stdout, text + text, 'through a link, as resolv.conf often is one');
      const there = 'of the host\n'.repeat(2);
      assert.equal(shown({ path: path('none'), at: host }).stdout, there, 'one that is not there hides nothing');
      assert.equal(shown({ path: own, at: path('nowhere') }).stdout, there, 'nor does one without a place');
      for (const file of [own, host, link]) unlinkSync(file);
      await kernel.apply([remove('box', box(2)), remove('net', network(1))]);
      await kernel.settled();
      await kernel.close();
    });

    it('says what it may not do when it has no privileges, and goes on', () => {
      const source = `
        import { linuxKernel } from '${new URL('kernel/kernel.ts', drivers)}';
        import { create, netns, network, owner } from '${new URL('../test/support/kernel-objects.ts', drivers)}';
        const kernel = await linuxKernel({ ...owner, runDir: '${path('not-permitted')}' });
        const [net, box] = await kernel.apply([create('net', network(1)), create('box', [netns('${path('not-permitted')}/s', 's')])]);
        const { capabilities } = await kernel.facts();
        const { objects } = await kernel.census();
        console.log(JSON.stringify([net.fault.errno, box.ok, Object.values(capabilities).some(Boolean), objects]));
        await kernel.close();`;
      const { stdout, stderr } = runModule(
        source,
        'setpriv',
        '--bounding-set=-all',
        '--inh-caps=-all',
        '--ambient-caps=-all',
        '--securebits=+noroot,+noroot_locked',
      );
      assert.equal(stdout, '["EPERM",false,false,[]]\n', stderr);
    });
  });
}
