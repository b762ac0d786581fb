/** Takes units whose turn has come, has them executed in batches, and looks at everything when that is due. */
import type { Event } from '../../events/envelope.ts';
import type { Fault } from '../../events/events.ts';
import type { BoundaryState } from '../../events/state.ts';
import { Backlog } from './backlog.ts';
import type { Consulting } from './consulting.ts';
import { type Execution, type Prepared, type Task, taskOf } from './execution.ts';
import type { Leasing } from './leasing.ts';
import type { Unit } from './units.ts';

export interface TakingOptions {
  readonly state: BoundaryState;
  readonly execution: Execution;
  readonly consulting: Consulting;
  readonly leasing: Leasing;
  readonly onFault: (error: unknown) => void;
}

/** One that the kernel works on and one that waits for it. */
const batchesMax = 2;

export class Taking {
  readonly #options: TakingOptions;
  readonly #backlog: Backlog;
  readonly #running = new Set<Promise<void>>();
  #wake: () => void = () => undefined;
  #isStopped = false;

  /** Follows the log from here on. */
  constructor(options: TakingOptions) {
    this.#options = options;
    this.#backlog = new Backlog(options.state);
  }

  /** Every event of this host, before it is folded in. */
  note(event: Event): void {
    this.#backlog.note(event);
  }

  /** The unit of an intent need not wait any more for what was asked for it. */
  ready(intent: string): void {
    this.#backlog.touch(intent);
    this.#wake();
  }

  /** Something may be due. */
  wake(): void {
    this.#wake();
  }

  /** What an open intent waits for, in words. */
  stageOf(intent: string): string {
    return this.#backlog.stageOf(intent);
  }

  /** Takes nothing more. */
  stop(): void {
    this.#isStopped = true;
    this.#wake();
  }

  /**
   * Until it is stopped, and what was begun has ended. Batches do not touch each other, so the kernel is given the next one while it is at
   * work on one: it never waits for plans.
   */
  async run(): Promise<void> {
    const { execution } = this.#options;
    while (!this.#isStopped) {
      if (execution.reconciliation.isDue) {
        await this.#reconcile();
        // It may be due once more by then.
        continue;
      }
      const tasks = this.#running.size < batchesMax ? this.#take() : [];
      if (tasks.length > 0) {
        let prepared = execution.prepare(tasks);
        if (!prepared) {
          await this.#reconcile();
          prepared = execution.plan(tasks);
        }
        this.#start(prepared);
      } else {
        // Nothing was awaited since the look at the state, so no call was missed.
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
    await Promise.all(this.#running);
  }

  async #reconcile(): Promise<void> {
    await Promise.all(this.#running);
    await this.#options.execution.reconcile();
  }

  #start(prepared: readonly Prepared[]): void {
    const { execution, onFault } = this.#options;
    const run = execution
      .run(prepared)
      .catch(onFault)
      .finally(() => {
        this.#running.delete(run);
        this.#wake();
      });
    this.#running.add(run);
  }

  #take(): readonly Task[] {
    const { state, execution, consulting, leasing } = this.#options;
    const faultOf = (unit: Unit): Fault | null => leasing.faultOf(unit) ?? consulting.faultOf(unit);
    // Plugins are told of ports, so these come first.
    const isReady = (unit: Unit): boolean =>
      leasing.isReady(state, unit) && (leasing.faultOf(unit) !== null || consulting.isReady(unit));
    const batch = this.#backlog.take(isReady);
    return [...execution.takeDue(), ...batch.map((unit) => taskOf(unit, faultOf(unit)))];
  }
}
