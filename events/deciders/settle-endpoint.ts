/** Addresses and MAC of an endpoint as a plugin has answered them. */
import type { Settlement } from '../commands.ts';
import type { EventOf } from '../envelope.ts';
import type { EndpointFacts } from '../events.ts';
import { classOf, type Family, formatIp, parseCidr, parseIp } from '../ip.ts';
import { checkAddress, holderOf, isUnicastMac, parseMac } from '../ipam.ts';
import { type Refusal, refuse } from '../refusals.ts';
import { ipamOf } from '../settled.ts';
import { type BoundaryState, cellOf, type EndpointRow, type NetworkRow } from '../state.ts';
import { accept, blame, type Context, type Decision, endpointCulprit, found, type Result, rulesOf } from './context.ts';
import { derivedMac } from './endpoint.ts';

type Answer = Extract<Settlement, { kind: 'endpoint' }>;

interface Place {
  readonly state: BoundaryState;
  readonly network: NetworkRow;
  readonly row: EndpointRow;
  readonly context: Context;
}

const notIts = (what: string, was: string, given: string): Refusal =>
  refuse('ADDRESS_INVALID', `${what} ${was} was decided, and ${given} is what came`, [{ kind: 'address', id: given }]);

const taken = ({ state, row }: Place, id: string, address: string): Refusal | null => {
  if (id === row.facts.id) return null;
  const holder = state.endpoints.get(id);
  const culprit = holder ? endpointCulprit(holder) : { kind: 'endpoint', id };
  return refuse('ADDRESS_IN_USE', `${address} is held by endpoint ${holder?.facts.name ?? id}`, [culprit]);
};

/** An address in the subnet of its family, else one that lies in none, where the network has none. */
const addressIn = (place: Place, family: Family, cidr: string): Result<string> => {
  const { state, network } = place;
  const culprit = { kind: 'address', id: cidr };
  const parsed = parseCidr(cidr);
  const ip = parseIp(cidr.slice(0, cidr.indexOf('/')));
  if (!parsed || ip?.family !== family || classOf(ip) !== null)
    return refuse('ADDRESS_INVALID', `${cidr} is no IPv${family} address with a prefix length`, [culprit]);
  const cell = cellOf(state, network.facts.id);
  const address = formatIp(family, ip.value);
  const text = `${address}/${parsed.cidr.prefix}`;
  const pool = cell?.pools.find(({ subnet }) => subnet.family === family);
  if (!pool) {
    const other = cell?.others.get(address);
    return (other === undefined ? null : taken(place, other, address)) ?? found(text);
  }
  if (holderOf(pool, address)?.id === place.row.facts.id) return found(text);
  const checked = checkAddress(pool, address);
  if (!checked.ok) return blame(checked, culprit);
  if (parsed.cidr.prefix === pool.subnet.prefix || network.facts.defaultRoute === 'endpoint') return found(text);
  return refuse('ADDRESS_INVALID', `${cidr} has another prefix length than its subnet`, [culprit]);
};

const addressFor = (
  place: Place,
  family: Family,
  decided: EndpointFacts,
  answer: string | null,
): Result<string | null> => {
  const key = `ipv${family}` as const;
  const was = decided[key];
  if (was !== null) return answer === null || answer === was ? found(was) : notIts('address', was, answer);
  const asked = decided.wanted?.[key] ?? null;
  const isNeeded = ipamOf(place.network.facts) === 'plugin' && place.network.facts[key];
  if (answer === null) {
    if (!isNeeded) return found(null);
    return refuse('ADDRESS_INVALID', `the endpoint needs an IPv${family} address`, [{ kind: 'field', id: key }]);
  }
  const address = addressIn(place, family, answer);
  if (!address.ok || asked === null || address.value.startsWith(`${asked}/`)) return address;
  return notIts('address', asked, answer);
};

const macFor = (
  { state, network, row, context }: Place,
  decided: EndpointFacts,
  addresses: { readonly ipv4: string | null; readonly ipv6: string | null },
  answer: string | null,
): Result<string | null> => {
  if (decided.mac !== null && answer !== null && parseMac(answer) !== decided.mac)
    return notIts('MAC', decided.mac, answer);
  if (decided.mac !== null) return found(decided.mac);
  const rules = rulesOf(network.facts.driver, context);
  const macs = cellOf(state, network.facts.id)?.macs;
  const holderOf = (mac: string): string | undefined => {
    const id = macs?.get(mac);
    return id === row.facts.id ? undefined : id;
  };
  if (answer === null) {
    if (rules.remote || !rules.hasMac) return found(null);
    return found(derivedMac(addresses.ipv4, addresses.ipv6, (mac) => holderOf(mac) !== undefined));
  }
  const mac = parseMac(answer);
  if (mac === null || !isUnicastMac(mac) || !rules.hasMac)
    return refuse('MAC_INVALID', `${answer} is no unicast MAC address that an endpoint of driver ${rules.name} has`, [
      { kind: 'mac', id: answer },
    ]);
  const holder = state.endpoints.get(holderOf(mac) ?? '');
  return holder
    ? refuse('MAC_IN_USE', `${mac} is held by endpoint ${holder.facts.name}`, [endpointCulprit(holder)])
    : found(mac);
};

const open = ({ network, row, context }: Place): Refusal | null => {
  const rules = rulesOf(network.facts.driver, context);
  const isPlugins = ipamOf(network.facts) === 'plugin';
  if (isPlugins ? network.isSettled : rules.remote) return null;
  return refuse('SETTLE_INVALID', `endpoint ${row.facts.name} leaves nothing open`, [endpointCulprit(row)]);
};

export const settleEndpoint = (
  state: BoundaryState,
  intent: EventOf<'EndpointCreateRequested'>,
  answer: Answer,
  context: Context,
): Decision => {
  const { endpoint: decided } = intent.data;
  const network = state.networks.get(decided.networkId);
  const row = state.endpoints.get(decided.id);
  if (!network || !row)
    return refuse('SETTLE_INVALID', `endpoint ${decided.name} is gone`, [{ kind: 'endpoint', id: decided.id }]);
  const place = { state, network, row, context };
  const closed = open(place);
  if (closed) return closed;
  const ipv4 = addressFor(place, 4, decided, answer.ipv4);
  if (!ipv4.ok) return ipv4;
  const ipv6 = addressFor(place, 6, decided, answer.ipv6);
  if (!ipv6.ok) return ipv6;
  const addresses = { ipv4: ipv4.value, ipv6: ipv6.value };
  const mac = macFor(place, decided, addresses, answer.mac);
  if (!mac.ok) return mac;
  const settled = { ...addresses, mac: mac.value };
  const problem = rulesOf(network.facts.driver, context).checkEndpoint({ ...row.facts, ...settled }, network.facts);
  const { id: endpointId, networkId, name } = decided;
  const data = { endpointId, networkId, name, intent: intent.meta.id, ...settled };
  return problem ?? accept({ type: 'EndpointSettled', data });
};
