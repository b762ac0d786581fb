/** Subnets of a network as another driver of address management, or the plugin that carries it, has answered them. */
import type { Settlement } from '../commands.ts';
import type { DriverRules } from '../driver-rules.ts';
import type { EventOf } from '../envelope.ts';
import type { NetworkFacts, Subnet } from '../events.ts';
import { type Cidr, contains, type Family, formatCidr, formatIp, parseCidr, parseIp } from '../ip.ts';
import { checkSubnet, layOutSubnet } from '../ipam.ts';
import { type Refusal, refuse } from '../refusals.ts';
import { ipamOf, isWide } from '../settled.ts';
import type { BoundaryState, NetworkRow } from '../state.ts';
import { accept, blame, type Context, type Decision, found, type Result, rulesOf } from './context.ts';
import { lanRoutes, realmOverlap } from './network-subnets.ts';

type Answer = Extract<Settlement, { kind: 'network' }>['subnets'][number];

const invalid = (detail: string, family: Family): Refusal =>
  refuse('IPAM_INVALID', detail, [{ kind: 'field', id: `ipv${family}` }]);

const differs = (code: 'SUBNET_INVALID' | 'ADDRESS_INVALID', what: string, asked: string, given: string): Refusal =>
  refuse(code, `${what} ${asked} was asked for, and ${given} is what came`, [{ kind: 'subnet', id: given }]);

/** What was asked for is honoured or refused. */
const replaced = (asked: Subnet | undefined, answer: Subnet): Refusal | null => {
  if (!asked) return null;
  if (asked.subnet !== answer.subnet) return differs('SUBNET_INVALID', 'subnet', asked.subnet, answer.subnet);
  if (asked.gateway !== null && asked.gateway !== answer.gateway)
    return differs('ADDRESS_INVALID', 'gateway', asked.gateway, answer.gateway ?? 'none');
  return null;
};

/** A pool of all addresses: nothing in it is on the link, so only the form of what lies in it is looked at. */
const wide = (cidr: Cidr, { family, gateway, aux, pool }: Answer): Result<Subnet> => {
  const address = (text: string): string | null => {
    const ip = parseIp(text);
    return ip && contains(cidr, ip) ? formatIp(ip.family, ip.value) : null;
  };
  const next = gateway === null ? null : address(gateway);
  const named = Object.entries(aux).map(([name, text]) => [name, address(text)] as const);
  const bad = gateway !== null && next === null ? gateway : named.find(([, text]) => text === null)?.[0];
  if (bad !== undefined)
    return refuse('ADDRESS_INVALID', `${bad} is no IPv${family} address`, [{ kind: 'address', id: bad }]);
  const kept = Object.fromEntries(named.map(([name, text]) => [name, text ?? '']));
  return found({ family, subnet: formatCidr(cidr), range: null, gateway: next, aux: kept, vni: null, pool });
};

const laidOut = (
  state: BoundaryState,
  { facts }: NetworkRow,
  answer: Answer,
  lan: readonly string[],
): Result<Subnet> => {
  const { family, gateway, range, aux, pool } = answer;
  const cidr = parseCidr(answer.subnet)?.cidr;
  const culprit = { kind: 'subnet', id: answer.subnet };
  if (cidr?.family !== family) return refuse('SUBNET_INVALID', `${answer.subnet} is no IPv${family} subnet`, [culprit]);
  if (isWide(answer.subnet) && facts.defaultRoute === 'endpoint') return wide(cidr, answer);
  // What it holds already is in nobody's way.
  const isHeld = facts.subnets.some(({ subnet }) => subnet === answer.subnet);
  const checked = checkSubnet(state.subnets, answer.subnet, { overlap: isHeld || facts.ipam.overlap, lan });
  if (!checked.ok) return blame(checked, culprit);
  const { subnet } = checked.value;
  const overlap = isHeld || facts.ipam.overlap ? null : realmOverlap(state, subnet);
  if (overlap) return overlap;
  const wanted = { gateway: gateway ?? undefined, range: range ?? undefined, aux };
  const layout = layOutSubnet({ ...wanted, subnet, needsGateway: false });
  return layout.ok ? found({ ...layout.value, pool }) : blame(layout, culprit);
};

/** The subnets of a network whose addresses a plugin manages: one of each family, as they were asked for. */
const ofPlugin = (
  state: BoundaryState,
  row: NetworkRow,
  asked: readonly Subnet[],
  answers: readonly Answer[],
  rules: DriverRules,
): Result<readonly Subnet[]> => {
  const { ipv4, ipv6, options } = row.facts;
  const lan = lanRoutes(state, rules.lanOf?.(options) ?? null);
  const families: readonly Family[] = [...(ipv4 ? [4 as const] : []), ...(ipv6 ? [6 as const] : [])];
  const subnets: Subnet[] = [];
  for (const family of families) {
    const own = answers.filter((answer) => answer.family === family);
    const [answer] = own;
    if (!answer || own.length > 1) return invalid(`the network needs one subnet of IPv${family}`, family);
    const subnet = laidOut(state, row, answer, lan);
    if (!subnet.ok) return subnet;
    const problem = replaced(
      asked.find((one) => one.family === family),
      subnet.value,
    );
    if (problem) return problem;
    subnets.push(subnet.value);
  }
  const stray = answers.find(({ family }) => !families.includes(family));
  return stray ? invalid(`the network has no IPv${stray.family}`, stray.family) : found(subnets);
};

/** Our own subnets stay as they were decided; the driver may only do without a gateway that nobody asked for. */
const withoutGateways = (
  { subnets: asked, ipam }: Pick<NetworkFacts, 'subnets' | 'ipam'>,
  answers: readonly Answer[],
): Result<readonly Subnet[]> => {
  const subnets: Subnet[] = [];
  for (const one of asked) {
    const answer = answers.find(({ family }) => family === one.family);
    if (!answer) return invalid(`nothing is said of the subnet of IPv${one.family}`, one.family);
    if (answer.subnet !== one.subnet) return differs('SUBNET_INVALID', 'subnet', one.subnet, answer.subnet);
    const mayGo = answer.gateway === null && ipam.gateways?.includes(one.family) !== true;
    if (!mayGo && answer.gateway !== one.gateway)
      return differs('ADDRESS_INVALID', 'gateway', one.gateway ?? 'none', answer.gateway ?? 'none');
    subnets.push({ ...one, gateway: answer.gateway });
  }
  return found(subnets);
};

export const settleNetwork = (
  state: BoundaryState,
  intent: EventOf<'NetworkCreateRequested'>,
  { subnets: answers }: Extract<Settlement, { kind: 'network' }>,
  context: Context,
): Decision => {
  const { network: asked } = intent.data;
  const row = state.networks.get(asked.id);
  const rules = rulesOf(asked.driver, context);
  const isPlugins = ipamOf(asked) === 'plugin';
  if (!row || (!isPlugins && !rules.remote))
    return refuse('SETTLE_INVALID', `network ${asked.name} leaves nothing open`, [
      { kind: 'network', id: asked.id, name: asked.name },
    ]);
  const subnets = isPlugins ? ofPlugin(state, row, asked.subnets, answers, rules) : withoutGateways(asked, answers);
  if (!subnets.ok) return subnets;
  const settled: NetworkFacts = { ...row.facts, subnets: [...subnets.value] };
  const others = [...state.networks.values()].map(({ facts }) => facts);
  const problem = rules.checkNetwork(
    settled,
    others.filter(({ id, configOnly }) => id !== asked.id && !configOnly),
  );
  const data = { networkId: asked.id, name: asked.name, intent: intent.meta.id, subnets: settled.subnets };
  return problem ?? accept({ type: 'NetworkSettled', data });
};
