/** What updates and found host ports make of a row of `endpoints`: beside its life, they move no state. Pure. */
import type { EventOf } from '../events/envelope.ts';
import type { EndpointSettings, PublishedPort } from '../events/events.ts';
import { beforeUpdates, endUpdate, type Update } from '../events/updates.ts';
import type { EndpointRow } from './endpoints.ts';
import type { At } from './projection.ts';

/** All leases that an endpoint holds, in its own list and in those of before updates that are not reported; the same one may come twice. */
export const leasesOf = ({ ports, update }: EndpointRow): readonly PublishedPort[] =>
  update === null ? ports : [ports, ...beforeUpdates(update).map((settings) => settings.ports)].flat();

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

interface Asked {
  readonly ports: readonly PublishedPort[];
  readonly update: Update<EndpointSettings> | null;
}

/** The ports that an intent brings: the update's, or those that the holder was made with. */
export const portsOf = ({ ports, update }: Asked, intent: string): readonly PublishedPort[] => {
  let brought = ports;
  for (let at = update; at !== null && at.intent !== intent; at = at.earlier) brought = at.before.ports;
  return brought;
};

/** An update since then may have another port at that place; what is the same port keeps what was found for it. */
const filled = (
  ports: readonly PublishedPort[],
  asked: readonly PublishedPort[],
  found: EventOf<'PortsLeased'>['data']['ports'],
): PublishedPort[] =>
  ports.map((port, index) => {
    const hostPort = found.find((one) => one.index === index)?.hostPort;
    const isMeant = port.hostPort === 0 && JSON.stringify(port) === JSON.stringify(asked[index]);
    return hostPort !== undefined && isMeant ? { ...port, hostPort } : port;
  });

/** The leases of a holder with the host ports that were found for them. */
export const withFound = (
  row: Asked & { readonly id: string },
  { data: { intent, ports: all } }: EventOf<'PortsLeased'>,
): { readonly ports: PublishedPort[]; readonly update: Asked['update'] } => {
  const asked = portsOf(row, intent);
  const found = all.filter(({ holder }) => holder === row.id);
  const fill = (update: Asked['update']): Asked['update'] =>
    update && {
      ...update,
      before: { ...update.before, ports: filled(update.before.ports, asked, found) },
      earlier: fill(update.earlier),
    };
  return { ports: filled(row.ports, asked, found), update: fill(row.update) };
};
