/** Makes the kernel hold what is reported as done and no more: at the start, and again whenever something could not be read, removed or repaired. */
import type { Census, Operation, Plan, PlanResult } from '../../drivers/port.ts';
import { remains, repairPlans, repairs } from './census.ts';
import type { ExecutionOptions } from './execution-options.ts';
import type { Scene } from './inmates.ts';
import { madeTunnels, mend } from './mending.ts';
import type { Naming } from './naming.ts';
import { isUnknown } from './present.ts';
import { Rebooted } from './rebooted.ts';
import { alreadyDone } from './regressed.ts';
import { doneReports } from './reports.ts';
import { Restoring } from './restoring.ts';
import { netnsOf } from './sandbox.ts';

/** What it shares with the execution of what was asked for. */
export interface Shared {
  readonly scene: Scene;
  readonly naming: Naming;
  /** Runs something after a while, unless the worker ends before. */
  readonly later: (delayMs: number, run: () => void) => void;
}

/** A look at everything takes a second for some thousand sandboxes. */
const everythingMsMax = 10_000;

export class Reconciliation {
  readonly #options: ExecutionOptions;
  readonly #shared: Shared;
  readonly #restoring: Restoring;
  readonly #rebooted: Rebooted;
  #isDue = false;
  #waits = false;
  #tries = 0;
  /** Incarnations of sandboxes that are reported as removed, belatedly, until the log knows it. */
  readonly #buried = new Set<string>();

  constructor(options: ExecutionOptions, shared: Shared) {
    this.#options = options;
    this.#shared = shared;
    this.#rebooted = new Rebooted(shared.scene, options.report);
    this.#restoring = new Restoring({
      lend: (endpointId) => options.consulting.lend(endpointId),
      joinOf: (endpointId) => {
        const row = options.consulting.isClosed ? undefined : options.state.endpoints.get(endpointId);
        return row?.sandbox ? (row.plug?.joinId ?? null) : null;
      },
      later: shared.later,
      repair: () => this.soon(),
      onFault: options.onFault,
    });
  }

  /** Before anything is executed: names as the log has them, and the kernel as it says. */
  async begin(): Promise<void> {
    this.#shared.naming.reset();
    this.#rebooted.tellLost();
    await this.run();
  }

  /** Instead of `begin` where nothing may be changed: names are answered, and what was asked for and is there is reported as done. */
  async adopt(): Promise<void> {
    const { kernel, logger, state, deployment, present, announced, report } = this.#options;
    const { scene, naming } = this.#shared;
    naming.reset();
    present.replace(await kernel.census());
    for (const { unit, course } of alreadyDone(scene)) report(doneReports(state, deployment, unit, course, announced));
    for (const { what, fault } of await naming.openAll())
      logger.error({ sandbox: what, fault }, 'names are not answered');
  }

  /** It is time for another look at everything. */
  get isDue(): boolean {
    return this.#isDue;
  }

  /** Looks at everything again in a while: something could not be read, removed or repaired. */
  soon(): void {
    if (this.#waits) return;
    this.#waits = true;
    this.#shared.later(Math.min(1000 * 2 ** this.#tries++, everythingMsMax), () => {
      this.#waits = false;
      this.#isDue = true;
    });
  }

  /** A look at everything, and repairs; but of what others have changed and is only to be told of. */
  run(): Promise<void> {
    return this.#options.drift.exclusively(() => this.#run());
  }

  async #run(): Promise<void> {
    const { kernel, logger, present, drift } = this.#options;
    const { scene, naming } = this.#shared;
    this.#isDue = false;
    const census = await kernel.census();
    for (const unknown of census.unknown) logger.warn(unknown, 'could not be read, left alone');
    const believed = present.copy();
    present.replace(census);
    const sifted = drift.sift(repairs(scene, census), census, believed);
    const plans = repairPlans(this.#restoring.possible(sifted.operations));
    const results = plans.length === 0 ? [] : await this.#repair(plans);
    sifted.done(plans, results);
    let failed = results.filter(({ ok }) => !ok).length;
    for (const { what, fault } of await naming.openAll()) {
      logger.error({ sandbox: what, fault }, 'names are not answered, trying again later');
      failed += 1;
    }
    this.#reportRemains(census);
    if (this.#rebooted.tellRestored()) this.soon();
    if (failed > 0 || census.unknown.length > 0) this.soon();
    else if (plans.length > 0) this.#tries = 0;
  }

  async #repair(plans: readonly Plan[]): Promise<readonly PlanResult[]> {
    const { kernel, logger, present, peers } = this.#options;
    logger.info({ plans: plans.map(({ id }) => id) }, 'the kernel differs from the log, repairing');
    await this.release(plans.flatMap(({ operations }) => operations));
    const results = await kernel.apply(plans);
    const applied: Plan[] = [];
    for (const [index, plan] of plans.entries()) {
      const result = results[index];
      if (result?.ok) {
        applied.push(plan);
        present.apply(plan.operations);
      } else if (result && this.#rebooted.couldNot(plan, result.fault)) {
        logger.warn({ plan: plan.id, fault: result.fault }, 'lost with the boot of this host');
      } else logger.error({ plan: plan.id, fault: result?.fault }, 'could not be repaired, trying again later');
    }
    // What the kernel's thread knew of a tunnel's peers went with the tunnel.
    await peers.set(madeTunnels(applied));
    return results;
  }

  /** Lets go of namespaces that operations make anew, before `mend`. */
  release(operations: readonly Operation[]): Promise<void> {
    return this.#shared.naming.release(operations);
  }

  /** Repairs what others have changed. */
  mend(plans: readonly Plan[]): Promise<readonly PlanResult[]> {
    const { kernel, logger, present, peers } = this.#options;
    const { naming } = this.#shared;
    const [restoring, later] = [this.#restoring, () => this.soon()];
    return mend({ kernel, logger, peers, present, restoring, naming, later }, plans);
  }

  /** A plugin is there, perhaps again. */
  pluginActivated(): void {
    this.#restoring.activated();
  }

  /** Sandboxes whose removal had failed, and which are gone now. */
  #reportRemains({ unknown }: Census): void {
    const { state, deployment, present, report } = this.#options;
    const left = remains(state);
    for (const sandbox of left) {
      const { incarnation } = sandbox;
      const netns = netnsOf(deployment, sandbox);
      if (this.#buried.has(incarnation) || (netns !== null && isUnknown(unknown, netns))) continue;
      if (present.of('sandbox', incarnation).length > 0) continue;
      this.#buried.add(incarnation);
      report([{ fact: { type: 'SandboxRemoved', data: { sandbox } }, intent: null }]);
    }
    for (const incarnation of this.#buried)
      if (!left.some((sandbox) => sandbox.incarnation === incarnation)) this.#buried.delete(incarnation);
  }
}
