/** What executing units takes. */
import type { Logger } from 'pino';
import type { Kernel } from '../../drivers/port.ts';
import type { BoundaryState } from '../../events/state.ts';
import type { Dns } from '../dns/dns.ts';
import type { Clock } from '../lib/clock.ts';
import type { Tracing } from '../lib/trace.ts';
import type { Consulting } from './consulting.ts';
import type { DriftSift } from './drift-sift.ts';
import type { Peers } from './peers.ts';
import type { Present } from './present.ts';
import type { Report } from './reports.ts';
import type { Deployment } from './sandbox.ts';

export interface ExecutionOptions {
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly state: BoundaryState;
  readonly deployment: Deployment;
  readonly dns: Dns;
  readonly present: Present;
  readonly peers: Pick<Peers, 'set' | 'forget'>;
  readonly consulting: Pick<Consulting, 'follow' | 'lend' | 'isClosed'>;
  /** What others have changed. */
  readonly drift: Pick<DriftSift, 'sift' | 'exclusively'>;
  /** Incarnations of sandboxes that the log knows as made. */
  readonly announced: ReadonlySet<string>;
  /** Takes the outcomes of one unit. */
  readonly report: (reports: readonly Report[]) => void;
  /** Called when a task is due that had to wait. */
  readonly wake: () => void;
  readonly onFault: (error: unknown) => void;
  readonly tracing?: Tracing;
}
