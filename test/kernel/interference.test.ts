/** Somebody who changes links between two steps of what makes them: it is made all the same, or the outcome says what was found. On Linux. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import type { Kernel } from '../../drivers/port.ts';
import { clearAway } from '../support/linux-lab.ts';
import { waitFor } from '../support/nats.ts';
import { inOwnNamespaces, ipLinks, sh } from '../support/netns.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

/** Run before and after each call that changes something: does what it is told to where it is told to, each time. */
const agent = (folder: string): string => `#!/bin/bash
[ -e ${folder}/deed ] || exit 0
echo "$1" >> ${folder}/passed
[[ "$1" =~ $(cat ${folder}/where) ]] || exit 0
home() { nsenter --net=/proc/$PPID/ns/net "$@"; }
inside() { for file in $(find ${folder}/run -path '*netns*' -type f); do nsenter --net=$file "$@"; done; }
links() { home ip -o link | sed -nE "s/^[0-9]+: ($1[0-9a-z]+)[@:].*/\\1/p"; }
. ${folder}/deed >> ${folder}/said 2>&1
`;

/** Behind the batch that makes a pair, and in front of it. */
const made = 'rtnetlink.NEWLINK\\+SETLINK:after$';
const unmade = 'rtnetlink.NEWLINK\\+SETLINK:before$';

interface Deed {
  readonly what: string;
  readonly where: string;
  /** Commands of the agent. */
  readonly deed: string;
  /** What the outcome says was found; null: the attach is done, and what was changed is put right. */
  readonly found: readonly [code: string, text: RegExp] | null;
}

const deeds: readonly Deed[] = [
  {
    what: 'deletes the host end',
    where: made,
    deed: 'for link in $(links cv); do home ip link del $link; done',
    found: ['INTERFERED', /: interface cv\w+ is not there any more; somebody else changed it$/],
  },
  {
    what: 'moves the other end away',
    where: made,
    deed: 'inside ip link set eth0 netns $(cat $FOLDER/elsewhere) name z$(date +%N)',
    found: [
      'INTERFERED',
      /: the other end of interface cv\w+ is not in \/run\/\S+ any more; somebody else changed it$/,
    ],
  },
  {
    what: 'renames the host end, and deletes the other one',
    where: made,
    deed: 'for link in $(links cv); do home ip link set $link name x$(date +%N); done; inside ip link set eth0 netns $(cat $FOLDER/elsewhere) name z$(date +%N)',
    found: ['INTERFERED', /: interface cv\w+ is called x\d+ now; somebody else changed it$/],
  },
  {
    what: 'deletes the bridge first',
    where: unmade,
    deed: 'for link in $(links cb); do home ip link del $link; done',
    found: ['KERNEL_ERROR', /^no bridge cb\w+$/],
  },
  {
    what: 'moves the host end away',
    where: made,
    deed: 'for link in $(links cv); do home ip link set $link netns $(cat $FOLDER/elsewhere) name z$(date +%N); done',
    found: null,
  },
  {
    what: 'renames the host end',
    where: made,
    deed: 'for link in $(links cv); do home ip link set $link name x$(date +%N); done',
    found: null,
  },
  {
    what: 'renames the other end',
    where: made,
    deed: 'inside ip link set eth0 name y0',
    found: null,
  },
  {
    what: 'sets the host end down and takes it off its bridge',
    where: made,
    deed: 'for link in $(links cv); do home ip link set $link down; home ip link set $link nomaster; done',
    found: null,
  },
];

if (inOwnNamespaces(import.meta.filename)) {
  describe('interference on Linux', () => {
    const folder = mkdtempSync('/run/cnm-interfered-');
    const runDir = `${folder}/run`;
    const file = (name: string): string => `${folder}/${name}`;
    let kernel: Kernel;
    let system: System;
    let stop = (): unknown => undefined;

    before(async () => {
      sh('ip link set lo up');
      writeFileSync(file('agent'), agent(folder));
      chmodSync(file('agent'), 0o755);
      sh(`mkdir -p ${runDir}`);
      kernel = await linuxKernel({ realm, host, runDir, failpoint: `run:${file('agent')}` });
      const elsewhere = spawn('unshare', ['--net', 'sleep', '600'], { stdio: 'ignore' });
      stop = () => elsewhere.kill();
      writeFileSync(file('elsewhere'), String(elsewhere.pid));
      system = await new System({ ...memoryStreams(), kernel, runDir, drift: { everyMs: 300 } }).start();
      await system.run('CreateNetwork', { name: 'net' });
    });
    after(async () => {
      await system.stop();
      stop();
      await clearAway(kernel, { realm, host, runDir });
      rmSync(folder, { recursive: true, force: true });
    });

    /** Links of the host that carry our tag. */
    const ours = (): number => ipLinks().filter(({ ifalias }) => ifalias?.startsWith('cnm:')).length;

    for (const [at, { what, where, deed, found }] of deeds.entries())
      it(`an agent that ${what}: ${found === null ? 'the attach is done all the same' : 'the outcome says so'}`, async () => {
        const sandbox = `s${at}`;
        const asked = { sandbox, networks: [{ network: 'net' }] };
        writeFileSync(file('where'), where);
        writeFileSync(file('deed'), deed.replaceAll('$FOLDER', folder));
        const { status, fault } = await system.outcomeOf('AttachSandbox', asked);
        rmSync(file('deed'));
        assert.ok(readFileSync(file('passed'), 'utf8').includes('NEWLINK+SETLINK:after'), 'it had its chance');
        if (found === null) assert.equal(status, 'succeeded', fault?.text);
        else {
          assert.deepEqual([status, fault?.code], ['failed', found[0]], fault?.text);
          assert.match(fault?.text ?? '', found[1]);
          assert.match(fault?.step ?? '', /^create (veth|route|netns) /);
          assert.deepEqual(fault?.undoFaults, []);
        }
        // Whatever it has done is put right, and the same can be asked for again.
        await waitFor(() => ours() === (found === null ? 2 : 1), { what: 'the bridge, and an end where it is done' });
        if (found !== null) await system.run('AttachSandbox', asked);
        await system.check();
        assert.equal(ours(), 2, 'a bridge and a host end');
        await system.run('DetachSandbox', { sandbox });
        await waitFor(() => ours() === 1, { what: 'nothing but the bridge' });
      });
  });
}
