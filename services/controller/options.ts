/** What a controller is given, and what it is to whoever starts it. */
import type { Logger } from 'pino';
import type { DriverRules } from '../../events/driver-rules.ts';
import type { SubnetPool } from '../../events/ipam.ts';
import type { Clock } from '../lib/clock.ts';
import type { Stream } from '../lib/stream.ts';
import type { Rate } from './bucket.ts';
import type { RoundContext } from './round.ts';

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
  /** What one actor may publish without being held back while others are at work; `defaultFairRate` when left out. */
  readonly fairRate?: Rate;
  /** Pools of automatic IPv4 subnets of realm networks. */
  readonly realmPools?: readonly SubnetPool[];
  /** Who may set quotas; null or left out: everybody. */
  readonly operators?: ReadonlySet<string> | null;
  /** `nats`: the server lets each user publish under its own actor only; `claim` when left out. */
  readonly actorProof?: RoundContext['actorProof'];
}

export interface Controller {
  /** Folds the log; resolves when it is caught up. */
  start(): Promise<void>;
  /** Starts deciding: called when the lease is acquired. */
  activate(): void;
  /** Stops deciding after the round under way: called when the lease is lost. */
  deactivate(): Promise<void>;
  stop(): Promise<void>;
  /** Rejects when the controller cannot go on, such as at a log that it cannot read. */
  readonly failed: Promise<never>;
}
