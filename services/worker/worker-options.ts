/** What a worker is given. */
import type { Logger } from 'pino';
import type { Driver } from '../../drivers/driver.ts';
import type { Kernel } from '../../drivers/port.ts';
import type { SubnetPool } from '../../events/ipam.ts';
import type { createDns } from '../dns/dns.ts';
import type { HostServers } from '../dns/upstreams.ts';
import type { Clock } from '../lib/clock.ts';
import { DRIFT_MS } from '../lib/defaults.ts';
import type { Stream } from '../lib/stream.ts';
import type { Tracing } from '../lib/trace.ts';
import type { Plugins } from '../plugins/plugins.ts';
import type { Journal } from './journal.ts';
import type { WorkerMeter } from './meter.ts';

/** Milliseconds: between looks at everything, and within which drifts of one thing are a row. */
export const driftTimes = { everyMs: DRIFT_MS, quietMs: 60_000 };

export interface WorkerOptions {
  readonly realm: string;
  readonly host: string;
  readonly log: Stream;
  /** Where it asks for host ports that it has found. */
  readonly commands: Stream;
  readonly kernel: Kernel;
  readonly drivers: ReadonlyMap<string, Driver>;
  /** What the host itself resolves names with. */
  readonly hostServers: HostServers;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Holds `netns/`, where sandbox keys lie. */
  readonly runDir: string;
  readonly pools: readonly SubnetPool[];
  /** /48 of automatic IPv6 subnets. */
  readonly ula: string;
  readonly netnsRoots: readonly string[];
  /** Of encrypted networks, the same on every host; null or left out: this host can be in none. */
  readonly secret?: Uint8Array | null;
  /** Of looks for what others have changed; the defaults below where left out. */
  readonly drift?: Partial<typeof driftTimes>;
  /** How far the log was read, beyond the life of this process; null or left out: nothing is remembered. */
  readonly journal?: Journal | null;
  /** Drivers of networks and addresses in processes of their own. */
  readonly plugins: Plugins;
  /** What answers names in sandboxes; `createDns` when left out. */
  readonly names?: typeof createDns;
  readonly meter?: WorkerMeter;
  readonly tracing?: Tracing;
}
