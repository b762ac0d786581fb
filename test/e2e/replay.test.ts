// `cnm replay` as somebody who looks into what was: commands in the past, and a machine that is as it was before.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { writeExport } from '../support/export-file.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { waitFor } from '../support/nats.ts';
import { inOwnNamespaces, ipLinks, sh } from '../support/netns.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';
import { launcher, makePlace } from './cli-harness.ts';

const leftovers = (): readonly string[] => readdirSync(tmpdir()).filter((name) => name.startsWith('cnm-replay-'));

/** Empty for a process that has ended, whether or not anybody has asked for its exit code. */
const commandLine = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
};

/** Links, rules and mounts of the machine as this test sees it. */
const outside = (): readonly unknown[] => [
  ipLinks().map(({ ifname, ifindex }) => `${ifname} ${ifindex}`),
  sh('nft list ruleset'),
  sh('cat /proc/self/mountinfo'),
  leftovers(),
];

if (inOwnNamespaces(import.meta.filename)) {
  describe('replay', () => {
    const folder = mkdtempSync(join(tmpdir(), 'cnm-test-'));
    const file = join(folder, 'export');
    const place = makePlace();
    /** Position behind both attaches, and behind the detach. */
    let [both, one] = [0, 0];
    let untouched: readonly unknown[];
    const replay = (...words: string[]) => place.cnm('replay', file, ...words);

    before(async () => {
      const streams = memoryStreams();
      const system = await new System({
        ...streams,
        kernel: memoryKernel(new MemoryMachine(), { realm, host }),
        runDir: '/run/cnm',
      }).start();
      await system.run('CreateNetwork', { name: 'a', ipam: { subnets: [{ subnet: '10.1.0.0/24' }] } });
      await system.run('AttachSandbox', { sandbox: 'web', networks: [{ network: 'a' }] });
      await system.run('AttachSandbox', { sandbox: 'db', networks: [{ network: 'a', aliases: ['base'] }] });
      await system.quiet();
      both = await streams.log.last();
      await system.run('DetachSandbox', { sandbox: 'web' });
      await system.quiet();
      one = await streams.log.last();
      await system.stop();
      await writeExport(streams.log, file);
      untouched = outside();
    });
    after(() => {
      assert.deepEqual(outside(), untouched);
      place.remove();
      rmSync(folder, { recursive: true });
    });

    it('runs a command on the host as it was, at a moment', () => {
      const bridge =
        'ip -o link show type bridge | wc -l; ip -o link show type veth | wc -l; echo $CNM_REPLAY_POSITION';
      const then = replay('--until', String(both), '--', 'sh', '-c', bridge);
      assert.deepEqual([then.exit, then.out], [0, `1\n2\n${both}\n`], then.err);
      assert.match(
        then.err,
        new RegExp(`^host ${host} of realm test at position ${both} \\(.+Z\\): 1 network, 2 sandboxes, `),
      );
      const now = replay('--', 'sh', '-c', bridge);
      assert.deepEqual([now.exit, now.out], [0, `1\n1\n${one}\n`], now.err);
    });

    it('runs a command in a sandbox, which reaches others by address and by name', () => {
      const until = ['--until', String(both), '--sandbox', 'web'];
      const probe = 'ping -c1 -W1 10.1.0.3 >&2; ping -c1 -W1 db >&2; ping -c1 -W1 base >&2; cat /etc/hosts';
      const said = replay(...until, '--', 'sh', '-ec', probe);
      assert.equal(said.exit, 0, said.err);
      assert.match(said.out, /^10\.1\.0\.2\tweb$/m);
    });

    it('needs no root', () => {
      const probe = 'ping -c1 -W1 db >&2; ip -o -4 address show dev eth0';
      const said = replay(
        '--rootless',
        '--strict',
        '--until',
        String(both),
        '--sandbox',
        'web',
        '--',
        'sh',
        '-ec',
        probe,
      );
      assert.equal(said.exit, 0, said.err);
      assert.match(said.out, / 10\.1\.0\.2\/24 /);
    });

    it('passes the exit code of the command on, and says when there is none', () => {
      assert.equal(replay('--', 'sh', '-c', 'exit 7').exit, 7);
      assert.equal(replay('--', 'sh', '-c', 'kill -9 $$').exit, 137);
      const missing = replay('--', '/no/such/command');
      assert.equal(missing.exit, 127);
      assert.match(missing.err, /^cnm: \/no\/such\/command: no such command$/m);
    });

    it('refuses what is not in the export', () => {
      assert.match(replay('--until', '9999', '--', 'true').err, /^REPLAY_POSITION_UNKNOWN: position 9999 is not in it/);
      assert.match(replay('--host', 'h9', '--', 'true').err, /^REPLAY_HOST_UNKNOWN: no host h9: there were h1\n/);
      const absent = replay('--sandbox', 'web', '--', 'true');
      assert.match(absent.err, /^REPLAY_SANDBOX_UNKNOWN: no sandbox web stands at position \d+: there are db\nnext: /m);
      assert.equal(absent.exit, 1);
      assert.match(place.cnm('replay', join(folder, 'none')).err, /^NOT_FOUND: there is no file/);
      writeFileSync(join(folder, 'junk'), 'junk\n');
      assert.match(place.cnm('replay', join(folder, 'junk')).err, /^EXPORT_INVALID: line 1: not JSON/);
    });

    it('goes through it message by message, as a pipe says', () => {
      const words = ['replay', file, '--until', String(both), '--step'];
      const lines = `l\nn 100\nl\ng 1\nl\nwhat\ng 99999\nq\nn\n`;
      const { status, stdout, stderr } = spawnSync(launcher, words, { env: place.env, input: lines, encoding: 'utf8' });
      assert.equal(status, 0, stderr);
      const links = stdout.split('\n').flatMap((line) => /^(lo|cb|cv)\w*[@ ]/.exec(line)?.[1] ?? []);
      assert.equal(links.join(' '), 'lo cb cv cv lo cb cv lo');
      assert.match(stdout, new RegExp(`^${both + 1}\\.0 {2}EndpointLeaveRequested endpoint web`, 'm'));
      assert.match(stdout, /^ {4}- netns .*\/netns\/web$/m);
      assert.match(stderr, /that was the last message\n/);
      assert.match(stderr, /position 99999 is not in it: it ends at \d+\n$/);
    });

    it('leaves nothing when it is killed', async () => {
      const child = spawn(launcher, ['replay', file, '--', 'sh', '-c', 'echo $$; exec sleep 60'], {
        env: place.env,
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      const [gone, here] = [Promise.withResolvers<void>(), Promise.withResolvers<number>()];
      child.once('exit', () => gone.resolve());
      child.stdout.once('data', (text) => here.resolve(Number(text)));
      const command = await here.promise;
      assert.equal(leftovers().length, 1);
      child.kill('SIGKILL');
      await gone.promise;
      await waitFor(() => leftovers().length === 0, { what: 'the directory to go' });
      assert.equal(commandLine(command), '', 'and the command');
    });

    it('touches nothing outside of the launcher', () => {
      const main = makePlace({ program: launcher.replace(/cnm$/, 'main.ts'), prefix: [process.execPath] });
      const { exit, err } = main.cnm('replay', file, '--', 'true');
      assert.deepEqual([exit, /needs a namespace of its own/.test(err)], [2, true]);
      main.remove();
    });
  });
}
