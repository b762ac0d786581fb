/** Agents that fight us, notifications that are lost, and dumps that are interrupted: on Linux. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { after, afterEach, before, describe, it } from 'node:test';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import type { Kernel, Notice } from '../../drivers/port.ts';
import type { EventOf } from '../../events/envelope.ts';
import { clearAway } from '../support/linux-lab.ts';
import { waitFor } from '../support/nats.ts';
import { type IpLink, inOwnNamespaces, ipLinks, sh } from '../support/netns.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

type DriftEvent = EventOf<'DriftDetected' | 'DriftRepaired' | 'DriftLeft' | 'DriftEnded'>;

/** What agents like those of pain 30 do, once to each new end of a pair: within 50 ms it gets another address, goes down, and leaves its bridge. */
const agent = `
ip -o monitor link | while read -r line; do
  name=$(printf '%s' "$line" | sed -nE 's/^[0-9]+: (cv[0-9a-z]+)@.*/\\1/p')
  [ -n "$name" ] && ! grep -qx "$name" "$SEEN" || continue
  echo "$name" >> "$SEEN"
  ( sleep 0.0$((RANDOM % 5)); ip link set "$name" address 02:aa:00:00:00:$((RANDOM % 90 + 10)); ip link set "$name" down; ip link set "$name" nomaster ) 2>/dev/null &
done`;

if (inOwnNamespaces(import.meta.filename)) {
  describe('hostile neighbours on Linux', () => {
    const runDir = mkdtempSync('/run/cnm-test-');
    const streams = memoryStreams();
    const children: ChildProcess[] = [];
    const notices: Notice[] = [];
    let kernel: Kernel;
    let system: System;
    const ends = (): readonly IpLink[] => ipLinks().filter(({ ifname }) => ifname.startsWith('cv'));
    const bridge = (): IpLink | undefined => ipLinks().find(({ ifname }) => ifname.startsWith('cb'));
    const drifts = async (): Promise<readonly DriftEvent[]> =>
      (await system.events()).filter((event): event is DriftEvent => event.type.startsWith('Drift'));
    const run = (script: string, env: Record<string, string> = {}): ChildProcess => {
      const child = spawn('bash', ['-c', script], { detached: true, stdio: 'ignore', env: { ...process.env, ...env } });
      children.push(child);
      return child;
    };
    /** With everything that it has started. */
    const kill = ({ pid = 0 }: ChildProcess): void => {
      try {
        process.kill(-pid, 'SIGKILL');
      } catch {
        // it has ended
      }
    };
    const isRight = (): boolean => {
      const master = bridge()?.ifname;
      return ends().every((end) => end.master === master && end.flags.includes('UP'));
    };
    const start = async (everyMs: number, more: Partial<Parameters<typeof linuxKernel>[0]> = {}): Promise<void> => {
      kernel = await linuxKernel({ realm, host, runDir, ...more });
      system = new System({ ...streams, kernel, runDir, drift: { everyMs, quietMs: 1_500 } });
      await new Promise<void>((listening) => {
        const watch: Kernel['watch'] = (tell) =>
          kernel.watch((told) => {
            notices.push(...told);
            tell(told);
            listening();
          });
        void system.startWorker({ kernel: { ...kernel, watch } });
      });
      await system.startController();
    };

    before(async () => {
      sh('ip link set lo up');
      writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
      await start(600_000);
      await system.run('CreateNetwork', { name: 'net' });
    });
    afterEach(() => {
      for (const child of children.splice(0)) kill(child);
    });
    after(async () => {
      await system.stop();
      await clearAway(kernel, { realm, host, runDir });
    });

    it('an agent that meddles with every new link loses', async () => {
      const seen = `${runDir}/seen`;
      writeFileSync(seen, '');
      run(agent, { SEEN: seen });
      await new Promise((resolve) => setTimeout(resolve, 300));
      const names = Array.from({ length: 12 }, (_, n) => `s${n}`);
      await Promise.all(
        names.map((sandbox) => system.run('AttachSandbox', { sandbox, networks: [{ network: 'net' }] })),
      );
      const open = async () => {
        const found = await drifts();
        const ids = (type: string) =>
          new Set(found.flatMap((event) => (event.type === type ? [event.data.drift] : [])));
        const repaired = ids('DriftRepaired');
        return {
          detected: ids('DriftDetected').size,
          open: [...ids('DriftDetected')].filter((id) => !repaired.has(id)),
        };
      };
      // As many drifts as links that it had time to undo, each repaired.
      await waitFor(async () => isRight() && (await open()).detected > 0 && (await open()).open.length === 0, {
        what: 'all that is as it should be',
        timeoutMs: 20_000,
      });
      assert.equal(ends().length, 12);
      await new System({ ...system.options, kernel }).check();
    });

    it('one that never leaves off is told of in sum, with who may be behind it, and loses when it ends', async () => {
      const [end] = ends();
      const before = (await drifts()).length;
      const told = async () => (await drifts()).slice(before);
      run('ip monitor link > /dev/null');
      const fighter = run(`while true; do ip link set ${end?.ifname} down; sleep 0.05; done`);
      const contested = async () =>
        (await told()).find((event): event is EventOf<'DriftLeft'> => event.type === 'DriftLeft');
      await waitFor(async () => (await contested()) !== undefined, { what: 'the sum', timeoutMs: 20_000 });
      const { reason, suspects, times } = (await contested())?.data ?? {};
      assert.deepEqual([reason, times], ['contested', 5]);
      assert.ok(
        suspects?.some((who) => /^pid \d+ \(ip\)$/.test(who)),
        suspects?.join(),
      );
      const count = (await told()).length;
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      assert.equal((await told()).length, count, 'and not one by one any more');
      kill(fighter);
      await waitFor(isRight, { what: 'the last repair', timeoutMs: 20_000 });
    });

    it('notifications that are lost lead to a look at everything', async () => {
      await system.stop();
      await kernel.close();
      await start(600_000, { watchBytes: 1 });
      const address = sh(`ip -o -4 addr show dev ${bridge()?.ifname}`).split(/\s+/)[3] ?? '';
      notices.length = 0;
      const batch = Array.from(
        { length: 100 },
        (_, n) => `link add x${n} type bridge\nlink set x${n} up\nlink del x${n}`,
      );
      writeFileSync(`${runDir}/batch`, `${batch.join('\n')}\naddr del ${address} dev ${bridge()?.ifname}\n`);
      sh(`ip -batch ${runDir}/batch`);
      const isThere = () => sh(`ip -o -4 addr show dev ${bridge()?.ifname}`).includes(address);
      await waitFor(() => isThere(), { what: 'the repair', timeoutMs: 20_000 });
      assert.ok(notices.some(({ of }) => of === 'everything'));
    });

    it('a dump that is interrupted shows nothing that is not so', async () => {
      await system.stop();
      await kernel.close();
      await start(100);
      const before = (await drifts()).length;
      const identities = () => ends().map(({ ifname, ifindex }) => `${ifname} ${ifindex}`);
      const were = identities();
      for (let n = 0; n < 3; n++) run(`while true; do ip link add y${n} type bridge; ip link del y${n}; done`);
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      const found = (await drifts()).slice(before).filter(({ type }) => type === 'DriftDetected');
      assert.deepEqual(found, [], 'nothing has drifted');
      assert.deepEqual(identities(), were, 'nothing was made anew');
      sh(`ip link set ${ends()[0]?.ifname} nomaster`);
      await waitFor(isRight, { what: 'what has drifted', timeoutMs: 20_000 });
    });
  });
}
