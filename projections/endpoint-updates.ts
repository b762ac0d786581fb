/** What updates make of a row of `endpoints`: beside its life, they move no state. Pure. */
import type { EventOf } from '../events/envelope.ts';
import { endUpdate } from '../events/updates.ts';
import type { EndpointRow } from './endpoints.ts';
import type { At } from './projection.ts';

/** Like everything that happens to an endpoint, an update takes a suspicion of it back. */
export const updatedRow = (
  row: EndpointRow,
  event: EventOf<'EndpointUpdateRequested' | 'EndpointUpdated' | 'EndpointUpdateFailed'>,
  { position: changedPosition }: At,
): EndpointRow => {
  if (event.type === 'EndpointUpdateRequested') {
    const { aliases, ports, gatewayPriority } = row;
    const generation = row.generation + 1;
    const update = { intent: event.meta.id, before: { aliases, ports, gatewayPriority }, earlier: row.update };
    return {
      ...{ ...row, ...event.data.settings, update, updateFault: null },
      ...{ generation, suspected: false, changedPosition },
    };
  }
  const fault = event.type === 'EndpointUpdateFailed' ? event.data.fault : null;
  const ended = endUpdate(row.update, event.meta.causationid, fault !== null);
  if (!ended) return row;
  return {
    ...{ ...row, ...ended.restored, update: ended.update, updateFault: fault },
    ...{ generation: row.generation + 1, suspected: false, changedPosition },
  };
};
