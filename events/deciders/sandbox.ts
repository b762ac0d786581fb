/** Decisions about sandboxes: joining and leaving one endpoint, attaching and detaching a whole sandbox. */
import type { CommandData } from '../commands.ts';
import type { EndpointFacts, EventData, Fact, Gateways, PublishedPort, SandboxFacts } from '../events.ts';
import { type Refusal, refuse } from '../refusals.ts';
import { type BoundaryState, type EndpointRow, findSandbox, type NetworkRow, type SandboxRow } from '../state.ts';
import {
  accept,
  type Context,
  type Decide,
  driverFor,
  endpointCulprit,
  endpointFor,
  found,
  networkFor,
  type Result,
} from './context.ts';
import { deletion, newEndpoint } from './endpoint.ts';

type SandboxRequest = Pick<CommandData<'JoinEndpoint'>, 'sandbox' | 'netns' | 'hostname' | 'domainname'>;

/** The namespace of whichever process opens it: the host's own, for every process of the host, a container runtime included. */
export const hostNetns = '/proc/self/ns/net';

/** A sandbox while one decision adds endpoints to it. */
interface Draft {
  readonly facts: SandboxFacts;
  readonly members: readonly Member[];
  readonly gateways: Gateways;
}
interface Member {
  readonly endpoint: EndpointFacts;
  readonly network: NetworkRow;
  readonly interface: string | null;
}

const sandboxCulprit = (row: SandboxRow) => ({ kind: 'sandbox', id: row.facts.id, detail: row.facts.key });

/** Where a caller's namespace may lie: not among ours, and not where the path means another namespace to each who opens it. */
const checkNetns = (path: string, host: EventData<'HostFacts'> | undefined): Refusal | null => {
  const { netnsRoots = [], runDir = '' } = host ?? {};
  const isPlain = path.split('/').every((part, index) => (part !== '' || index === 0) && part !== '.' && part !== '..');
  const isOurs = path.startsWith(`${runDir}/netns/`);
  const isRelative = /^\/proc\/(self|thread-self)\//.test(path);
  if (isPlain && !isOurs && !isRelative && netnsRoots.some((root) => path.startsWith(`${root}/`))) return null;
  const why = isOurs ? 'is one of ours' : `is not a plain path under ${netnsRoots.join(', ')}`;
  return refuse('NETNS_INVALID', `${path} ${why}`, [{ kind: 'netns', id: path }]);
};

/** One namespace is one sandbox: two would both have an eth0 in it. O(sandboxes), and only where a namespace is brought. */
const netnsTaken = (state: BoundaryState, path: string): Refusal | null => {
  for (const row of state.sandboxes.values()) {
    if (row.facts.key === path && row.status !== 'removing')
      return refuse('SANDBOX_CONFLICT', `namespace ${path} is sandbox ${row.facts.id} already`, [sandboxCulprit(row)]);
  }
  return null;
};

/** What the sandbox already is must be what the command says of it. */
const conflict = (row: SandboxRow, request: SandboxRequest): Refusal | null => {
  const differs = (['hostname', 'domainname'] as const).find(
    (key) => request[key] !== undefined && request[key] !== row.facts[key],
  );
  const field = request.netns !== undefined && request.netns !== row.facts.key ? 'netns' : differs;
  if (field === undefined) return null;
  return refuse('SANDBOX_CONFLICT', `sandbox ${row.facts.id} exists with another ${field}`, [sandboxCulprit(row)]);
};

const draftOf = (state: BoundaryState, row: SandboxRow): Draft => ({
  facts: row.facts,
  gateways: row.gateways,
  members: row.members.flatMap((id) => {
    const endpoint = state.endpoints.get(id);
    const network = state.networks.get(endpoint?.facts.networkId ?? '');
    return endpoint && network
      ? [{ endpoint: endpoint.facts, network, interface: endpoint.sandbox?.interface ?? null }]
      : [];
  }),
});

const startDraft = (
  state: BoundaryState,
  request: SandboxRequest,
  inHostNetns: boolean,
  context: Context,
): Result<Draft> => {
  const row = findSandbox(state, request.sandbox);
  if (row) {
    const problem = conflict(row, request);
    return problem ?? found(draftOf(state, row));
  }
  const host = state.facts.get('host');
  const { netns } = request;
  const problem = netns === undefined ? null : (checkNetns(netns, host) ?? netnsTaken(state, netns));
  if (problem) return problem;
  const own = `${host?.runDir ?? ''}/netns/${request.sandbox}`;
  const facts: SandboxFacts = {
    id: request.sandbox,
    incarnation: context.newId(),
    key: request.netns ?? (inHostNetns ? hostNetns : own),
    owned: request.netns === undefined && !inHostNetns,
    hostname: request.hostname ?? null,
    domainname: request.domainname ?? null,
  };
  return found({ facts, members: [], gateways: { ipv4: null, ipv6: null } });
};

/** A network can carry the default route of a family when it has a gateway there and reaches beyond itself. */
const canCarry = (member: Member, family: 4 | 6): boolean =>
  !member.network.facts.internal &&
  member.network.facts.subnets.some((subnet) => subnet.family === family && subnet.gateway !== null);

/** The first member, in order of joining, that can carry the default route; the one that does so already stays. */
const electGateways = (members: readonly Member[], before: Gateways): Gateways => {
  const elect = (family: 4 | 6, current: string | null): string | null => {
    if (current !== null && members.some(({ endpoint }) => endpoint.id === current)) return current;
    return members.find((member) => canCarry(member, family))?.endpoint.id ?? null;
  };
  return { ipv4: elect(4, before.ipv4), ipv6: elect(6, before.ipv6) };
};

const freeInterface = (members: readonly Member[]): string => {
  const taken = new Set(members.map((member) => member.interface));
  for (let index = 0; ; index++) if (!taken.has(`eth${index}`)) return `eth${index}`;
};

/** Joins an endpoint: the intent, and the sandbox as it is afterwards. */
const join = (
  state: BoundaryState,
  draft: Draft,
  network: NetworkRow,
  endpoint: EndpointFacts,
  context: Context,
): Result<{ readonly fact: Fact; readonly draft: Draft }> => {
  const rules = driverFor(network.facts.driver, context, state.facts.get('host'));
  if (!rules.ok) return rules;
  const exclusive = [network, ...draft.members.map((member) => member.network)].find(
    (row) => context.drivers.get(row.facts.driver)?.exclusive === true,
  );
  if (exclusive && draft.members.length > 0) {
    const culprit = {
      kind: 'network',
      id: exclusive.facts.id,
      name: exclusive.facts.name,
      detail: exclusive.facts.driver,
    };
    return refuse(
      'SANDBOX_EXCLUSIVE',
      `a sandbox on network ${exclusive.facts.name} (${exclusive.facts.driver}) can be on no other`,
      [culprit],
    );
  }
  if (rules.value.sandbox === 'host' && draft.facts.key !== hostNetns) {
    return refuse('SANDBOX_CONFLICT', `sandbox ${draft.facts.id} has a namespace of its own, driver host has none`, [
      { kind: 'sandbox', id: draft.facts.id, detail: draft.facts.key },
    ]);
  }
  const member: Member = { endpoint, network, interface: rules.value.addresses ? freeInterface(draft.members) : null };
  const members = [...draft.members, member];
  const gateways = electGateways(members, draft.gateways);
  const { id: endpointId, networkId, name, ipv4, ipv6, mac } = endpoint;
  const data = {
    endpointId,
    networkId,
    name,
    joinId: context.newId(),
    sandbox: draft.facts,
    interface: member.interface,
    ipv4,
    ipv6,
    mac,
    gateways,
  };
  return found({ fact: { type: 'EndpointJoinRequested', data }, draft: { ...draft, members, gateways } });
};

const isHostDriver = (network: NetworkRow, context: Context): boolean =>
  context.drivers.get(network.facts.driver)?.sandbox === 'host';

export const joinEndpoint: Decide<'JoinEndpoint'> = (state, data, context) => {
  const target = endpointFor(state, data, 'JoinEndpoint');
  if (!target.ok) return target;
  const { network, endpoint } = target.value;
  const draft = startDraft(state, data, isHostDriver(network, context), context);
  if (!draft.ok) return draft;
  const joined = join(state, draft.value, network, endpoint.facts, context);
  return joined.ok ? accept(joined.value.fact) : joined;
};

export const attachSandbox: Decide<'AttachSandbox'> = (state, { networks, ...request }, context) => {
  let draft: Draft | null = null;
  const facts: Fact[] = [];
  const seen = new Set<string>();
  const claimed: PublishedPort[] = [];
  for (const { network: ref, name = request.sandbox, ...options } of networks) {
    const network = networkFor(state, ref, 'CreateEndpoint');
    if (!network.ok) return network;
    const { id } = network.value.facts;
    const culprit = { kind: 'network', id, name: network.value.facts.name };
    if (seen.has(id))
      return refuse('SANDBOX_CONFLICT', `network ${network.value.facts.name} stands twice in the command`, [culprit]);
    seen.add(id);
    const endpoint = newEndpoint(state, network.value, { name, ...options }, 'attach', context, claimed);
    if (!endpoint.ok) return endpoint;
    claimed.push(...endpoint.value.ports);
    if (draft === null) {
      const started = startDraft(state, request, isHostDriver(network.value, context), context);
      if (!started.ok) return started;
      draft = started.value;
    }
    const joined: ReturnType<typeof join> = join(state, draft, network.value, endpoint.value, context);
    if (!joined.ok) return joined;
    draft = joined.value.draft;
    facts.push({ type: 'EndpointCreateRequested', data: { endpoint: endpoint.value } }, joined.value.fact);
  }
  return accept(...facts);
};

/** Takes a member out of a sandbox: the intent, and the sandbox as it is afterwards. */
const leave = (draft: Draft, endpoint: EndpointRow): { readonly fact: Fact; readonly draft: Draft } => {
  const members = draft.members.filter((member) => member.endpoint.id !== endpoint.facts.id);
  const gateways = electGateways(members, draft.gateways);
  const { id: endpointId, networkId, name } = endpoint.facts;
  const { joinId = '', interface: device = null } = endpoint.sandbox ?? {};
  const data = {
    endpointId,
    networkId,
    name,
    joinId,
    sandbox: draft.facts,
    interface: device,
    last: members.length === 0,
    gateways,
  };
  return { fact: { type: 'EndpointLeaveRequested', data }, draft: { ...draft, members, gateways } };
};

const sandboxOf = (state: BoundaryState, row: EndpointRow): SandboxRow | undefined =>
  state.sandboxes.get(row.sandbox?.incarnation ?? '');

export const leaveEndpoint: Decide<'LeaveEndpoint'> = (state, data) => {
  const target = endpointFor(state, data, 'LeaveEndpoint');
  if (!target.ok) return target;
  const { endpoint } = target.value;
  const sandbox = sandboxOf(state, endpoint);
  if (!sandbox)
    return refuse('ENDPOINT_NOT_JOINED', `endpoint ${endpoint.facts.name} is in no sandbox`, [
      endpointCulprit(endpoint),
    ]);
  return accept(leave(draftOf(state, sandbox), endpoint).fact);
};

export const detachSandbox: Decide<'DetachSandbox'> = (state, { sandbox: id }) => {
  const row = findSandbox(state, id);
  if (!row) return refuse('SANDBOX_NOT_FOUND', `there is no sandbox ${id}`, [{ kind: 'sandbox', id }]);
  let draft = draftOf(state, row);
  const facts: Fact[] = [];
  for (const memberId of row.members) {
    const endpoint = state.endpoints.get(memberId);
    if (!endpoint) continue;
    const left = leave(draft, endpoint);
    draft = left.draft;
    facts.push(left.fact);
    if (endpoint.facts.origin === 'attach') facts.push(deletion(endpoint, 'detach'));
  }
  return accept(...facts);
};
