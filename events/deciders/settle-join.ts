/** Interface, gateways and routes of a join as the plugin that carries the network has answered them. */
import type { Settlement } from '../commands.ts';
import type { Event, EventOf } from '../envelope.ts';
import type { EndpointFacts, Plug } from '../events.ts';
import { classOf, type Family, formatCidr, formatIp, parseCidr, parseIp } from '../ip.ts';
import { refuse } from '../refusals.ts';
import type { BoundaryState } from '../state.ts';
import { accept, type Context, type Decision, found, type Result, rulesOf } from './context.ts';
import { draftOf, electOf, interfaceFor, routeTaken } from './draft.ts';

type Answer = Extract<Settlement, { kind: 'join' }>;

/** dev_valid_name (net/core/dev.c): 15 bytes, of which none is zero, or the kernel would read a shorter name. No controls besides. */
const isLinkName = (text: string): boolean =>
  /^(?!\.{1,2}$)[^/:\s\p{Cc}\p{Cs}]{1,15}$/u.test(text) && new TextEncoder().encode(text).length <= 15;
const isPrefix = (text: string): boolean => /^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(text);

/** What the host itself stands on: taken into a sandbox, it would take the host with it. */
const isOfHost = ({ facts, networks }: BoundaryState, link: string): boolean => {
  const host = facts.get('host');
  // Every link that is up has IPv6 routes of its own.
  const leads = host?.linkRoutes[link]?.some((route) => !route.includes(':')) ?? false;
  return (
    link === 'lo' ||
    leads ||
    link === host?.underlay?.device ||
    [...networks.values()].some((row) => row.facts.parent?.link === link)
  );
};

const interfaceOf = (
  state: BoundaryState,
  { link, prefix }: Answer,
  endpoint: EndpointFacts,
  others: Parameters<typeof interfaceFor>[0],
): Result<string | null> => {
  if (link === null) return found(null);
  if (!isLinkName(link))
    return refuse('NAME_INVALID', `${JSON.stringify(link)} is no name of an interface`, [
      { kind: 'interface', id: link },
    ]);
  if (isOfHost(state, link))
    return refuse('INTERFACE_IN_USE', `${link} is an interface that the host itself uses`, [
      { kind: 'interface', id: link },
    ]);
  if (prefix !== '' && !isPrefix(prefix))
    return refuse('NAME_INVALID', `no name of an interface begins with ${JSON.stringify(prefix)}`, [
      { kind: 'interface', id: prefix },
    ]);
  return interfaceFor(others, endpoint.interface, prefix || 'eth', new Set());
};

/** A gateway of the family, which the endpoint has an address of. */
const gatewayOf = (family: Family, endpoint: EndpointFacts, text: string | null): Result<string | null> => {
  if (text === null) return found(null);
  const culprits = [{ kind: 'gateway', id: text }];
  const ip = parseIp(text);
  const kind = ip ? classOf(ip) : 'unspecified';
  const isUsable = kind === null || (family === 6 && kind === 'link-local');
  if (ip?.family !== family || !isUsable)
    return refuse('ADDRESS_INVALID', `${text} is no gateway of an IPv${family} route`, culprits);
  const own = endpoint[`ipv${family}`];
  if (own === null) return refuse('ADDRESS_INVALID', `the endpoint has no IPv${family} address`, culprits);
  const address = formatIp(ip.family, ip.value);
  if (!own.startsWith(`${address}/`)) return found(address);
  return refuse('ADDRESS_INVALID', `${text} is the endpoint itself`, culprits);
};

/** In canonical form: a plugin may write an address of the subnet that it means. */
const routesOf = (answers: Answer['routes']): Result<Plug['routes']> => {
  const routes: Plug['routes'] = [];
  for (const { destination, gateway } of answers) {
    const target = parseCidr(destination)?.cidr;
    const next = gateway === null ? null : parseIp(gateway);
    if (!target || (gateway !== null && next?.family !== target.family))
      return refuse('ROUTE_INVALID', `${destination} by ${gateway ?? 'the link'} is no route`, [
        { kind: 'route', id: destination },
      ]);
    routes.push({ destination: formatCidr(target), gateway: next && formatIp(next.family, next.value) });
  }
  return found(routes);
};

const plugOf = (answer: Answer, endpoint: EndpointFacts): Result<Plug> => {
  const gateway4 = gatewayOf(4, endpoint, answer.gateway4);
  if (!gateway4.ok) return gateway4;
  const gateway6 = gatewayOf(6, endpoint, answer.gateway6);
  if (!gateway6.ok) return gateway6;
  const routes = routesOf(answer.routes);
  if (!routes.ok) return routes;
  const bare = answer.link === null ? (answer.gateway4 ?? answer.gateway6 ?? answer.routes[0]?.destination) : undefined;
  if (bare !== undefined)
    return refuse('ROUTE_INVALID', `without an interface nothing leads to ${bare}`, [{ kind: 'route', id: bare }]);
  const { link, outlet } = answer;
  return found({ link, gateway4: gateway4.value, gateway6: gateway6.value, routes: routes.value, outlet });
};

const closed = ({ meta: { id } }: Event, why: string): Decision =>
  refuse('SETTLE_INVALID', `intent ${id} ${why}`, [{ kind: 'intent', id }]);

export const settleJoin = (
  state: BoundaryState,
  intent: EventOf<'EndpointJoinRequested'>,
  answer: Answer,
  context: Context,
): Decision => {
  const { endpointId, networkId, name, joinId, sandbox: asked } = intent.data;
  const row = state.endpoints.get(endpointId);
  const network = state.networks.get(networkId);
  const sandbox = state.sandboxes.get(asked.incarnation);
  if (!row || !network || !sandbox || row.sandbox?.joinId !== joinId || !sandbox.members.includes(endpointId))
    return closed(intent, 'is no longer of a member of its sandbox');
  const rules = rulesOf(network.facts.driver, context);
  if (!rules.remote) return closed(intent, 'leaves nothing open');
  const draft = draftOf(state, sandbox);
  const others = draft.members.filter(({ endpoint }) => endpoint.id !== endpointId);
  const device = interfaceOf(state, answer, row.facts, others);
  if (!device.ok) return device;
  const plug = plugOf(answer, row.facts);
  if (!plug.ok) return plug;
  const led: EndpointFacts = { ...row.facts, routes: [...row.facts.routes, ...plug.value.routes] };
  const problem = rules.checkEndpoint(led, network.facts) ?? routeTaken(others, led);
  if (problem) return problem;
  const members = draft.members.map((member) =>
    member.endpoint.id === endpointId ? { ...member, interface: device.value, plug: plug.value } : member,
  );
  const data = {
    ...{ endpointId, networkId, name, intent: intent.meta.id, joinId, interface: device.value, plug: plug.value },
    gateways: electOf(members),
  };
  return accept({ type: 'JoinSettled', data });
};
