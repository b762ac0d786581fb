/** An endpoint as `cnm endpoint inspect` shows it. Pure. */
import type { ViewRows } from '../../projections/views.ts';
import { describeFields, describePairs } from './listing.ts';
import { describeBindings, describeRange, describeSocket } from './port-values.ts';
import { shortDuration, shortTime } from './table.ts';

type EndpointRow = ViewRows['endpoints'];
type Lease = EndpointRow['ports'][number];

export const describeGc = (gc: number | 'off' | null): string =>
  gc === null ? '' : gc === 'off' ? 'off' : `after ${shortDuration(gc)}`;

/** `tcp 0.0.0.0:8080 [::]:8080 -> 80`: what is held, whether it leads anywhere or not. */
export const describeLeases = (ports: readonly Lease[]): string =>
  ports
    .map(({ protocol, hostAddresses, hostPort, port, count }) => {
      const from = hostAddresses.map((address) => describeSocket(address, hostPort, count)).join(' ');
      return `${protocol} ${from} -> ${describeRange(port, count)}`;
    })
    .join(', ');

const familiesOf = ({ ipv4, ipv6 }: EndpointRow['gateway']): string =>
  [ipv4 ? 'IPv4' : '', ipv6 ? 'IPv6' : ''].filter((family) => family !== '').join(' and ');

const updateOf = ({ update, updateFault }: EndpointRow): string => {
  if (update) return 'under way';
  return updateFault ? `failed: ${updateFault.code}: ${updateFault.text}` : '';
};

const routesOf = ({ routes, routesAsked }: EndpointRow): string =>
  (routes.length > 0 ? routes : routesAsked)
    .map(({ destination, gateway }) => (gateway ? `${destination} via ${gateway}` : `${destination} on the link`))
    .join(', ');

const originText: Readonly<Record<EndpointRow['origin'], string>> = {
  endpoint: '',
  attach: ' by an attach',
  outlet: ' as the way out of its sandbox',
};

export const describeEndpoint = (row: EndpointRow): string =>
  describeFields({
    name: row.name,
    id: row.id,
    network: `${row.host}/${row.network} (${row.networkId})`,
    status: `${row.status} since ${shortTime(row.since)}`,
    created: `${shortTime(row.createdAt)}${originText[row.origin]}`,
    ipv4: row.ipv4,
    ipv6: row.ipv6,
    'link-local': row.linkLocal.join(' '),
    mac: row.mac,
    aliases: row.aliases.join(' '),
    links: describePairs(row.links),
    services: row.services.map(({ name, port, protocol }) => `${name} ${port}/${protocol}`).join(', '),
    sandbox: row.sandbox,
    interface: row.interface ?? row.interfaceAsked,
    key: row.sandboxKey,
    routes: routesOf(row),
    gateway: familiesOf(row.gateway),
    priority: row.gatewayPriority === 0 ? '' : String(row.gatewayPriority),
    published: describeLeases(row.ports),
    'port map': describeBindings(row.portMap),
    sysctls: describePairs(row.sysctls),
    options: describePairs(row.options),
    labels: describePairs(row.labels),
    collection: describeGc(row.gc),
    update: updateOf(row),
    fault: row.fault ? `${row.fault.code}: ${row.fault.text}` : '',
  });
