/** The kernel of this machine under a run directory of its own, from empty to empty: for tests in namespaces of their own. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import { tableName } from '../../drivers/kernel/ruleset.ts';
import type { KernelObject } from '../../drivers/objects.ts';
import { diff } from '../../drivers/plan.ts';
import type { Kernel, KernelFault, Plan } from '../../drivers/port.ts';
import { byKey, owner } from './kernel-objects.ts';
import { sh } from './netns.ts';

/** Removes all of ours, waits until it is gone, and closes the kernel. */
export const clearKernel = async (kernel: Kernel): Promise<void> => {
  const { objects } = await kernel.census();
  assert.deepEqual(await kernel.apply([{ id: 'clean', operations: diff([], objects) }]), [{ ok: true }]);
  await kernel.settled();
  await kernel.close();
};

export interface Traces {
  readonly realm: string;
  readonly host: string;
  readonly runDir: string;
}

/** The same, with what stays of a worker for the next one: its table and its run directory. */
export const clearAway = async (kernel: Kernel, { realm, host, runDir }: Traces): Promise<void> => {
  await clearKernel(kernel);
  sh(`nft delete table inet ${tableName(realm, host)} 2>/dev/null || true; umount ${runDir}`);
  rmSync(runDir, { recursive: true });
};

export class LinuxLab {
  readonly runDir = mkdtempSync('/run/cnm-test-');
  kernel!: Kernel;

  static async open(options: Partial<Parameters<typeof linuxKernel>[0]> = {}): Promise<LinuxLab> {
    const lab = new LinuxLab();
    await lab.start(options);
    return lab;
  }

  /** As a process does that finds what another has left. */
  async start(options: Partial<Parameters<typeof linuxKernel>[0]> = {}): Promise<void> {
    this.kernel = await linuxKernel({ ...owner, runDir: this.runDir, ...options });
  }

  path(name: string): string {
    return `${this.runDir}/${name}`;
  }

  async apply(...plans: readonly Plan[]): Promise<void> {
    assert.deepEqual(
      await this.kernel.apply(plans),
      plans.map(() => ({ ok: true })),
    );
  }

  /** Of a plan that fails, and is undone without a fault. */
  async faultOf(plan: Plan): Promise<KernelFault> {
    const [result] = await this.kernel.apply([plan]);
    assert.ok(result && !result.ok);
    assert.deepEqual(result.fault.undoFaults, []);
    return result.fault;
  }

  /** That the kernel has these objects of ours and no others. */
  async holds(...objects: readonly KernelObject[]): Promise<void> {
    const census = await this.kernel.census();
    assert.deepEqual([census.unknown, byKey(census.objects)], [[], byKey(objects)]);
  }

  /** What is wanted becomes so again; answers what had to be done. */
  async repair(wanted: readonly KernelObject[]): Promise<readonly string[]> {
    const operations = diff(wanted, (await this.kernel.census()).objects);
    await this.apply({ id: 'repair', operations });
    await this.holds(...wanted);
    return operations.map(({ op, object }) => `${op} ${object.kind}`);
  }

  /** Removes all of ours, and waits until it is gone. */
  async close(): Promise<void> {
    await clearKernel(this.kernel);
    sh(`nft delete table inet ${tableName(owner.realm, owner.host)}; umount ${this.runDir}; rmdir ${this.runDir}`);
  }
}
