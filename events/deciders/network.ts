/** Decisions about drivers and networks. */
import type { CommandData } from '../commands.ts';
import type { DriverRules } from '../driver-rules.ts';
import type { Fact, NetworkFacts, Subnet } from '../events.ts';
import { type Family, overlaps, parseCidr } from '../ip.ts';
import { checkSubnet, chooseSubnet, layOutSubnet, type SubnetPool, ulaPool } from '../ipam.ts';
import { type Refusal, refuse } from '../refusals.ts';
import { ipamOf } from '../settled.ts';
import { type BoundaryState, cellOf, type EndpointRow, isMoving, isRecordOnly, namedIn } from '../state.ts';
import { networkAnswers } from '../states.ts';
import {
  accept,
  blame,
  type Context,
  type Decide,
  type Decision,
  driverFor,
  endpointCulprit,
  endpointIn,
  firstOf,
  found,
  networkCulprit,
  networkFor,
  type Result,
  sandboxOf,
} from './context.ts';
import { usersOf, withConfig } from './network-config.ts';
import { dnsOf } from './settings.ts';

/** How many culprits a refusal lists. */
const culpritsMax = 10;

export const configureDriver: Decide<'ConfigureDriver'> = (state, { driver, options }, context) => {
  const rules = driverFor(driver, {}, context, state.facts.get('host'));
  if (!rules.ok) return rules;
  const problem = rules.value.checkConfigure(options);
  if (problem) return problem;
  return accept({ type: 'DriverConfigureRequested', data: { driver: rules.value.name, options } });
};

type Request = CommandData<'CreateNetwork'>;
type SubnetRequest = Request['ipam']['subnets'][number];

const invalid = (detail: string, field: string): Refusal =>
  refuse('IPAM_INVALID', detail, [{ kind: 'field', id: field }]);

/** Something is said of a subnet, whichever it is. */
const isPartial = ({ gateway, range, aux }: SubnetRequest): boolean =>
  gateway !== undefined || range !== undefined || aux !== undefined;

const familyOf = (request: SubnetRequest): Family => {
  const text = request.subnet ?? request.gateway ?? request.range ?? '';
  return request.family ?? (text.includes(':') ? 6 : 4);
};

/** One request per family that the network has, in the order IPv4, IPv6. */
export const requestsOf = (
  request: Request,
): Result<readonly { readonly family: Family; readonly wanted: SubnetRequest }[]> => {
  const families: readonly Family[] = [...(request.ipv4 ? [4 as const] : []), ...(request.ipv6 ? [6 as const] : [])];
  if (families.length === 0) return invalid('a network needs IPv4 or IPv6', 'ipv4');
  for (const wanted of request.ipam.subnets) {
    const family = familyOf(wanted);
    if (!families.includes(family))
      return invalid(`the network has no IPv${family}, so it takes no such subnet`, `ipv${family}`);
    if (request.ipam.subnets.some((other) => other !== wanted && familyOf(other) === family)) {
      return invalid(`two subnets of IPv${family}: a network has one per family`, 'ipam.subnets');
    }
  }
  return found(
    families.map((family) => ({
      family,
      wanted: request.ipam.subnets.find((wanted) => familyOf(wanted) === family) ?? {},
    })),
  );
};

/** A network on all hosts is on this one too. O(networks of the realm). */
export const realmOverlap = (state: BoundaryState, subnet: string): Refusal | null => {
  const wanted = parseCidr(subnet)?.cidr;
  for (const row of state.shared.networks.values()) {
    const clash = row.facts.subnets.find((one) => {
      const theirs = parseCidr(one.subnet)?.cidr;
      return wanted !== undefined && theirs !== undefined && overlaps(wanted, theirs);
    });
    if (!clash) continue;
    const { id, name } = row.facts;
    return refuse('SUBNET_OVERLAPS', `${subnet} overlaps network ${name} (${clash.subnet})`, [
      { kind: 'network', id, name, detail: clash.subnet },
    ]);
  }
  return null;
};

/** What the host reaches over this link, and over no other. */
const lanRoutes = (state: BoundaryState, link: string | null): readonly string[] => {
  const { [link ?? '']: own = [], ...others } = state.facts.get('host')?.linkRoutes ?? {};
  const elsewhere = new Set(Object.values(others).flat());
  return own.filter((route) => !elsewhere.has(route));
};

const subnetFor = (
  state: BoundaryState,
  family: Family,
  wanted: SubnetRequest,
  overlap: boolean,
  lan: readonly string[],
  context: Context,
): Result<string> => {
  if (wanted.subnet !== undefined) {
    const checked = checkSubnet(state.subnets, wanted.subnet, { overlap, lan });
    if (!checked.ok) return blame(checked, { kind: 'subnet', id: wanted.subnet });
    if (checked.value.family === family)
      return (overlap ? null : realmOverlap(state, checked.value.subnet)) ?? found(checked.value.subnet);
    return refuse('SUBNET_INVALID', `${wanted.subnet} is no IPv${family} subnet`, [
      { kind: 'subnet', id: wanted.subnet },
    ]);
  }
  if (isPartial(wanted)) return invalid('gateway, range and aux need the subnet that they lie in', 'ipam.subnets');
  const facts = state.facts.get('host');
  const pools: readonly SubnetPool[] = family === 4 ? (facts?.pools ?? []) : facts ? [ulaPool(facts.ula)] : [];
  return chosenSubnet(state, family, pools, context);
};

/** A subnet out of pools of the host that nobody has. */
export const chosenSubnet = (
  state: BoundaryState,
  family: Family,
  pools: readonly SubnetPool[],
  context: Context,
): Result<string> => {
  const chosen = chooseSubnet(state.subnets, family, pools, context);
  if (!chosen.ok) return blame(chosen, { kind: 'host', id: context.host });
  return realmOverlap(state, chosen.value.subnet) ?? found(chosen.value.subnet);
};

/**
 * Whether somebody manages addresses under that name, and the driver has its networks managed so.
 * @param plugins that are there beside us
 */
export const checkIpam = (
  request: Request,
  { name, ipams = [] }: Pick<DriverRules, 'name' | 'ipams'>,
  plugins: readonly string[] = [],
): Refusal | null => {
  const kind = ipamOf(request);
  const { driver } = request.ipam;
  const culprits = [{ kind: 'ipam-driver', id: driver }];
  if (kind === 'plugin' && !plugins.includes(driver)) {
    const known = ['default', ...(ipams.includes('null') ? ['null'] : []), ...plugins].join(', ');
    return refuse('IPAM_DRIVER_NOT_FOUND', `there is no IPAM driver ${driver}; there are: ${known}`, culprits);
  }
  if (kind !== 'default' && !ipams.includes(kind))
    return refuse('DRIVER_FORBIDS', `networks of driver ${name} do not work with IPAM driver ${driver}`, culprits);
  if (kind === 'null' && request.ipam.subnets.length > 0)
    return invalid('IPAM driver null knows no subnets', 'ipam.subnets');
  if (kind === 'plugin') return null;
  const [option] = Object.keys(request.ipam.options);
  if (option !== undefined) {
    return refuse('OPTION_UNSUPPORTED', `IPAM driver ${driver} does not act on option ${option}`, [
      { kind: 'option', id: option },
    ]);
  }
  return null;
};

/** The subnets that a network holds for others: those that are given, checked by themselves; what is left out is chosen by each of them. */
const heldSubnets = (request: Request): Result<readonly Subnet[]> => {
  const problem = checkIpam(request, { name: 'null' });
  if (problem) return problem;
  const requests = requestsOf(request);
  if (!requests.ok) return requests;
  const subnets: Subnet[] = [];
  for (const { family, wanted } of requests.value) {
    const { subnet, ...rest } = wanted;
    if (subnet === undefined) {
      if (!isPartial(rest)) continue;
      return invalid('gateway, range and aux need the subnet that they lie in', 'ipam.subnets');
    }
    const layout = layOutSubnet({ ...rest, subnet, needsGateway: true });
    if (!layout.ok) return blame(layout, { kind: 'subnet', id: subnet });
    if (layout.value.family !== family)
      return refuse('SUBNET_INVALID', `${subnet} is no IPv${family} subnet`, [{ kind: 'subnet', id: subnet }]);
    subnets.push(layout.value);
  }
  return found(subnets);
};

const subnetsOf = (
  state: BoundaryState,
  request: Request,
  rules: DriverRules,
  context: Context,
): Result<readonly Subnet[]> => {
  const problem = checkIpam(request, rules, state.facts.get('host')?.drivers);
  if (problem) return problem;
  if (!rules.addresses) {
    const ignored = request.ipv6 ? 'ipv6' : request.internal ? 'internal' : null;
    if (ignored !== null)
      return refuse('OPTION_UNSUPPORTED', `driver ${rules.name} has no links, so ${ignored} would have no effect`, [
        { kind: 'option', id: ignored },
      ]);
    if (request.ipam.subnets.length === 0) return found([]);
    return invalid(`networks of driver ${rules.name} have no addresses`, 'ipam.subnets');
  }
  const requests = requestsOf(request);
  if (!requests.ok) return requests;
  const kind = ipamOf(request);
  if (kind === 'null') return found([]);
  const lan = lanRoutes(state, rules.lanOf?.(request.options) ?? null);
  const subnets: Subnet[] = [];
  for (const { family, wanted } of requests.value) {
    const isOpen = wanted.subnet === undefined && !isPartial(wanted);
    // The plugin chooses, when the network is made.
    if (kind === 'plugin' && isOpen) continue;
    const subnet = subnetFor(state, family, wanted, request.ipam.overlap, lan, context);
    if (!subnet.ok) return subnet;
    const needsGateway = kind === 'default' && rules.needsGateway(request.options);
    const layout = layOutSubnet({ ...wanted, subnet: subnet.value, needsGateway });
    if (!layout.ok) return blame(layout, { kind: 'subnet', id: subnet.value });
    subnets.push(layout.value);
  }
  return found(subnets);
};

const nameTaken = (state: BoundaryState, name: string): Refusal | null => {
  const homes = [state, state.shared].filter(({ networkNames }) => networkNames.has(name.toLowerCase()));
  const row = homes[0] && namedIn(homes[0], name);
  if (!row) return null;
  const culprit = { kind: 'network', id: row.facts.id, name: row.facts.name, detail: row.status };
  return refuse('NETWORK_EXISTS', `network ${row.facts.name} exists`, [culprit]);
};

/** What the facts of every network have, whatever its driver makes of it. */
export const recorded = (request: Request, dns: NetworkFacts['dns'], subnets: readonly Subnet[], context: Context) => ({
  id: context.newId(),
  name: request.name,
  internal: request.internal,
  ipam: { driver: request.ipam.driver, options: request.ipam.options, overlap: request.ipam.overlap },
  subnets: [...subnets],
  options: request.options,
  labels: request.labels,
  gc: request.gc ?? null,
  configOnly: request.configOnly,
  configFrom: request.configFrom ?? null,
  dns,
  scope: 'host' as const,
  defaultRoute: 'gateway' as const,
  outlet: false,
  tunnel: null,
  parent: null,
});

/** A network that only holds settings: no driver ever sees it, so they are checked when another network takes them. */
const holder = (request: Request, dns: NetworkFacts['dns'], context: Context): Decision => {
  const subnets = heldSubnets(request);
  if (!subnets.ok) return subnets;
  const { ipv4, ipv6 } = request;
  const network = { ...recorded(request, dns, subnets.value, context), driver: 'null', ipv4, ipv6, mtu: null };
  return accept({ type: 'NetworkCreateRequested', data: { network } });
};

export const createNetwork: Decide<'CreateNetwork'> = (state, said, context) => {
  const taken = nameTaken(state, said.name);
  if (taken) return taken;
  const meant = withConfig(state, said);
  if (!meant.ok) return meant;
  const request = meant.value;
  const dns = dnsOf(request.dns);
  if (!dns.ok) return dns;
  if (request.configOnly) return holder(request, dns.value, context);
  const rules = driverFor(request.driver, request.options, context, state.facts.get('host'));
  if (!rules.ok) return rules;
  const { name: driver, addresses, networksMax } = rules.value;
  const others = [...state.networks.values()].filter((row) => !row.facts.configOnly);
  const siblings = others.filter((row) => row.facts.driver === driver);
  // One whose deletion is accepted is in nobody's way, as with names: the worker takes intents in order.
  const staying = siblings.filter(({ status }) => networkAnswers.CreateNetwork[status] !== 'accepted');
  if (staying.length >= networksMax) {
    const culprits = staying.map(({ facts: { id, name } }) => ({ kind: 'network', id, name }));
    return refuse('DRIVER_FORBIDS', `a host has one network of driver ${driver}`, culprits);
  }
  const subnets = subnetsOf(state, request, rules.value, context);
  if (!subnets.ok) return subnets;
  const [ipv4, ipv6] = [addresses && request.ipv4, addresses && request.ipv6];
  const host = state.facts.get('host');
  const mtu = rules.value.mtu(request.options, state.drivers.get(driver)?.options ?? {}, host, []);
  const bare = recorded(request, dns.value, subnets.value, context);
  const parent = rules.value.parentOf(bare, host);
  if (parent !== null && 'ok' in parent) return parent;
  const defaultRoute = rules.value.defaultRoute(request.options);
  const network: NetworkFacts = { ...bare, driver, ipv4, ipv6, mtu, parent, defaultRoute };
  const problem = rules.value.checkNetwork(
    network,
    others.map(({ facts }) => facts),
  );
  return problem ?? accept({ type: 'NetworkCreateRequested', data: { network } });
};

/** Its endpoints that are not being deleted: the others are in nobody's way, since the worker takes intents in order. */
const livingIn = (state: BoundaryState, networkId: string, context: Context): readonly EndpointRow[] =>
  [...(cellOf(state, networkId)?.endpoints.keys() ?? [])]
    .flatMap((id) => endpointIn(state, networkId, id, context) ?? [])
    .filter(({ home, row }) => row.status !== 'deleting' || isMoving(home, sandboxOf(home, row)))
    .map(({ row }) => row);

export const deleteNetwork: Decide<'DeleteNetwork'> = (state, { network }, context) => {
  const row = networkFor(state, network, 'DeleteNetwork');
  if (!row.ok) return row;
  const { facts } = row.value;
  const users = usersOf(state, facts);
  if (users.length > 0) {
    const detail = `${users.length} network${users.length === 1 ? ' has' : 's have'} settings from ${facts.name}`;
    return refuse('NETWORK_IN_USE', detail, firstOf(users, culpritsMax).map(networkCulprit));
  }
  const living = livingIn(state, facts.id, context);
  if (living.length === 0)
    return accept({ type: 'NetworkDeleteRequested', data: { networkId: facts.id, name: facts.name } });
  const detail = `network ${facts.name} has ${living.length} endpoint${living.length === 1 ? '' : 's'}`;
  return refuse('NETWORK_HAS_ENDPOINTS', detail, firstOf(living, culpritsMax).map(endpointCulprit));
};

// ---------------------------------------------------------------- PruneNetworks

/** Whether labels have `KEY`, or `KEY=VALUE`. */
const hasLabel = (labels: NetworkFacts['labels'], wanted: string): boolean => {
  const at = wanted.indexOf('=');
  const key = at < 0 ? wanted : wanted.slice(0, at);
  return Object.hasOwn(labels, key) && (at < 0 || labels[key] === wanted.slice(at + 1));
};

/** What nobody uses and matches. What is stuck is left to be deleted by name: one that fails would fail them all. */
export const pruneNetworks: Decide<'PruneNetworks'> = (state, { labels, not, until }, context) => {
  const untilMs = until === undefined ? Number.POSITIVE_INFINITY : Date.parse(until);
  const idle = [...state.networks.values()].filter(
    ({ facts, status, createdAt }) =>
      !facts.configOnly &&
      (status === 'active' || status === 'creating') &&
      labels.every((label) => hasLabel(facts.labels, label)) &&
      !not.some((label) => hasLabel(facts.labels, label)) &&
      Date.parse(createdAt) < untilMs &&
      livingIn(state, facts.id, context).length === 0,
  );
  if (idle.length === 0)
    return refuse('NOTHING_TO_PRUNE', `host ${context.host} has no such network without endpoints`, [
      { kind: 'host', id: context.host },
    ]);
  // What nobody executes must not come first in a command.
  const inOrder = [
    ...idle.filter(({ facts }) => !isRecordOnly(facts)),
    ...idle.filter(({ facts }) => isRecordOnly(facts)),
  ];
  return accept(
    ...inOrder.map(
      ({ facts: { id: networkId, name } }): Fact => ({ type: 'NetworkDeleteRequested', data: { networkId, name } }),
    ),
  );
};
