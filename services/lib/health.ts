/**
 * Whether a service is ready, and why not. Waiting work is no reason by itself: a service that is behind and goes on is busy. One whose
 * work waits and that has done none of it for a while is stuck, and that is a reason.
 */
import type { Clock } from './clock.ts';

export interface Reason {
  /** Stable, for alerts. */
  readonly code: ReasonCode;
  readonly says: string;
  readonly since: string;
}

/** Why a service is not ready. */
export const reasonCodes = {
  STARTING: 'it reads what the log holds, or waits for something that it needs to start',
  STOPPING: 'it was told to stop and finishes what is under way',
  DISCONNECTED: 'the NATS server cannot be reached',
  LOG_UNREADABLE: 'the log cannot be read on: the version is too old for it, or the stream is gone',
  LOG_STUCK: 'there is more on the log, and nothing of it was folded in for 10 s',
  COMMANDS_STUCK: 'commands wait to be decided, and none was for 10 s',
  INTENTS_STUCK:
    'intents are open, and none ended for 45 s, which is beyond the deadline that commands have by themselves',
  REPORTS_STUCK: 'outcomes wait to be stored, and none was for 10 s',
  DUE_STUCK: 'something is due and was not asked for within 30 s: garbage, deadlines and leases wait',
  BOUNDARY_PARKED: 'an event of this host cannot be folded: see cnm parked ls',
  HOST_STOPPED: 'the log is an older copy of what was read here, so nothing is changed: see cnm host inspect',
  UNANSWERED: 'its thread does not answer',
} as const;
export type ReasonCode = keyof typeof reasonCodes;

/** A kind of work that may wait. */
export interface Stage {
  readonly name: string;
  /** How much waits at this moment. */
  readonly waiting: number;
  /** Changes whenever some of it was done. */
  readonly progress: number;
  /** The reason when nothing is done of it for so long. */
  readonly stuck?: { readonly code: ReasonCode; readonly afterMs: number };
}

/** What a service says of itself; asked often, so it costs little. */
export interface Look {
  /** Of the log, folded in. */
  readonly position: number;
  readonly stages: readonly Stage[];
  readonly problems?: readonly { readonly code: ReasonCode; readonly says: string }[];
  /** What waits for what, the longest waiting first, for people. */
  readonly waits?: readonly string[];
  /** What it does at this moment, such as standing by; left out where there is only one thing. */
  readonly role?: string;
  readonly parked?: number;
}

export interface Notice {
  readonly at: string;
  readonly level: string;
  readonly says: string;
}

export interface Health {
  readonly service: string;
  readonly ready: boolean;
  readonly reasons: readonly Reason[];
  readonly role: string | null;
  readonly position: number;
  /** Positions that concern it and are not folded in; null when nobody says. */
  readonly lag: number | null;
  readonly waiting: Readonly<Record<string, number>>;
  /** Of stages that can be stuck. */
  readonly progress: Readonly<Record<string, number>>;
  readonly waits: readonly string[];
  readonly parked: number;
  readonly startedAt: string;
  /** The last warning or error in its log. */
  readonly notice: Notice | null;
}

export interface HealthOptions {
  readonly service: string;
  readonly clock: Clock;
  readonly look: () => Look;
  /** The last position that concerns the service; may fail. */
  readonly head: () => Promise<number>;
  readonly notice?: () => Notice | null;
}

/** How often is looked whether there is progress: so an answer does not depend on who has asked before. */
export const LOOK_MS = 5_000;
export const STUCK_MS = 10_000;
/** A command that nobody acknowledges is sent again each second. */
export const DUE_STUCK_MS = 30_000;
/** Longer than the deadline of a command that names none (docs/adr/0009), so that a hung plugin alone does not take a host out. */
export const INTENTS_STUCK_MS = 45_000;

interface Seen {
  readonly progress: number;
  readonly sinceMs: number;
}

export class HealthWatch {
  readonly #options: HealthOptions;
  readonly #startedAt: string;
  readonly #seen = new Map<string, Seen>();
  readonly #problems = new Map<string, number>();
  #head: number | null = null;
  #away: number | null = null;
  #stopping: number | null = null;
  #cancel: () => void = () => {};
  #closed = false;

  constructor(options: HealthOptions) {
    this.#options = options;
    this.#startedAt = new Date(options.clock.nowMs()).toISOString();
    this.#again();
  }

  /** The connection to NATS was lost, or is there again. */
  connected(isUp: boolean): void {
    this.#away = isUp ? null : (this.#away ?? this.#options.clock.monotonicMs());
  }

  /** Not ready from now on. */
  stopping(): void {
    this.#stopping ??= this.#options.clock.monotonicMs();
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
  }

  /** Asks where the log ends, and looks. */
  async refresh(): Promise<Health> {
    if (this.#away === null) this.#head = await this.#options.head().catch(() => this.#head);
    return this.health();
  }

  /** With the end of the log as it was known last. */
  health(): Health {
    const { service, look, notice } = this.#options;
    const { position, stages, problems = [], waits = [], role = null, parked = 0 } = look();
    const lag = this.#head === null ? null : Math.max(0, this.#head - position);
    const reading: Stage = {
      name: 'log',
      waiting: lag ?? 0,
      progress: position,
      stuck: { code: 'LOG_STUCK', afterMs: STUCK_MS },
    };
    const reasons = [
      ...this.#own(),
      ...this.#lasting(problems),
      ...[reading, ...stages].flatMap((stage) => this.#stuck(stage)),
    ];
    return {
      service,
      ready: reasons.length === 0,
      reasons,
      role,
      position,
      lag,
      waiting: Object.fromEntries(stages.map(({ name, waiting }) => [name, waiting])),
      progress: Object.fromEntries(stages.flatMap(({ name, progress, stuck }) => (stuck ? [[name, progress]] : []))),
      waits,
      parked,
      startedAt: this.#startedAt,
      notice: notice?.() ?? null,
    };
  }

  #again(): void {
    this.#cancel = this.#options.clock.after(LOOK_MS, () => {
      void this.refresh().finally(() => {
        if (!this.#closed) this.#again();
      });
    });
  }

  #reason(code: ReasonCode, says: string, sinceMs: number): Reason {
    const { clock } = this.#options;
    return { code, says, since: new Date(clock.nowMs() - (clock.monotonicMs() - sinceMs)).toISOString() };
  }

  #own(): readonly Reason[] {
    const reasons: Reason[] = [];
    if (this.#stopping !== null) reasons.push(this.#reason('STOPPING', 'finishes what is under way', this.#stopping));
    if (this.#away !== null) reasons.push(this.#reason('DISCONNECTED', 'no connection to NATS', this.#away));
    return reasons;
  }

  #lasting(problems: NonNullable<Look['problems']>): readonly Reason[] {
    const keys = new Set(problems.map(({ code }) => code));
    for (const code of this.#problems.keys()) if (!keys.has(code as ReasonCode)) this.#problems.delete(code);
    return problems.map(({ code, says }) => {
      const sinceMs = this.#problems.get(code) ?? this.#options.clock.monotonicMs();
      this.#problems.set(code, sinceMs);
      return this.#reason(code, says, sinceMs);
    });
  }

  #stuck({ name, waiting, progress, stuck }: Stage): readonly Reason[] {
    const nowMs = this.#options.clock.monotonicMs();
    const seen = this.#seen.get(name);
    if (waiting === 0) {
      this.#seen.delete(name);
      return [];
    }
    if (!seen || seen.progress !== progress) {
      this.#seen.set(name, { progress, sinceMs: nowMs });
      return [];
    }
    const forMs = nowMs - seen.sinceMs;
    if (!stuck || forMs < stuck.afterMs) return [];
    const says = `${waiting} in stage ${name}, and none was done for ${Math.round(forMs / 1000)} s`;
    return [this.#reason(stuck.code, says, seen.sinceMs)];
  }
}
