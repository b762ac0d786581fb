/** What holds where no setting says otherwise: said here alone, for settings, services that are given none, and the help. Design values. */
import { memoryMsMost } from '../../events/names.ts';

/** Of the embedded server: not 4222, which a NATS server of the machine's own is likely to have. */
export const PREFERRED_PORT = 4777;
/** How long a released address rests before it is given out again, milliseconds. */
export const QUARANTINE_MS = 60_000;
/** Between suspecting and collecting an endpoint: long enough for a join that is under way to be published and decided. */
export const CONFIRM_MS = 5_000;
/** Between a worker's looks at everything: with the look itself, what nobody tells of is right again within 30 s. */
export const DRIFT_MS = 25_000;
/** Commands a second that one actor may publish without being held back while others are at work. */
export const FAIR_RATE = 500;
/** How long command ids are valid, and remembered, in days: the most as well. */
export const ID_DAYS = memoryMsMost / 86_400_000;
/** Between two checkpoints of a log that grows. */
export const CHECKPOINT_MS = 60_000;
/** After how many events the next snapshot of the views is kept. */
export const SNAPSHOT_EVENTS = 5_000;
/** Where namespaces of callers may lie. */
export const NETNS_ROOTS: readonly string[] = ['/run', '/var/run', '/proc'];
