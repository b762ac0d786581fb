/**
 * Virtual time, and one step after the other. Whatever a service waits for is a task here, so between any two steps anything may
 * happen, and the same seed makes the same steps. A step ends when every promise that can go on has gone on.
 */
import { setImmediate as drained } from 'node:timers/promises';

/** A process: what it has begun ends with it. */
export interface Owner {
  readonly alive: boolean;
  /** Before this moment it is not given the processor. */
  readonly stalledUntilMs: number;
}

interface Task {
  atMs: number;
  readonly order: number;
  readonly what: string;
  readonly owner: Owner | null;
  readonly run: () => void;
  cancelled: boolean;
}

const isBefore = (a: Task, b: Task): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

const traceLength = 60;

export class Scheduler {
  /** Milliseconds since the beginning of the simulation. */
  nowMs = 0;
  steps = 0;
  /** A number that two runs share only if they took the same steps at the same times. */
  digest = 0;
  /** The steps taken last. */
  readonly trace: string[] = [];
  /** A binary heap. */
  readonly #tasks: Task[] = [];
  #order = 0;

  /** Runs something later; the answer cancels it. What a process has begun and is over with it is not run. */
  after(delayMs: number, what: string, run: () => void, owner: Owner | null = null): () => void {
    const atMs = this.nowMs + Math.max(0, delayMs);
    const task: Task = { atMs, order: this.#order++, what, owner, run, cancelled: false };
    this.#add(task);
    return () => {
      task.cancelled = true;
    };
  }

  wait(delayMs: number, what: string, owner: Owner | null = null): Promise<void> {
    return new Promise((resolve) => {
      this.after(delayMs, what, resolve, owner);
    });
  }

  /** Takes steps until a moment, or until it is told to stop. */
  async run(untilMs: number, isDone: () => boolean = () => false): Promise<void> {
    while (!isDone()) {
      const next = this.#tasks[0];
      if (next === undefined || next.atMs > untilMs) {
        this.nowMs = Math.max(this.nowMs, untilMs);
        return;
      }
      await this.#step();
    }
  }

  async #step(): Promise<void> {
    const task = this.#take();
    if (!task || task.cancelled || task.owner?.alive === false) return;
    const { owner } = task;
    if (owner && owner.stalledUntilMs > Math.max(task.atMs, this.nowMs)) {
      task.atMs = owner.stalledUntilMs;
      this.#add(task);
      return;
    }
    this.nowMs = Math.max(this.nowMs, task.atMs);
    this.steps += 1;
    this.#note(task.what);
    task.run();
    await drained();
  }

  #note(what: string): void {
    const line = `${this.nowMs.toFixed(2)} ${what}`;
    this.trace.push(line);
    if (this.trace.length > traceLength) this.trace.shift();
    for (let at = 0; at < line.length; at++) this.digest = (Math.imul(this.digest, 31) + line.charCodeAt(at)) | 0;
  }

  #add(task: Task): void {
    const tasks = this.#tasks;
    let at = tasks.length;
    tasks.push(task);
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = tasks[above] as Task;
      if (!isBefore(task, parent)) break;
      tasks[at] = parent;
      at = above;
    }
    tasks[at] = task;
  }

  #take(): Task | undefined {
    const tasks = this.#tasks;
    const first = tasks[0];
    const last = tasks.pop();
    if (!first || !last || tasks.length === 0) return first;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= tasks.length) break;
      if (below + 1 < tasks.length && isBefore(tasks[below + 1] as Task, tasks[below] as Task)) below += 1;
      if (!isBefore(tasks[below] as Task, last)) break;
      tasks[at] = tasks[below] as Task;
      at = below;
    }
    tasks[at] = last;
    return first;
  }
}
