/** Drivers without links: what an endpoint asks for that could have no effect is refused, never ignored. */
import type { EndpointFacts } from '../events/events.ts';
import { type Refusal, refuse } from '../events/refusals.ts';
import { checkOptions } from './options.ts';

/** What takes an interface, an address or a name of that address; each with how much of it is asked for. */
const needed = (endpoint: EndpointFacts) =>
  ({
    ports: endpoint.ports.length,
    gatewayPriority: endpoint.gatewayPriority,
    interface: endpoint.interface === null ? 0 : 1,
    sysctls: Object.keys(endpoint.sysctls).length,
    linkLocal: endpoint.linkLocal.length,
    routes: endpoint.routes.length,
    aliases: endpoint.aliases.length,
    links: Object.keys(endpoint.links).length,
    services: endpoint.services.length,
  }) as const;

export const checkIdleEndpoint = (driver: string, endpoint: EndpointFacts): Refusal | null => {
  const asked = Object.entries(needed(endpoint)).find(([, amount]) => amount !== 0);
  if (!asked) return checkOptions(`driver ${driver}`, endpoint.options, {});
  const [field] = asked;
  const detail = `endpoints of driver ${driver} have no interface, so ${field} would have no effect`;
  return refuse('OPTION_UNSUPPORTED', detail, [{ kind: 'field', id: field }]);
};
