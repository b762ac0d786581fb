/** What a controller is given, and what it is to whoever starts it. */
import type { Logger } from 'pino';
import { remoteDriver } from '../../drivers/remote.ts';
import type { DriverRules } from '../../events/driver-rules.ts';
import { DEFAULT_REALM_POOLS, type SubnetPool } from '../../events/ipam.ts';
import type { Clock } from '../lib/clock.ts';
import type { Look } from '../lib/health.ts';
import type { Stream } from '../lib/stream.ts';
import type { Tracing } from '../lib/trace.ts';
import type { Rate } from './bucket.ts';
import type { ControllerMeter } from './meter.ts';
import type { RoundContext } from './round.ts';
import { realmUlaOf } from './ula.ts';

/** What one actor may publish without being held back while others are at work: a burst is two seconds of it. */
export const fairRateOf = (perSecond: number): Rate => ({ perSecond, burst: 2 * perSecond });

export interface ControllerOptions {
  readonly realm: string;
  readonly log: Stream;
  readonly commands: Stream;
  readonly drivers: ReadonlyMap<string, DriverRules>;
  /** Sends an answer; at most once, since the `commands` view answers the same. */
  readonly publish: (subject: string, body: string) => void;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly quarantineMs: number;
  /** How long command ids are valid, and remembered; `memoryMsMost` when left out. */
  readonly memoryMs?: number;
  /** What one actor may publish without being held back while others are at work; `FAIR_RATE` when left out. */
  readonly fairRate?: Rate;
  /** Pools of automatic IPv4 subnets of realm networks. */
  readonly realmPools?: readonly SubnetPool[];
  /** Who may set quotas; null or left out: everybody. */
  readonly operators?: ReadonlySet<string> | null;
  /** `nats`: the server lets each user publish under its own actor only; `claim` when left out. */
  readonly actorProof?: RoundContext['actorProof'];
  /** Told what is decided and what ends, once it is stored. */
  readonly meter?: ControllerMeter;
  readonly tracing?: Tracing;
}

export interface Controller {
  /** Folds the log; resolves when it is caught up. */
  start(): Promise<void>;
  /** Starts deciding: called when the lease is acquired. */
  activate(): void;
  /** Stops deciding after the round under way: called when the lease is lost. */
  deactivate(): Promise<void>;
  stop(): Promise<void>;
  look(): Look;
  /** Rejects when the controller cannot go on, such as at a log that it cannot read. */
  readonly failed: Promise<never>;
}

/** What every decision is given beside the state. */
export const contextOf = (options: ControllerOptions): Omit<RoundContext, 'mayRecord' | 'refusedBefore'> => {
  const { clock, drivers, quarantineMs, realm, logger, realmPools = DEFAULT_REALM_POOLS } = options;
  return {
    realmName: realm,
    nowMs: clock.nowMs(),
    drivers,
    plugin: remoteDriver,
    quarantineMs,
    realmPools,
    realmUla: realmUlaOf(realm),
    actorProof: options.actorProof ?? 'claim',
    operators: options.operators ?? null,
    newId: () => clock.randomId(12),
    log: logger,
  };
};
