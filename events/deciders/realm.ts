/** Decisions about networks of the realm: their creation, and that an endpoint on a host is in one. */
import type { CommandData } from '../commands.ts';
import type { DriverRules } from '../driver-rules.ts';
import type { EndpointFacts, EventData, Fact, NetworkFacts, Subnet } from '../events.ts';
import { type Family, overlaps, parseCidr } from '../ip.ts';
import { checkSubnet, chooseSubnet, ulaPool } from '../ipam.ts';
import { nextVni } from '../ipam-vni.ts';
import { type Refusal, refuse } from '../refusals.ts';
import { type BoundaryState, isLapsed, type NetworkRow, namedIn } from '../state.ts';
import {
  accept,
  blame,
  type Context,
  type Decision,
  found,
  lacking,
  networkCulprit,
  type Result,
  rulesOf,
} from './context.ts';
import { recorded } from './network.ts';
import { checkIpam, laidOut, requestsOf } from './network-subnets.ts';
import { dnsOf } from './settings.ts';

type Request = CommandData<'CreateNetwork'>;

/** How many culprits a refusal lists. */
const culpritsMax = 10;

/** What hosts have that can take part now: the others learn of the network, and are refused when an endpoint is to be made on them. */
const participants = (context: Context): readonly EventData<'HostFacts'>[] =>
  [...context.hosts.values()]
    .filter((state) => !isLapsed(state))
    .flatMap((state) => state.facts.get('host') ?? [])
    .filter(({ underlay }) => underlay);

const nameTaken = (state: BoundaryState, name: string, context: Context): Refusal | null => {
  const homes = [state.shared, ...context.hosts.values()];
  for (const home of homes) {
    const row = home.networkNames.has(name.toLowerCase()) ? namedIn(home, name) : undefined;
    if (row) return refuse('NETWORK_EXISTS', `network ${row.facts.name} exists`, [networkCulprit(row)]);
  }
  return null;
};

/** Hosts choose subnets from their pools without a look at the realm, so nothing else may lie there. */
const inPools = (subnet: string, family: Family, context: Context): Refusal | null => {
  const wanted = parseCidr(subnet)?.cidr;
  for (const state of context.hosts.values()) {
    const facts = state.facts.get('host');
    const bases = family === 4 ? (facts?.pools ?? []).map(({ base }) => base) : facts ? [facts.ula] : [];
    const base = bases.find((one) => {
      const pool = parseCidr(one)?.cidr;
      return pool !== undefined && wanted !== undefined && overlaps(pool, wanted);
    });
    if (facts && base !== undefined)
      return refuse('SUBNET_OVERLAPS', `${subnet} overlaps pool ${base} of host ${facts.host}`, [
        { kind: 'host', id: facts.host, detail: base },
      ]);
  }
  return null;
};

const subnetFor = (
  state: BoundaryState,
  family: Family,
  wanted: Request['ipam']['subnets'][number],
  overlap: boolean,
  context: Context,
): Result<string> => {
  const { subnets } = state.shared;
  if (wanted.subnet !== undefined) {
    const checked = checkSubnet(subnets, wanted.subnet, { overlap });
    if (!checked.ok) return blame(checked, { kind: 'subnet', id: wanted.subnet });
    if (checked.value.family !== family)
      return refuse('SUBNET_INVALID', `${wanted.subnet} is no IPv${family} subnet`, [
        { kind: 'subnet', id: wanted.subnet },
      ]);
    return (overlap ? null : inPools(checked.value.subnet, family, context)) ?? found(checked.value.subnet);
  }
  if (wanted.gateway !== undefined || wanted.range !== undefined || wanted.aux !== undefined)
    return refuse('IPAM_INVALID', 'gateway, range and aux need the subnet that they lie in', [
      { kind: 'field', id: 'ipam.subnets' },
    ]);
  const pools = family === 4 ? context.realmPools : [ulaPool(context.realmUla)];
  const chosen = chooseSubnet(subnets, family, pools, context);
  return chosen.ok ? found(chosen.value.subnet) : blame(chosen, { kind: 'field', id: 'ipam.subnets' });
};

const vniFor = (state: BoundaryState, wanted: number | null): Result<number> => {
  const { vnis, networks } = state.shared;
  if (wanted === null) {
    const next = nextVni(state.shared);
    if (next !== null) return found(next);
    return refuse('VNI_IN_USE', 'every VXLAN identifier is in use', [{ kind: 'field', id: 'options' }]);
  }
  const holder = networks.get(vnis.get(wanted) ?? '');
  if (!holder) return found(wanted);
  return refuse('VNI_IN_USE', `VXLAN identifier ${wanted} is that of network ${holder.facts.name}`, [
    networkCulprit(holder),
  ]);
};

const subnetsOf = (
  state: BoundaryState,
  request: Request,
  rules: DriverRules,
  vni: number | null,
  context: Context,
): Result<readonly Subnet[]> => {
  const problem = checkIpam(request, rules);
  if (problem) return problem;
  const requests = requestsOf(request);
  if (!requests.ok) return requests;
  const subnets = laidOut(requests.value, rules.needsGateway(request.options), ({ family, wanted }) =>
    subnetFor(state, family, wanted, request.ipam.overlap, context),
  );
  return subnets.ok ? found(subnets.value.map((subnet) => ({ ...subnet, vni }))) : subnets;
};

/** That nobody can take part, naming what settings ask for and hosts do not have. */
const noUnderlay = (lacks: string, hosts: Iterable<BoundaryState>): Refusal => {
  const asked = [...hosts]
    .flatMap((state) => state.facts.get('host') ?? [])
    .flatMap(({ host, underlay, underlayAsked }) => (underlay || !underlayAsked ? [] : [{ host, underlayAsked }]))
    .slice(0, culpritsMax);
  const astray = asked.map(
    ({ host, underlayAsked }) => `; CNM_UNDERLAY of ${host} is ${underlayAsked}, which is not there`,
  );
  return refuse('CAPABILITY_MISSING', `${lacks} address that other hosts reach it at${astray.join('')}`, [
    { kind: 'capability', id: 'underlay' },
    ...asked.map(({ host, underlayAsked }) => ({ kind: 'host', id: host, detail: `CNM_UNDERLAY=${underlayAsked}` })),
  ]);
};

/** The MTUs of the links between hosts, if every host that could take part can run such a network. */
const underlaysFor = (rules: DriverRules, request: Request, context: Context): Result<readonly number[]> => {
  const able = participants(context);
  if (able.length === 0) return noUnderlay('no host has an', context.hosts.values());
  for (const facts of able) {
    const problem = lacking(rules, request.options, facts);
    if (problem) return problem;
  }
  return found(able.flatMap(({ underlay }) => underlay?.mtu ?? []));
};

/** Why no host takes frames of a network of this MTU; null when one does, even one that is away, or when none is known. */
const unfit = ({ name, mtu }: NetworkFacts, overhead: number, context: Context): Refusal | null => {
  const [widest] = [...context.hosts.values()]
    .flatMap((state) => state.facts.get('host') ?? [])
    .flatMap(({ host, underlay }) => (underlay ? [{ host, ...underlay }] : []))
    .sort((a, b) => b.mtu - a.mtu);
  if (!widest || (mtu ?? 0) + overhead <= widest.mtu) return null;
  const { host, device } = widest;
  const most = `${device} of host ${host}, the widest link between hosts, takes ${widest.mtu - overhead}`;
  const culprit = { kind: 'host', id: host, detail: `${device}, MTU ${widest.mtu}` };
  return refuse('MTU_UNFIT', `network ${name} has MTU ${mtu}, and ${most}`, [culprit]);
};

/** A network of the realm, decided on the realm's boundary: no host has to do anything for it until an endpoint is in it. */
export const createRealmNetwork = (
  state: BoundaryState,
  request: Request,
  rules: DriverRules,
  context: Context,
): Decision => {
  const taken = nameTaken(state, request.name, context);
  if (taken) return taken;
  const field = request.configOnly ? 'configOnly' : request.configFrom === undefined ? undefined : 'configFrom';
  if (field !== undefined)
    return refuse('CONFIG_CONFLICT', `${field} cannot be given: a network of driver ${rules.name} is on every host`, [
      { kind: 'field', id: field },
    ]);
  const dns = dnsOf(request.dns);
  if (!dns.ok) return dns;
  const underlays = underlaysFor(rules, request, context);
  if (!underlays.ok) return underlays;
  const wanted = rules.tunnelOf?.(request.options) ?? null;
  const vni = wanted === null ? found(null) : vniFor(state, wanted.vni);
  if (!vni.ok) return vni;
  const subnets = subnetsOf(state, request, rules, vni.value, context);
  if (!subnets.ok) return subnets;
  const network: NetworkFacts = {
    ...recorded(request, dns.value, subnets.value, context),
    driver: rules.name,
    ipv4: request.ipv4,
    ipv6: request.ipv6,
    mtu: rules.mtu(request.options, {}, undefined, underlays.value),
    scope: 'realm',
    defaultRoute: rules.defaultRoute(request.options),
    tunnel: wanted && { port: wanted.port, encrypted: wanted.encrypted },
    parent: null,
  };
  const others = [...state.shared.networks.values()].map(({ facts }) => facts);
  return (
    rules.checkNetwork(network, others) ??
    (wanted && unfit(network, wanted.overhead, context)) ??
    accept({ type: 'NetworkCreateRequested', data: { network } })
  );
};

/** What stands on the boundary of a realm network for an endpoint that is made on this host; nothing for a network of the host. */
export const admissionTo = (
  state: BoundaryState,
  { facts }: NetworkRow,
  endpoint: EndpointFacts,
  context: Context,
): Result<readonly Fact[]> => {
  if (facts.scope === 'host') return found([]);
  const overhead = rulesOf(facts.driver, context).tunnelOf?.(facts.options)?.overhead;
  const underlay = state.facts.get('host')?.underlay;
  if (overhead !== undefined && !underlay) return noUnderlay(`host ${context.host} has no`, [state]);
  if (overhead !== undefined && underlay && underlay.mtu < (facts.mtu ?? 0) + overhead)
    return refuse(
      'MTU_UNFIT',
      `network ${facts.name} has MTU ${facts.mtu}, and ${underlay.device} of host ${context.host} takes ${underlay.mtu - overhead}`,
      [{ kind: 'host', id: context.host, detail: `${underlay.device}, MTU ${underlay.mtu}` }],
    );
  const { id: endpointId, networkId, name, ipv4, ipv6, mac } = endpoint;
  const data = { endpointId, networkId, name, host: context.host, ipv4, ipv6, mac };
  return found([{ type: 'EndpointAdmitted', data }]);
};
