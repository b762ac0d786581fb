/** Which subnets a network gets: those that were asked for, as far as they can be, and for what is left open one out of the pools. */
import type { CommandData } from '../commands.ts';
import type { DriverRules } from '../driver-rules.ts';
import type { Subnet } from '../events.ts';
import { type Family, overlaps, parseCidr } from '../ip.ts';
import { checkSubnet, chooseSubnet, layOutSubnet, type SubnetPool, ulaPool } from '../ipam.ts';
import { type Refusal, refuse } from '../refusals.ts';
import { ipamOf } from '../settled.ts';
import type { BoundaryState } from '../state.ts';
import { blame, type Context, found, type Result } from './context.ts';

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

interface FamilyRequest {
  readonly family: Family;
  readonly wanted: SubnetRequest;
}

/** One request per family that the network has, in the order IPv4, IPv6. */
export const requestsOf = (request: Request): Result<readonly FamilyRequest[]> => {
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
export const lanRoutes = (state: BoundaryState, link: string | null): readonly string[] => {
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
export const heldSubnets = (request: Request): Result<readonly Subnet[]> => {
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

/**
 * A network's subnets, laid out as it is asked for, one per family.
 * @param subnetFor the subnet of a family; null: somebody else chooses it later
 */
export const laidOut = (
  requests: readonly FamilyRequest[],
  needsGateway: boolean,
  subnetFor: (request: FamilyRequest) => Result<string | null>,
): Result<readonly Subnet[]> => {
  const subnets: Subnet[] = [];
  for (const request of requests) {
    const subnet = subnetFor(request);
    if (!subnet.ok) return subnet;
    if (subnet.value === null) continue;
    const layout = layOutSubnet({ ...request.wanted, subnet: subnet.value, needsGateway });
    if (!layout.ok) return blame(layout, { kind: 'subnet', id: subnet.value });
    subnets.push(layout.value);
  }
  return found(subnets);
};

export const subnetsOf = (
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
  const needsGateway = kind === 'default' && rules.needsGateway(request.options);
  return laidOut(requests.value, needsGateway, ({ family, wanted }) => {
    const isOpen = wanted.subnet === undefined && !isPartial(wanted);
    // The plugin chooses, when the network is made.
    if (kind === 'plugin' && isOpen) return found(null);
    return subnetFor(state, family, wanted, request.ipam.overlap, lan, context);
  });
};

/** A driver that is somebody else's may do without a gateway, but not without one that was asked for. */
export const gatewaysAsked = ({ ipam }: Request, { remote }: DriverRules): { readonly gateways?: Family[] } => {
  const asked = ipam.subnets.filter(({ gateway }) => gateway !== undefined).map(familyOf);
  return remote && asked.length > 0 ? { gateways: asked } : {};
};
