/** How events that are of no host and no network change what all hosts share. */
import type { Event, EventOf } from './envelope.ts';
import { withRange } from './refused-ranges.ts';
import type { SharedState } from './state.ts';

/** Types of events on the subject of no host that are about no network. */
export const allHostsTypes = [
  'TunnelKeysRotated',
  'LegalHoldSet',
  'LegalHoldLifted',
  'SubjectShredded',
  'QuotaSet',
  'CommandsRefused',
  'ParkedRetried',
  'ParkedDiscarded',
  'SegmentOpened',
  'PeersForgotten',
] as const;
type OfAllHosts = EventOf<(typeof allHostsTypes)[number]>;

const known: ReadonlySet<string> = new Set(allHostsTypes);

export const isOfAllHosts = (event: Event): event is OfAllHosts => known.has(event.type);

export const evolveAllHosts = (shared: SharedState, event: OfAllHosts, position: number): void => {
  const { tunnelKeys, holds, shredded, quotas, refused } = shared;
  switch (event.type) {
    case 'TunnelKeysRotated':
      tunnelKeys.set('generation', event.data.generation);
      return;
    case 'LegalHoldSet':
      holds.set(event.data.name, event.data);
      return;
    case 'LegalHoldLifted':
      holds.delete(event.data.name);
      return;
    case 'SubjectShredded':
      shredded.set(event.data.subject, true);
      return;
    case 'QuotaSet': {
      const { actor, limits } = event.data;
      if (limits === null) quotas.delete(actor ?? '');
      else quotas.set(actor ?? '', limits);
      return;
    }
    case 'CommandsRefused': {
      const { actor } = event.data;
      refused.set(actor, withRange(refused.get(actor) ?? [], event.data, position));
      return;
    }
    case 'ParkedRetried':
    case 'ParkedDiscarded':
      // Said to readers: decisions know nothing of what they have parked.
      return;
    case 'PeersForgotten':
      // Said to the workers of other hosts: what ends with a host is said on its own boundary.
      return;
    case 'SegmentOpened':
      // Readers put the state in place when they have all of it (services/lib/opening.ts).
      return;
    default:
      event satisfies never;
  }
};
