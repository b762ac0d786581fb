/**
 * One worker per host: who may act under a host's name. The log itself is protected by the guard of the outcomes (outbox.ts), whatever
 * happens here; this refuses a second worker before it does anything, and shows everybody that the host's worker is alive.
 */
import { hostname } from 'node:os';
import { encodeToken } from '../../events/names.ts';
import type { Clock } from '../lib/clock.ts';
import { type FileLock, LockHeld, lockFile } from '../lib/lock-file.ts';
import type { Logger } from '../lib/logger.ts';
import type { Stream } from '../lib/stream.ts';
import { type LeaseOptions, lease } from '../nats/lease.ts';

/** A live worker has that name. */
export class HostInUse extends Error {
  override readonly name = 'HostInUse';
  readonly code = 'HOST_IN_USE';
  readonly remedy = 'Stop that worker first, or give this machine a name of its own: CNM_HOST.';
}

export interface TenureOptions {
  /** A lock file of this machine and host, on a file system that a reboot may empty, beside what the worker mounts. */
  readonly lockPath: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly timing?: Pick<LeaseOptions, 'renewMs' | 'takeoverMs'>;
}

export interface Tenure {
  /** Rejects when the lease can be neither read nor renewed any more. */
  readonly closed: Promise<void>;
  /** Gives the name free, so that the next worker is up at once. */
  stop(): Promise<void>;
}

/** Holders are written `LOCK/MACHINE/PID/RANDOM`. */
const lockOf = (holder: string): string => holder.slice(0, holder.indexOf('/'));

const describeHolder = (holder: string): string => {
  const [, machine, pid] = holder.split('/');
  return `process ${pid} on ${decodeURIComponent(machine ?? '')}`;
};

/** Name of a host's lease; collectors watch all of them. */
export const workerLease = (host: string): string => `worker.${encodeToken(host)}`;

/**
 * Takes the name `host` for this process; resolves when it is ours.
 *
 * A lock file settles it between processes of one machine. Its id stands in the lease: a holder of our lock's id is dead, since we have its
 * lock, and is replaced at once. Any other holder is given the time to show that it lives: a renewal, and we are refused; none within the
 * takeover time, and we follow it.
 *
 * @throws HostInUse when a live worker has the name
 */
export const holdHost = async (leases: Stream, host: string, options: TenureOptions): Promise<Tenure> => {
  const lock = await takeLock(host, options);
  try {
    return await takeLease(leases, host, lock, options);
  } catch (error) {
    lock.release();
    throw error;
  }
};

const takeLock = async (host: string, { lockPath, clock }: TenureOptions): Promise<FileLock> => {
  try {
    return await lockFile(lockPath, clock);
  } catch (error) {
    if (!(error instanceof LockHeld)) throw error;
    const owner = error.pid === null ? 'another process' : `process ${error.pid}`;
    throw new HostInUse(`host ${host} has a worker already: ${owner} of this machine`);
  }
};

const takeLease = async (leases: Stream, host: string, lock: FileLock, options: TenureOptions): Promise<Tenure> => {
  const { clock, logger, timing = {} } = options;
  const machine = encodeURIComponent(hostname());
  const holder = `${lock.id}/${machine}/${process.pid}/${clock.randomId(8)}`;
  const taken = Promise.withResolvers<void>();
  let isHeld = false;
  const held = lease(
    leases,
    workerLease(host),
    holder,
    {
      onAcquired: (term) => {
        if (isHeld) logger.info({ host, term }, 'the lease of this host is ours again');
        isHeld = true;
        taken.resolve();
      },
      onLost: (reason) => logger.warn({ host, reason }, 'the lease of this host has lapsed'),
      onOther: (other) => {
        if (!isHeld) taken.reject(new HostInUse(`host ${host} has a live worker: ${describeHolder(other)}`));
        else logger.error({ host, other }, 'another worker has this host');
      },
    },
    { ...timing, clock, isDead: (other) => other !== holder && lockOf(other) === lock.id },
  );
  // whoever never looks at it must not be ended by it
  held.closed.catch(() => undefined);
  const stop = async (): Promise<void> => {
    // Why a lease cannot be kept any more, `closed` has said.
    await held.stop().catch(() => undefined);
    lock.release();
  };
  try {
    await Promise.race([taken.promise, held.closed]);
  } catch (error) {
    await held.stop().catch(() => undefined);
    throw error;
  }
  return { closed: held.closed, stop };
};
