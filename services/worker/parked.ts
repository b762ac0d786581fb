/**
 * A worker whose own boundary stands still: it stops, and another one takes its place once it is decided about what is in the way. One whose
 * host was declared lost is followed by another at once.
 */
import type { Logger } from 'pino';
import { subjects } from '../../events/names.ts';
import { settlesParked } from '../../projections/discards.ts';
import type { DnsCounts } from '../dns/dns.ts';
import { parkedEvent } from '../lib/boundary-parking.ts';
import { placedEvents } from '../lib/commit.ts';
import type { Look } from '../lib/health.ts';
import type { Boundary, Realm, RealmListener } from '../lib/realm.ts';
import type { Stream } from '../lib/stream.ts';
import { tellParked } from '../lib/tell-parked.ts';
import type { Use } from './capacity.ts';
import { HostDeclaredLost } from './lost.ts';
import type { Worker } from './worker.ts';

/** What the log wants of this host is not known any more. */
export class BoundaryParked extends Error {
  override name = 'BoundaryParked';
  readonly code = 'BOUNDARY_PARKED';
  /** `SEQ.INDEX` of the event that is in the way. */
  readonly event: string;
  /** How far the log was read when it was. */
  readonly position: number;

  constructor(host: string, event: string, reason: string, position: number) {
    super(
      `event ${event} stops host ${host}: ${reason}: nothing is done here until it is retried or discarded (cnm parked ls)`,
    );
    this.event = event;
    this.position = position;
  }
}

/** Null when the boundary goes on. */
export const whyParked = ({ host, parked }: Boundary, { position }: Realm): BoundaryParked | null =>
  parked && new BoundaryParked(host ?? '', parkedEvent(parked), parked.reason, position);

/**
 * What is parked on other boundaries is theirs: what their hosts do from there on is not heard here. On the host's own it ends the worker.
 * @param live the realm, once the log is caught up with: what was parked before may have been settled since
 */
export const listenToParked = (
  host: string,
  logger: Logger,
  live: () => Realm | null,
  fail: (error: BoundaryParked) => void,
): Required<Pick<RealmListener, 'parked' | 'released'>> => {
  const tell = tellParked(logger);
  return {
    parked: (boundary) => {
      if (boundary.host !== host) {
        tell.parked(boundary);
        return;
      }
      const realm = live();
      const why = realm && whyParked(boundary, realm);
      if (why) fail(why);
    },
    released: (boundary) => {
      if (boundary.host !== host) tell.released(boundary);
    },
  };
};

/** Resolves when something is decided about a parked event behind a position, or when nobody waits for it any more. */
export const settled = async (log: Stream, { event, position }: BoundaryParked, ending: AbortSignal): Promise<void> => {
  const { promise, resolve } = Promise.withResolvers<void>();
  ending.addEventListener('abort', () => resolve(), { once: true });
  const reader = log.read({ from: position + 1, subjects: [subjects.realm] }, (message) => {
    if (placedEvents(message).some(([, one]) => settlesParked(one) === event)) resolve();
  });
  try {
    await Promise.race([promise, reader.closed]);
  } finally {
    await reader.stop();
  }
};

export interface KeptWorker {
  /** Rejects when no worker can go on; a boundary that is parked is no such reason, nor a host that was declared lost. */
  readonly failed: Promise<never>;
  lookAround(): void;
  look(): Look;
  /** Null while its boundary is parked. */
  readonly dnsCounts: DnsCounts | null;
  readonly capacityUses: readonly Use[];
  stop(): Promise<void>;
}

export interface KeepDeps {
  readonly create: () => Worker;
  readonly log: Stream;
  readonly logger: Logger;
}

/** Whether another worker can go on where this one could not. */
const isFollowed = (error: unknown): error is BoundaryParked | HostDeclaredLost =>
  error instanceof BoundaryParked || error instanceof HostDeclaredLost;

class Keeper implements KeptWorker {
  readonly #deps: KeepDeps;
  readonly #failure = Promise.withResolvers<never>();
  /** Null while the boundary is parked. */
  #worker: Worker | null = null;
  /** What stops the host; kept when it goes on. */
  #parked: BoundaryParked | null = null;
  readonly #ending = new AbortController();
  #waiting: Promise<void> = Promise.resolve();

  constructor(deps: KeepDeps) {
    this.#deps = deps;
    this.failed.catch(() => undefined);
  }

  get failed(): Promise<never> {
    return this.#failure.promise;
  }

  lookAround(): void {
    this.#worker?.lookAround();
  }

  look(): Look {
    if (this.#worker) return this.#worker.look();
    const problems = this.#parked ? [{ code: 'BOUNDARY_PARKED', says: this.#parked.message } as const] : [];
    return { position: this.#parked?.position ?? 0, stages: [], problems, parked: this.#parked ? 1 : 0 };
  }

  get dnsCounts(): DnsCounts | null {
    return this.#worker?.dnsCounts ?? null;
  }

  get capacityUses(): readonly Use[] {
    return this.#worker?.capacityUses ?? [];
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    if (this.#worker === null) await this.#waiting;
    await this.#worker?.stop();
  }

  /** Resolves when a worker takes intents, or when none can for what is parked. */
  async start(): Promise<void> {
    const worker = this.#deps.create();
    this.#worker = worker;
    worker.failed.catch((error) => this.#ended(worker, error));
    try {
      await Promise.race([worker.start(), worker.failed]);
    } catch (error) {
      if (!isFollowed(error)) throw error;
      this.#ended(worker, error);
    }
  }

  #ended(worker: Worker, error: unknown): void {
    const { signal } = this.#ending;
    if (this.#worker !== worker || signal.aborted) return;
    if (!isFollowed(error)) {
      this.#failure.reject(error);
      return;
    }
    this.#worker = null;
    this.#parked = error instanceof BoundaryParked ? error : null;
    this.#deps.logger.error(this.#parked ? { event: this.#parked.event } : {}, error.message);
    const next = async (): Promise<void> => {
      await worker.stop();
      if (!signal.aborted && error instanceof BoundaryParked) await settled(this.#deps.log, error, signal);
      if (!signal.aborted) await this.start();
    };
    this.#waiting = next().catch((reason) => this.#failure.reject(reason));
  }
}

/** A worker, and another one whenever its boundary goes on after it was parked, or its host was declared lost. Resolves as `start` of it does. */
export const keepWorker = async (deps: KeepDeps): Promise<KeptWorker> => {
  const keeper = new Keeper(deps);
  try {
    await keeper.start();
  } catch (error) {
    await keeper.stop().catch(() => undefined);
    throw error;
  }
  return keeper;
};
