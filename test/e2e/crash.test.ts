/**
 * Processes end by `kill -9` at their failpoints and, like nats-server, at any moment, while networks and sandboxes of all kinds come and go. Each
 * time all commands succeed, the kernel has what the log says, and afterwards nothing is left. Here is a part of the failpoints, another one each
 * day; `npm run sweep` has them all.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Disk } from '../support/crash/disk.ts';
import { pointText } from '../support/crash/place.ts';
import { partOf, pointsOf } from '../support/crash/points.ts';
import { randomNumbers } from '../support/crash/random.ts';
import { type Passed, Sweep } from '../support/crash/sweep.ts';
import { inOwnNamespaces } from '../support/netns.ts';

/** Points of one run, so that it takes its share of `npm test`. */
const POINTS = 8;
/** Kills at random, likewise, and cuts of the power; `npm run soak power` has more. */
const KILLS = 8;
const CUTS = 2;
const DAY_MS = 86_400_000;
/** The part of today; `CNM_SWEEP_PART` repeats another one. */
const part = Number(process.env.CNM_SWEEP_PART ?? Math.floor(Date.now() / DAY_MS));

if (inOwnNamespaces(import.meta.filename)) {
  describe('crashes', () => {
    let sweep: Sweep;
    let passed: Passed;
    const disk = Disk.openIfAny();
    const mounted = { name: 'kernel.setup.mount:after', time: 1 } as const;

    before(async () => {
      sweep = await Sweep.open({ layout: 'up', timeoutMs: 120_000, first: mounted, disk: disk.opened });
      passed = await sweep.learn();
    });
    after(() => sweep.close());

    it('leave a run directory that runtimes see, though the first process ended when it was just mounted', () => {
      assert.ok(sweep.hasDied(mounted));
      assert.deepEqual(
        sweep.left.filter((line) => line.startsWith('mount /') && !line.endsWith(' shared')),
        [],
      );
    });

    it('can be had in every service, and around every kind of call', () => {
      const names = [...passed.keys()];
      for (const [who, least] of [
        ['kernel.setup.', 40],
        ['kernel.reaper.', 2],
        ['worker.append.', 4],
        ['worker.plugin.', 12],
        ['controller.append.', 6],
        ['controller.reply:', 2],
        ['collector.append.', 2],
      ] as const)
        assert.ok(names.filter((name) => name.startsWith(who)).length >= least, `${who} in ${names.join(' ')}`);
    });

    it('lose nothing and leave nothing, wherever a process ends', async (t) => {
      const all = pointsOf(passed, 1);
      const points = partOf(all, part, Math.ceil(all.length / POINTS));
      t.diagnostic(`CNM_SWEEP_PART=${part}: ${points.map(pointText).join(' ')}`);
      const missed: string[] = [];
      for (const [index, point] of points.entries()) {
        try {
          if (!(await sweep.at(point, points[index + 1] ?? null))) missed.push(pointText(point));
        } catch (error) {
          throw new Error(`after the end at ${pointText(point)}: ${String(error)}\n${sweep.said}`);
        }
      }
      assert.deepEqual(missed, [], 'points that no process came to');
    });

    it('lose nothing either at any moment, of nats-server too', async (t) => {
      const kills = await sweep.underKills(KILLS, randomNumbers(part));
      t.diagnostic(JSON.stringify(Object.fromEntries(kills)));
      assert.ok(
        [...kills.values()].every((count) => count > 0),
        'each was killed',
      );
    });

    it('lose nothing that was acknowledged when the power goes', async (t) => {
      if (disk.opened === null) return t.skip(disk.reason);
      const report = await sweep.underCuts(CUTS, randomNumbers(part));
      t.diagnostic(JSON.stringify(report));
      assert.ok(report.acknowledged > 0 && report.told > 0, JSON.stringify(report));
    });
  });
}
