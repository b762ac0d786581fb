/**
 * Decisions on events that readers could not fold and have parked. What is parked only readers know: the log is the same for all of them,
 * and what one version cannot fold the next one may. So nothing is looked up here; for a reader that has nothing parked there, they say nothing.
 */
import { accept, type Decide } from './context.ts';

export const retryParked: Decide<'RetryParked'> = (_, data) => accept({ type: 'ParkedRetried', data });

export const discardParked: Decide<'DiscardParked'> = (_, data) => accept({ type: 'ParkedDiscarded', data });
