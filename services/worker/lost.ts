/** A worker whose host was declared lost while it could not be reached: it stops, and the next one begins with nothing. */
import type { EventOf } from '../../events/envelope.ts';

/** The log wants nothing of this host any more that was wanted before. */
export class HostDeclaredLost extends Error {
  override name = 'HostDeclaredLost';
  readonly code = 'HOST_LOST';

  constructor({ host, reason }: EventOf<'HostLost'>['data']) {
    super(`host ${host} was declared lost (${reason}): all that it has is taken away, and it begins anew`);
  }
}
