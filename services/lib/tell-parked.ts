/** Says in the log of a service what it is that stands still, and that it goes on. */
import type { Logger } from 'pino';
import { parkedEvent } from './boundary-parking.ts';
import type { Boundary, RealmListener } from './realm.ts';

export const tellParked = (logger: Logger): Required<Pick<RealmListener, 'parked' | 'released'>> => ({
  parked: ({ subject, host, parked }: Boundary) => {
    if (!parked) return;
    const { reason } = parked;
    const event = parkedEvent(parked);
    logger.error({ event, boundary: subject, host, reason }, 'an event cannot be folded: its boundary stands still');
  },
  released: ({ subject, host }: Boundary) => logger.info({ boundary: subject, host }, 'the boundary goes on'),
});
