/** Decisions about drivers and networks. */
import type { CommandData } from '../commands.ts';
import type { DriverRules } from '../driver-rules.ts';
import type { NetworkFacts, Subnet } from '../events.ts';
import type { Family } from '../ip.ts';
import { checkSubnet, chooseSubnet, layOutSubnet, type SubnetPool, ulaPool } from '../ipam.ts';
import { type Refusal, refuse } from '../refusals.ts';
import type { BoundaryState } from '../state.ts';
import { networkAnswers } from '../states.ts';
import {
  accept,
  blame,
  type Context,
  type Decide,
  driverFor,
  endpointCulprit,
  firstOf,
  found,
  networkFor,
  type Result,
} from './context.ts';

/** How many culprits a refusal lists. */
const culpritsMax = 10;

export const configureDriver: Decide<'ConfigureDriver'> = (state, { driver, options }, context) => {
  const rules = driverFor(driver, context, state.facts.get('host'));
  if (!rules.ok) return rules;
  const problem = rules.value.checkConfigure(options);
  if (problem) return problem;
  return accept({ type: 'DriverConfigureRequested', data: { driver: rules.value.name, options } });
};

type Request = CommandData<'CreateNetwork'>;
type SubnetRequest = Request['ipam']['subnets'][number];

const invalid = (detail: string, field: string): Refusal =>
  refuse('IPAM_INVALID', detail, [{ kind: 'field', id: field }]);

const familyOf = (request: SubnetRequest): Family => {
  const text = request.subnet ?? request.gateway ?? request.range ?? '';
  return request.family ?? (text.includes(':') ? 6 : 4);
};

/** One request per family that the network has, in the order IPv4, IPv6. */
const requestsOf = (
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

const subnetFor = (
  state: BoundaryState,
  family: Family,
  wanted: SubnetRequest,
  overlap: boolean,
  context: Context,
): Result<string> => {
  if (wanted.subnet !== undefined) {
    const checked = checkSubnet(state.subnets, wanted.subnet, { overlap });
    if (!checked.ok) return blame(checked, { kind: 'subnet', id: wanted.subnet });
    if (checked.value.family === family) return found(checked.value.subnet);
    return refuse('SUBNET_INVALID', `${wanted.subnet} is no IPv${family} subnet`, [
      { kind: 'subnet', id: wanted.subnet },
    ]);
  }
  if (wanted.gateway !== undefined || wanted.range !== undefined || wanted.aux !== undefined) {
    return invalid('gateway, range and aux need the subnet that they lie in', 'ipam.subnets');
  }
  const facts = state.facts.get('host');
  const pools: readonly SubnetPool[] = family === 4 ? (facts?.pools ?? []) : facts ? [ulaPool(facts.ula)] : [];
  const chosen = chooseSubnet(state.subnets, family, pools, context);
  return chosen.ok ? found(chosen.value.subnet) : blame(chosen, { kind: 'host', id: context.host });
};

const subnetsOf = (
  state: BoundaryState,
  request: Request,
  rules: DriverRules,
  context: Context,
): Result<readonly Subnet[]> => {
  if (request.ipam.driver !== 'default') {
    const culprits = [{ kind: 'ipam-driver', id: request.ipam.driver }];
    return refuse(
      'IPAM_DRIVER_NOT_FOUND',
      `there is no IPAM driver ${request.ipam.driver}; there is: default`,
      culprits,
    );
  }
  const [option] = Object.keys(request.ipam.options);
  if (option !== undefined) {
    return refuse('OPTION_UNSUPPORTED', `IPAM driver default does not act on option ${option}`, [
      { kind: 'option', id: option },
    ]);
  }
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
  const subnets: Subnet[] = [];
  for (const { family, wanted } of requests.value) {
    const subnet = subnetFor(state, family, wanted, request.ipam.overlap, context);
    if (!subnet.ok) return subnet;
    const layout = layOutSubnet({ ...wanted, subnet: subnet.value, needsGateway: true });
    if (!layout.ok) return blame(layout, { kind: 'subnet', id: subnet.value });
    subnets.push(layout.value);
  }
  return found(subnets);
};

const nameTaken = (state: BoundaryState, name: string): Refusal | null => {
  const id = state.networkNames.get(name.toLowerCase());
  const row = id === undefined ? undefined : state.networks.get(id);
  if (!row) return null;
  const culprit = { kind: 'network', id: row.facts.id, name: row.facts.name, detail: row.status };
  return refuse('NETWORK_EXISTS', `network ${row.facts.name} exists`, [culprit]);
};

export const createNetwork: Decide<'CreateNetwork'> = (state, request, context) => {
  const taken = nameTaken(state, request.name);
  if (taken) return taken;
  const rules = driverFor(request.driver, context, state.facts.get('host'));
  if (!rules.ok) return rules;
  const siblings = [...state.networks.values()].filter((row) => row.facts.driver === rules.value.name);
  // One whose deletion is accepted is in nobody's way, as with names: the worker takes intents in order.
  const staying = siblings.filter(({ status }) => networkAnswers.CreateNetwork[status] !== 'accepted');
  if (staying.length >= rules.value.networksMax) {
    const culprits = staying.map(({ facts: { id, name } }) => ({ kind: 'network', id, name }));
    return refuse('DRIVER_FORBIDS', `a host has one network of driver ${rules.value.name}`, culprits);
  }
  const subnets = subnetsOf(state, request, rules.value, context);
  if (!subnets.ok) return subnets;
  const network: NetworkFacts = {
    id: context.newId(),
    name: request.name,
    driver: rules.value.name,
    ipv4: rules.value.addresses && request.ipv4,
    ipv6: rules.value.addresses && request.ipv6,
    internal: request.internal,
    ipam: { driver: request.ipam.driver, options: request.ipam.options, overlap: request.ipam.overlap },
    subnets: [...subnets.value],
    mtu: rules.value.mtu(
      request.options,
      state.drivers.get(rules.value.name)?.options ?? {},
      state.facts.get('host')?.mtu ?? 1500,
    ),
    options: request.options,
    labels: request.labels,
    gc: request.gc ?? null,
  };
  const problem = rules.value.checkNetwork(
    network,
    siblings.map(({ facts }) => facts),
  );
  return problem ?? accept({ type: 'NetworkCreateRequested', data: { network } });
};

export const deleteNetwork: Decide<'DeleteNetwork'> = (state, { network }) => {
  const row = networkFor(state, network, 'DeleteNetwork');
  if (!row.ok) return row;
  const { facts } = row.value;
  // An endpoint whose deletion is accepted is in nobody's way: the worker takes intents in order.
  const endpoints = [...(state.cells.get(facts.id)?.endpoints.keys() ?? [])].flatMap(
    (id) => state.endpoints.get(id) ?? [],
  );
  const living = endpoints.filter(({ status }) => status !== 'deleting');
  if (living.length === 0)
    return accept({ type: 'NetworkDeleteRequested', data: { networkId: facts.id, name: facts.name } });
  const detail = `network ${facts.name} has ${living.length} endpoint${living.length === 1 ? '' : 's'}`;
  return refuse('NETWORK_HAS_ENDPOINTS', detail, firstOf(living, culpritsMax).map(endpointCulprit));
};
