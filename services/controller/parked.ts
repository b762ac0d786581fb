/** What cannot be decided while something is parked: on the boundary itself, and in networks of the realm of which something waits. */
import type { Fact } from '../../events/events.ts';
import { type Refusal, refuse } from '../../events/refusals.ts';
import type { Place } from '../../events/route.ts';
import { parkedEvent, parkedFor } from '../lib/boundary-parking.ts';
import { type Boundary, boundaryOf, networkBoundary, type Realm } from '../lib/realm.ts';

/** The boundary of a place. */
export const boundaryAt = (realm: Realm, place: Place): Boundary => {
  if (place.kind === 'network') return networkBoundary(realm, place.id);
  return boundaryOf(realm, place.kind === 'host' ? place.host : null);
};

const refusalOf = ({ parked, host, subject }: Boundary): Refusal | null => {
  if (!parked) return null;
  const event = parkedEvent(parked);
  const where = host === null ? subject : `host ${host}`;
  return refuse('BOUNDARY_PARKED', `event ${event} stops ${where}: ${parked.reason}`, [
    { kind: 'event', id: event },
    ...(host === null ? [] : [{ kind: 'host', id: host }]),
  ]);
};

/** Why nothing can be decided at a place; null when it can. What decides about parked events always is. */
export const refusalAt = (realm: Realm, place: Place, command: string): Refusal | null => {
  if (realm.parked.size === 0 || command === 'RetryParked' || command === 'DiscardParked') return null;
  const own = refusalOf(boundaryAt(realm, place));
  if (own || place.kind !== 'network') return own;
  const parked = parkedFor(realm, place.id);
  return parked && refusalOf(parked);
};

/** Why facts cannot stand: they admit to a network of which something waits elsewhere, or say something of a boundary that stands still. */
export const refusalOfFacts = (realm: Realm, facts: readonly Fact[]): Refusal | null => {
  if (realm.parked.size === 0) return null;
  for (const { type, data } of facts) {
    const parked =
      type === 'EndpointAdmitted'
        ? parkedFor(realm, data.networkId)
        : type === 'PeersForgotten'
          ? boundaryOf(realm, null)
          : null;
    if (parked) return refusalOf(parked);
  }
  return null;
};
