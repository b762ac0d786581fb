/**
 * Where the default routes of sandboxes are, as far as workers have reported: a report of one endpoint may take them from another, or
 * hand them on. Beside it `gateway` says who is to carry them once all that is accepted is done. Pure.
 */
import type { Event } from '../events/envelope.ts';
import { defaultDestinations, defaultRouteOf, electGateways } from '../events/gateways.ts';
import type { Family } from '../events/ip.ts';
import type { Update } from '../events/updates.ts';
import type { EndpointRow } from './endpoints.ts';
import type { At } from './projection.ts';
import type { SandboxRow } from './sandboxes.ts';

type Endpoints = Map<string, EndpointRow>;

const families = [4, 6] as const;

/** The sandbox that a report is about: that of the report, which may be another one than where the endpoint is to be by now. */
const reportedOn = ({ type, data }: Event, { sandboxes, endpointBefore }: At): SandboxRow | undefined => {
  const isOfJoin = type === 'EndpointJoined' || type === 'EndpointJoinFailed';
  const isOfLeave = type === 'EndpointLeft' || type === 'EndpointLeaveReverted';
  return sandboxes.get(isOfJoin || isOfLeave ? data.sandbox.incarnation : (endpointBefore?.sandboxIncarnation ?? ''));
};

const hasDefault = ({ routes }: Pick<EndpointRow, 'routes'>, family: Family): boolean =>
  routes.some(({ destination }) => destination === defaultDestinations[family]);

/** Until an update is reported what was before it counts. */
const priorityOf = ({ gatewayPriority, update }: EndpointRow): number => {
  let priority = gatewayPriority;
  for (let open: Update<{ readonly gatewayPriority: number }> | null = update; open !== null; open = open.earlier)
    priority = open.before.gatewayPriority;
  return priority;
};

/**
 * Endpoints that are reported to be in a sandbox, in the order in which they are elected. Who carries a route and is to leave keeps it
 * until it is out.
 */
const inmatesOf = (rows: Endpoints, { members, leaving, incarnation }: SandboxRow): readonly EndpointRow[] => {
  const there = (ids: readonly string[]): readonly EndpointRow[] =>
    ids.flatMap((id) => {
      const row = rows.get(id);
      return row && row.sandboxKey !== null && row.sandboxIncarnation === incarnation ? [row] : [];
    });
  const staying = there(members.map(({ endpointId }) => endpointId));
  const parting = there(leaving);
  const carries = (row: EndpointRow): boolean => families.some((family) => hasDefault(row, family));
  return [...parting.filter(carries), ...staying, ...parting.filter((row) => !carries(row))];
};

/** Who carries the default route of a family: what a join reports of itself is what is so. */
const carrierOf = (inmates: readonly EndpointRow[], family: Family, event: Event, at: At): string | null => {
  const joined = event.type === 'EndpointJoined' ? event.data : null;
  if (joined && hasDefault(joined, family)) return joined.endpointId;
  const candidates = inmates.flatMap((row) => {
    const network = at.networks.get(row.networkId);
    return network && row.id !== joined?.endpointId
      ? [{ id: row.id, gatewayPriority: priorityOf(row), network, plug: row.plug }]
      : [];
  });
  return electGateways(candidates)[`ipv${family}`];
};

/** Gives an endpoint the default route of a family, or takes it. */
const withRoute = (row: EndpointRow, family: Family, isCarrier: boolean, at: At): EndpointRow => {
  if (hasDefault(row, family) === isCarrier) return row;
  const others = row.routes.filter(({ destination }) => destination !== defaultDestinations[family]);
  if (!isCarrier) return { ...row, routes: others, changedPosition: at.position };
  const network = at.networks.get(row.networkId);
  const route = network ? defaultRouteOf(network, family, row.plug) : null;
  if (!route || row.interface === null) return row;
  const [first, ...rest] = others;
  // The order in which a join reports them: IPv4, IPv6, then its own.
  const isBehind = family === 6 && first?.destination === defaultDestinations[4];
  const routes = isBehind ? [first, route, ...rest] : [route, ...others];
  return { ...row, routes, changedPosition: at.position };
};

/** Follows the default routes of a sandbox through a report on one of its endpoints. Complexity: its endpoints. */
export const followRoutes = (rows: Endpoints, event: Event, at: At): void => {
  const sandbox = reportedOn(event, at);
  if (!sandbox) return;
  // Alone it has what it has reported.
  if (event.type === 'EndpointJoined' && sandbox.members.length + sandbox.leaving.length < 2) return;
  const inmates = inmatesOf(rows, sandbox);
  for (const family of families) {
    const carrier = carrierOf(inmates, family, event, at);
    for (const { id } of inmates) {
      const row = rows.get(id);
      const after = row && withRoute(row, family, id === carrier, at);
      if (after !== undefined && after !== row) rows.set(id, after);
    }
  }
};
