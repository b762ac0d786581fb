/** Commands that wait for their answers: what comes on the reply subject settles them, and so does the `commands` view. Pure of NATS. */
import type { Accepted, Answer, Outcome } from '../../events/queries.ts';
import type { Clock } from '../lib/clock.ts';
import { ClientBusy, ClientClosed, CommandFailed, CommandRefused } from './errors.ts';

/** What a command gets when it is accepted; what becomes of it comes later. */
export interface Acceptance extends Omit<Accepted, 'kind'> {
  /** Resolves when it has succeeded; rejects with CommandFailed. Nobody has to wait for it. */
  readonly outcome: Promise<Outcome>;
}

export interface Waiting {
  readonly accepted: Promise<Acceptance>;
  /** Stored on the command stream: from now on somebody may know of it. */
  published(): void;
  /** This caller waits no more. */
  release(): void;
}

interface Entry {
  readonly id: string;
  readonly accepted: PromiseWithResolvers<Acceptance>;
  readonly outcome: PromiseWithResolvers<Outcome>;
  isAccepted: boolean;
  /** How many callers wait for it. */
  callers: number;
  /** When the last news came, or the publish was acknowledged; null before that. */
  newsMs: number | null;
  pauseMs: number;
  asking: boolean;
}

/** Commands that wait for answers at once. */
const pendingMax = 100_000;

export interface PendingOptions {
  readonly clock: Clock;
  /** Asks the view; null when it does not know the command yet, or nobody answers. */
  readonly ask: (id: string) => Promise<readonly Answer[] | null>;
  /** `pendingMax` when left out. */
  readonly pendingMax?: number;
}

/** Answers are at most once: after this long without one the view is asked. */
const QUIET_MS = 1_000;
/** While answers to others keep coming, nothing is lost but the queue is long, so the view is spared. */
const BUSY_MS = 5_000;
const PAUSE_MOST_MS = 8_000;
const TICK_MS = 250;
const ASKING_MAX = 8;

export class Pending {
  readonly #options: PendingOptions;
  readonly #entries = new Map<string, Entry>();
  #lastAnswerMs = 0;
  #asking = 0;
  #cancelTick: (() => void) | null = null;
  #closed = false;

  constructor(options: PendingOptions) {
    this.#options = options;
  }

  /** Waits for the answers to a command; two callers with one id share them. @throws ClientClosed; ClientBusy */
  wait(id: string): Waiting {
    if (this.#closed) throw new ClientClosed(`command ${id}`);
    if (this.#entries.size >= (this.#options.pendingMax ?? pendingMax)) throw new ClientBusy(this.#entries.size);
    const entry = this.#entries.get(id) ?? this.#open(id);
    entry.callers++;
    let released = false;
    return {
      accepted: entry.accepted.promise,
      published: () => {
        entry.newsMs ??= this.#options.clock.monotonicMs();
        this.#schedule();
      },
      release: () => {
        if (released) return;
        released = true;
        entry.callers--;
        if (entry.callers === 0 && this.#entries.get(id) === entry) this.#entries.delete(id);
      },
    };
  }

  /** Takes an answer, from wherever it came; one for nobody, and one that says nothing new, is dropped. */
  take(answer: Answer): void {
    const nowMs = this.#options.clock.monotonicMs();
    const entry = this.#entries.get(answer.commandid);
    if (!entry) return;
    this.#lastAnswerMs = nowMs;
    entry.newsMs = nowMs;
    if (answer.kind === 'refused') {
      this.#entries.delete(entry.id);
      entry.accepted.reject(new CommandRefused(answer));
      return;
    }
    if (!entry.isAccepted) {
      // an outcome whose acceptance was lost says all that the acceptance said
      const { command, commandid, correlationid, position, network, endpoints, sandbox } = answer;
      entry.isAccepted = true;
      entry.pauseMs = QUIET_MS;
      const outcome = entry.outcome.promise;
      entry.accepted.resolve({ command, commandid, correlationid, position, network, endpoints, sandbox, outcome });
    }
    if (answer.kind === 'accepted') return;
    this.#entries.delete(entry.id);
    if (answer.status === 'succeeded') entry.outcome.resolve(answer);
    else entry.outcome.reject(new CommandFailed(answer));
  }

  /** Asks for everything now: after a lost connection, answers are lost too. */
  askAll(): void {
    this.#lastAnswerMs = 0;
    for (const entry of this.#entries.values()) if (entry.newsMs !== null) entry.newsMs = -Infinity;
    this.#tick();
  }

  close(): void {
    this.#closed = true;
    this.#cancelTick?.();
    for (const entry of this.#entries.values()) {
      const error = new ClientClosed(`command ${entry.id}`);
      entry.accepted.reject(error);
      entry.outcome.reject(error);
    }
    this.#entries.clear();
  }

  #open(id: string): Entry {
    const entry: Entry = {
      id,
      accepted: Promise.withResolvers<Acceptance>(),
      outcome: Promise.withResolvers<Outcome>(),
      isAccepted: false,
      callers: 0,
      newsMs: null,
      pauseMs: QUIET_MS,
      asking: false,
    };
    // a caller who ignores one of them must not end the process
    entry.accepted.promise.catch(() => undefined);
    entry.outcome.promise.catch(() => undefined);
    this.#entries.set(id, entry);
    return entry;
  }

  #schedule(): void {
    if (this.#cancelTick !== null || this.#closed || this.#entries.size === 0) return;
    this.#cancelTick = this.#options.clock.after(TICK_MS, () => this.#tick());
  }

  #tick(): void {
    this.#cancelTick?.();
    this.#cancelTick = null;
    const nowMs = this.#options.clock.monotonicMs();
    const leastMs = nowMs - this.#lastAnswerMs < QUIET_MS ? BUSY_MS : 0;
    for (const entry of this.#entries.values()) {
      if (this.#asking >= ASKING_MAX) break;
      if (entry.newsMs === null || entry.asking) continue;
      if (nowMs - entry.newsMs >= Math.max(leastMs, entry.pauseMs)) void this.#ask(entry);
    }
    this.#schedule();
  }

  async #ask(entry: Entry): Promise<void> {
    const wasAccepted = entry.isAccepted;
    entry.asking = true;
    this.#asking++;
    try {
      for (const answer of (await this.#options.ask(entry.id)) ?? []) this.take(answer);
    } finally {
      entry.asking = false;
      this.#asking--;
      entry.newsMs = this.#options.clock.monotonicMs();
      if (entry.isAccepted === wasAccepted) entry.pauseMs = Math.min(entry.pauseMs * 2, PAUSE_MOST_MS);
    }
  }
}
