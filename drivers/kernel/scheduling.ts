/** How the kernel's scheduler treats a thread (sched(7), sched_setattr(2)). What a thread starts inherits it. */
import { arch } from 'node:process';
import { prctl, syscall } from './libc.ts';

/** asm/unistd.h: C libraries have had no function of that name before glibc 2.41. */
const SCHED_SETATTR = { x64: 314, arm64: 274 }[arch as string];

export interface Scheduling {
  /** -20 to 19; the lower, the larger its share where processors are short. */
  readonly nice: number;
  /**
   * How long it runs at a time, milliseconds, 0.1 to 100; null: the system's choice, some 3 ms. From Linux 6.12 on: one with a short slice that
   * wakes up does not wait until another's longer one is over (PREEMPT_SHORT, kernel/sched/fair.c). Older kernels know no slices.
   */
  readonly sliceMs: number | null;
}

/**
 * @param thread its id; 0: the caller's
 * @returns whether it could be done: a lower nice value than before takes CAP_SYS_NICE
 */
export const schedule = ({ nice, sliceMs }: Scheduling, thread = 0): boolean => {
  if (SCHED_SETATTR === undefined) return false;
  // struct sched_attr, version 0 (linux/sched/types.h): size, policy SCHED_OTHER, flags, nice, priority, runtime, deadline, period
  const attributes = Buffer.alloc(48);
  attributes.writeUInt32LE(attributes.length, 0);
  attributes.writeInt32LE(nice, 16);
  attributes.writeBigUInt64LE(BigInt(Math.round((sliceMs ?? 0) * 1e6)), 24);
  return syscall(SCHED_SETATTR, thread, attributes, 0) === 0;
};

/** linux/prctl.h */
const PR_SET_TIMERSLACK = 29;

/**
 * How late timers of the calling thread may go off, milliseconds, and those of the threads and programs that it starts from then on; null: as
 * late as when it began, 0.05 as a rule (prctl(2)).
 */
export const lateness = (ms: number | null): void => {
  // 0 is the default
  prctl(PR_SET_TIMERSLACK, Math.round((ms ?? 0) * 1e6));
};
