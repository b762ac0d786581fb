/** Threads of a process, as the kernel has them. */
import { readdirSync, readFileSync } from 'node:fs';

export interface Thread {
  readonly id: number;
  /** At most 15 characters. */
  readonly name: string;
}

export const threadsOf = (pid: number): readonly Thread[] =>
  readdirSync(`/proc/${pid}/task`).map((id) => ({
    id: Number(id),
    name: readFileSync(`/proc/${pid}/task/${id}/comm`, 'utf8').trim(),
  }));
