import { objectKey } from '../../drivers/objects.ts';
import type { KernelFault, Plan } from '../../drivers/port.ts';
import { type Fault, isConstructive, type SandboxFacts } from '../../events/events.ts';
import { aboutEvent } from '../lib/log-fields.ts';
import { Timers } from '../lib/timers.ts';
import { noTracing } from '../lib/trace.ts';
import { blamed } from './blame.ts';
import { clashIn } from './clash.ts';
import { type Course, courseOf, isInTheWay, needsOf, operationsOf, takeBack } from './course.ts';
import type { ExecutionOptions } from './execution-options.ts';
import type { Scene } from './inmates.ts';
import { hasChosenPorts } from './leasing.ts';
import { madeTunnels } from './mending.ts';
import { Naming } from './naming.ts';
import { vacated } from './presence.ts';
import type { Present } from './present.ts';
import { lostIn } from './rebooted.ts';
import { Reconciliation } from './reconciliation.ts';
import { cancelFault, deadlineFault, dependencyFault, doneReports, failedReports, kernelFault } from './reports.ts';
import { netnsOf } from './sandbox.ts';
import { executingSpan } from './tracing.ts';
import type { Unit } from './units.ts';

/** A unit on its way. */
export interface Task {
  readonly unit: Unit;
  /** Why it is taken back; null while it is being executed. */
  readonly fault: Fault | null;
  /** How often it was tried in vain. */
  readonly tries: number;
}

export interface Prepared {
  readonly task: Task;
  readonly course: Course;
  readonly plan: Required<Plan>;
}

/** A removal is tried again once, after a look at what is there; taking back and repairing are tried until they are done. */
const removalTriesMax = 2;
const retryMsMax = 5_000;

const makes = ({ intents }: Unit): boolean => intents.some(({ type }) => isConstructive(type));

const cutFault = ({ isCancelled }: Pick<Unit, 'isCancelled'>): Fault => (isCancelled ? cancelFault : deadlineFault);

/** @param fault why it cannot be executed, where that is known */
export const taskOf = (unit: Unit, fault: Fault | null): Task => ({
  unit,
  fault: unit.expired ? cutFault(unit) : fault,
  tries: 0,
});

/** Carries out units, and takes back what cannot be or comes too late. */
export class Execution {
  readonly #options: ExecutionOptions;
  readonly #scene: Scene;
  readonly #present: Present;
  readonly #naming: Naming;
  readonly reconciliation: Reconciliation;
  readonly #timers: Timers;
  #due: Task[] = [];
  /** Intents that were taken back, until the log knows it: they want nothing any more. */
  readonly #withdrawn = new Set<string>();
  /** Something that nobody is in any more could not be removed. */
  #isLeft = false;

  constructor(options: ExecutionOptions) {
    this.#options = options;
    this.#timers = new Timers(options.clock);
    this.#present = options.present;
    this.#scene = { state: options.state, deployment: options.deployment, present: this.#present };
    this.#naming = new Naming(options.dns, this.#scene);
    const later = (delayMs: number, run: () => void): void => this.#later(delayMs, run);
    this.reconciliation = new Reconciliation(options, { scene: this.#scene, naming: this.#naming, later });
  }

  get scene(): Scene {
    return this.#scene;
  }

  /** Tasks that were put off and are due. They are in nobody's way: their intents are busy until they are reported. */
  takeDue(): readonly Task[] {
    const due = this.#due;
    this.#due = [];
    return due;
  }

  /** Nothing is tried again. */
  close(): void {
    this.#timers.close();
  }

  #later(delayMs: number, run: () => void): void {
    this.#timers.after(delayMs, () => {
      run();
      this.#options.wake();
    });
  }

  /** Plans of tasks that do not touch each other, nor any that is being executed. Null: look at everything first (`reconciliation`). */
  prepare(tasks: readonly Task[]): readonly Prepared[] | null {
    const prepared = this.plan(tasks);
    return prepared.some(({ plan }) => isInTheWay(plan.operations, this.#present)) ? null : prepared;
  }

  /** The same without the look: what is in the way still is for the kernel to say. */
  plan(tasks: readonly Task[]): readonly Prepared[] {
    return tasks.map((task) => this.#prepare(task));
  }

  /**
   * A look at everything while nothing is being executed. What could not be vacated goes behind it: as long as the log does not know that
   * the last one has left, the look takes that for what somebody is still to leave.
   */
  async reconcile(): Promise<void> {
    await this.reconciliation.run();
    if (!this.#isLeft) return;
    this.#isLeft = false;
    await this.#vacate();
  }

  /** Executes what was prepared, in the order of the calls. */
  run(prepared: readonly Prepared[]): Promise<void> {
    const { tracing = noTracing } = this.#options;
    return tracing.span(executingSpan(prepared.map(({ task }) => task.unit)), () => this.#run(prepared));
  }

  async #run(prepared: readonly Prepared[]): Promise<void> {
    const planned = prepared.filter(({ plan }) => plan.operations.length > 0 || plan.needs.length > 0);
    const faults = planned.length === 0 ? new Map<Prepared, KernelFault>() : await this.#apply(planned);
    const done = prepared.filter((item) => !faults.has(item));
    for (const { task } of done) if (task.fault) for (const { meta } of task.unit.intents) this.#withdrawn.add(meta.id);
    await this.#vacate();
    await this.#options.peers.set(madeTunnels(done.map(({ plan }) => plan)));
    for (const item of prepared) this.#settle(item, faults.get(item));
  }

  /** @returns what failed, and why */
  async #apply(planned: readonly Prepared[]): Promise<ReadonlyMap<Prepared, KernelFault>> {
    await this.#naming.release(planned.flatMap(({ plan }) => plan.operations));
    const applying = this.#options.kernel.apply(planned.map(({ plan }) => plan));
    // Asked for at once: the kernel takes requests in order, so these find what the plans have made.
    const [results, closed] = await Promise.all([applying, this.#naming.open(planned)]);
    const faults = new Map<Prepared, KernelFault>(closed);
    for (const [index, item] of planned.entries()) {
      const result = results[index];
      if (result?.ok) this.#present.apply(item.plan.operations);
      else if (result) faults.set(item, result.fault);
    }
    // What is there after a failure is seen by reading again, never by assuming. Creations that left nothing behind need no look.
    const isDoubtful = ([{ task }, fault]: [Prepared, KernelFault]) =>
      fault.undoFaults.length > 0 || task.fault !== null || !makes(task.unit);
    if ([...faults].some(isDoubtful)) this.#present.replace(await this.#options.kernel.census());
    return faults;
  }

  /** As good as gone as soon as it is asked for: whatever is planned from here on is executed behind it. */
  async #vacate(): Promise<void> {
    const { kernel, logger, peers, state } = this.#options;
    for (const id of this.#withdrawn) if (!state.intents.has(id)) this.#withdrawn.delete(id);
    const gone = vacated(this.#scene, this.#withdrawn);
    if (gone.length === 0) return;
    const applying = kernel.apply(gone.map(({ plan }) => plan));
    for (const { networkId, plan } of gone) {
      this.#present.apply(plan.operations);
      peers.forget(networkId);
    }
    for (const result of await applying) {
      if (result.ok) continue;
      logger.warn(
        { fault: result.fault },
        'a network that nobody here is in any more could not be removed, trying again later',
      );
      this.#isLeft = true;
      this.reconciliation.soon();
    }
  }

  #prepare(asked: Task): Prepared {
    const { unit } = asked;
    const { state } = this.#options;
    const task = { ...asked, fault: asked.fault ?? lostIn(state, unit) ?? clashIn(state, unit) };
    const forward = task.fault === null ? courseOf(this.#scene, unit) : null;
    const missing = forward?.missing ?? null;
    const isBack = forward === null || missing !== null;
    const course = isBack ? takeBack(this.#scene, unit) : forward;
    return {
      task: missing === null ? task : { ...task, fault: dependencyFault(missing) },
      course,
      plan: { id: unit.id, operations: operationsOf(course, this.#present), needs: isBack ? [] : needsOf(course) },
    };
  }

  #settle({ task, course, plan }: Prepared, fault: KernelFault | undefined): void {
    const { unit } = task;
    if (fault) this.#afterFault(task, blamed(this.#options.state, plan.operations, kernelFault(fault)));
    else {
      const following = this.#options.consulting.follow(unit, course, task.fault ? 'undone' : 'done');
      if (following === null) this.#end(task, course);
      // Apart from the loop: its intents are busy until they are reported, and nobody else's are.
      else following.then((late) => this.#followed(task, course, late)).catch(this.#options.onFault);
    }
  }

  /** @param late why it is taken back although the kernel has done it */
  #followed(task: Task, course: Course, late: Fault | null): void {
    if (this.#options.consulting.isClosed) return;
    if (late && !task.fault) this.#due.push({ unit: task.unit, fault: late, tries: 0 });
    else this.#end(task, course);
    this.#options.wake();
  }

  #end({ unit, fault }: Task, course: Course): void {
    const { state, deployment, announced, report } = this.#options;
    if (fault) {
      this.#naming.undone(unit, course);
      report(failedReports(unit, fault, course, announced));
    } else if (unit.intents.some(({ meta }) => state.expired.has(meta.id))) {
      // The deadline passed, or it was cancelled, while the kernel was at work.
      const isCancelled = unit.intents.some(({ meta }) => state.expired.get(meta.id) === 'cancelled');
      this.#due.push({ unit, fault: cutFault({ isCancelled }), tries: 0 });
    } else {
      this.#naming.done(unit, course);
      report(doneReports(state, deployment, unit, course, announced));
    }
  }

  /** Makes the namespace of a sandbox that is about to be joined, where there is none yet. */
  async open(sandbox: SandboxFacts): Promise<Fault | null> {
    const { kernel, deployment } = this.#options;
    const netns = netnsOf(deployment, sandbox);
    const found = netns === null ? undefined : this.#present.get(objectKey(netns));
    if (netns === null || found?.tag.id === netns.tag.id) return null;
    const operations = [{ op: 'create', object: netns }] as const;
    await this.#naming.release(operations);
    const [result] = await kernel.apply([{ id: `open/${sandbox.incarnation}`, operations }]);
    if (result?.ok === false) return kernelFault(result.fault);
    this.#present.apply(operations);
    return null;
  }

  #afterFault(task: Task, fault: Fault): void {
    const { unit, tries } = task;
    if (task.fault) {
      const delayMs = Math.min(100 * 2 ** tries, retryMsMax);
      const [intent] = unit.intents;
      const about = intent ? aboutEvent(intent) : {};
      this.#options.logger.error({ ...about, unit: unit.id, fault, delayMs }, 'could not be taken back, trying again');
      this.#later(delayMs, () => {
        this.#due.push({ ...task, tries: tries + 1 });
      });
    } else if (makes(unit)) {
      // What it stands on may have been taken away.
      if (fault.code === 'KERNEL_ERROR' || fault.code === 'INTERFERED') this.reconciliation.soon();
      // Another port may be free.
      const retryable = fault.retryable || (fault.code === 'PORT_IN_USE' && hasChosenPorts(unit));
      this.#due.push({ unit, fault: { ...fault, retryable }, tries: 0 });
    } else if (tries + 1 < removalTriesMax) this.#due.push({ ...task, tries: tries + 1 });
    else this.#options.report(failedReports(unit, fault, null, this.#options.announced));
  }
}
