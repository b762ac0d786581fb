/** A sandbox while one decision adds endpoints to it or takes them out: what each join and leave says stands on the one before. */
import type { CommandData } from '../commands.ts';
import type { EndpointFacts, EventData, Fact, Gateways, Plug, PublishedPort, SandboxFacts } from '../events.ts';
import { electGateways } from '../gateways.ts';
import { type Refusal, refuse } from '../refusals.ts';
import {
  type BoundaryState,
  type EndpointRow,
  findSandbox,
  type NetworkRow,
  networkOf,
  plugOf,
  type SandboxRow,
} from '../state.ts';
import {
  type Context,
  driverOf,
  found,
  lostSandbox,
  movingSandbox,
  networkCulprit,
  type Result,
  rulesOf,
  sandboxCulprit,
} from './context.ts';
import { noRoom } from './room.ts';
import { checkHostNames, dnsOf, extraHostsOf } from './settings.ts';

export type SandboxRequest = Pick<
  CommandData<'JoinEndpoint'>,
  'sandbox' | 'netns' | 'hostname' | 'domainname' | 'dns' | 'extraHosts' | 'owner' | 'leaseMs' | 'afterReboot'
>;

/** The namespace of whichever process opens it: the host's own, for every process of the host, a container runtime included. */
export const hostNetns = '/proc/self/ns/net';

export interface Draft {
  readonly facts: SandboxFacts;
  readonly members: readonly Member[];
  readonly gateways: Gateways;
}
export interface Member {
  readonly endpoint: EndpointFacts;
  readonly network: NetworkRow;
  readonly interface: string | null;
  /** What its carrier said of its join. */
  readonly plug: Plug | null;
}

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
    if (row.facts.key === path && findSandbox(state, row.facts.id) === row)
      return refuse('SANDBOX_CONFLICT', `namespace ${path} is sandbox ${row.facts.id} already`, [sandboxCulprit(row)]);
  }
  return null;
};

export const sandboxDiffers = (row: SandboxRow, field: string): Refusal =>
  refuse('SANDBOX_CONFLICT', `sandbox ${row.facts.id} exists with other ${field}`, [sandboxCulprit(row)]);

type Said = Pick<SandboxFacts, 'dns' | 'extraHosts'>;

/** What the sandbox already is must be what the command says of it. */
const conflict = (row: SandboxRow, request: SandboxRequest, said: Said): Refusal | null => {
  const isOther = (wanted: unknown, actual: unknown) => JSON.stringify(wanted) !== JSON.stringify(actual);
  const { facts } = row;
  if (request.netns !== undefined && request.netns !== facts.key) return sandboxDiffers(row, 'netns');
  if (request.hostname !== undefined && request.hostname !== facts.hostname) return sandboxDiffers(row, 'hostname');
  if (request.domainname !== undefined && request.domainname !== facts.domainname)
    return sandboxDiffers(row, 'domainname');
  if (request.dns !== undefined && isOther(said.dns, facts.dns)) return sandboxDiffers(row, 'dns');
  if (request.extraHosts !== undefined && isOther(said.extraHosts, facts.extraHosts))
    return sandboxDiffers(row, 'extraHosts');
  for (const field of ['owner', 'leaseMs', 'afterReboot'] as const)
    if (request[field] !== undefined && request[field] !== facts[field]) return sandboxDiffers(row, field);
  return null;
};

export const draftOf = (state: BoundaryState, row: SandboxRow): Draft => ({
  facts: row.facts,
  gateways: row.gateways,
  members: row.members.flatMap((id) => {
    const endpoint = state.endpoints.get(id);
    const network = networkOf(state, endpoint?.facts.networkId ?? '');
    return endpoint && network
      ? [{ endpoint: endpoint.facts, network, interface: endpoint.sandbox?.interface ?? null, plug: plugOf(endpoint) }]
      : [];
  }),
});

/** A sandbox that the log has lost may be at that path still. */
const heldBy = ({ regressed }: BoundaryState, key: string): Refusal | null => {
  const held = regressed.get('log')?.held.find(({ names }) => names.includes(key));
  return held
    ? refuse('SANDBOX_CONFLICT', `${key} is held for what an older copy of the log does not know`, [
        { kind: 'sandbox', id: held.id, detail: key },
      ])
    : null;
};

/** The sandbox that a command names, as it is or as it will be made. Its ports are another matter: they depend on its networks. */
export const startDraft = (
  state: BoundaryState,
  request: SandboxRequest,
  inHostNetns: boolean,
  context: Context,
): Result<Draft> => {
  const dns = dnsOf(request.dns);
  if (!dns.ok) return dns;
  const extraHosts = extraHostsOf(request.extraHosts);
  if (!extraHosts.ok) return extraHosts;
  const unnamed = checkHostNames(request);
  if (unnamed) return unnamed;
  const said = { dns: dns.value, extraHosts: extraHosts.value };
  const row = findSandbox(state, request.sandbox);
  if (row)
    return (
      movingSandbox(state, row) ?? lostSandbox(state, row) ?? conflict(row, request, said) ?? found(draftOf(state, row))
    );
  const host = state.facts.get('host');
  const { netns } = request;
  const problem = netns === undefined ? null : (checkNetns(netns, host) ?? netnsTaken(state, netns));
  if (problem) return problem;
  const runDir = host?.runDir ?? '';
  const key = netns ?? (inHostNetns ? hostNetns : `${runDir}/netns/${request.sandbox}`);
  const held = heldBy(state, key);
  if (held) return held;
  const incarnation = context.newId();
  const isHost = inHostNetns && netns === undefined;
  const facts: SandboxFacts = {
    id: request.sandbox,
    incarnation,
    key,
    owned: netns === undefined && !inHostNetns,
    hostname: request.hostname ?? null,
    domainname: request.domainname ?? null,
    ...said,
    ports: [],
    owner: request.owner ?? null,
    leaseMs: request.leaseMs ?? null,
    afterReboot: request.afterReboot ?? 'recreate',
    files: isHost ? null : `${runDir}/files/${incarnation}`,
  };
  return found({ facts, members: [], gateways: { ipv4: null, ipv6: null } });
};

export const withPorts = (draft: Draft, ports: readonly PublishedPort[]): Draft => ({
  ...draft,
  facts: { ...draft.facts, ports: [...ports] },
});

/** @param members one that is to join has no plug yet */
export const electOf = (members: readonly (Pick<Member, 'endpoint' | 'network'> & Partial<Member>)[]): Gateways =>
  electGateways(
    members.map(({ endpoint: { id, gatewayPriority }, network, plug = null }) => ({
      ...{ id, gatewayPriority, network: network.facts, plug },
    })),
  );

// ---------------------------------------------------------------- interfaces

/** Names that a namespace has already, or that its sysctl folders have. */
const reservedNames: ReadonlySet<string> = new Set(['lo', 'all', 'default']);

/** The name of a new interface: the one that is wanted, else the prefix and the first number that is free. */
export const interfaceFor = (
  members: readonly Member[],
  wanted: string | null,
  prefix: string,
  reserved: ReadonlySet<string>,
): Result<string> => {
  if (wanted === null) {
    const taken = new Set(members.map((member) => member.interface ?? member.endpoint.interface));
    for (let index = 0; ; index++) {
      const name = `${prefix}${index}`;
      if (!taken.has(name) && !reserved.has(name)) return found(name);
    }
  }
  if (reservedNames.has(wanted))
    return refuse('INTERFACE_IN_USE', `${wanted} means something else in every network namespace`, [
      { kind: 'interface', id: wanted },
    ]);
  const holder = members.find((member) => (member.interface ?? member.endpoint.interface) === wanted);
  if (!holder) return found(wanted);
  const { id, name } = holder.endpoint;
  return refuse('INTERFACE_IN_USE', `interface ${wanted} of the sandbox is that of endpoint ${name}`, [
    { kind: 'endpoint', id, name, detail: wanted },
  ]);
};

/** Two interfaces cannot both lead to one destination. */
export const routeTaken = (members: readonly Member[], endpoint: EndpointFacts): Refusal | null => {
  for (const { endpoint: other, network, plug } of members) {
    const theirs = new Set([
      ...[...other.routes, ...(plug?.routes ?? [])].map(({ destination }) => destination),
      ...network.facts.subnets.map(({ subnet }) => subnet),
    ]);
    const clash = endpoint.routes.find(({ destination }) => theirs.has(destination));
    if (clash)
      return refuse('ROUTE_INVALID', `endpoint ${other.name} of the sandbox leads to ${clash.destination} already`, [
        { kind: 'endpoint', id: other.id, name: other.name, detail: clash.destination },
      ]);
  }
  return null;
};

// ---------------------------------------------------------------- joining and leaving

const exclusiveConflict = (members: readonly Member[], network: NetworkRow, context: Context): Refusal | null => {
  if (members.length === 0) return null;
  const exclusive = [network, ...members.map((member) => member.network)].find(
    (row) => rulesOf(row.facts.driver, context).exclusive,
  );
  if (!exclusive) return null;
  const { id, name, driver: detail } = exclusive.facts;
  return refuse('SANDBOX_EXCLUSIVE', `a sandbox on network ${name} (${detail}) can be on no other`, [
    { kind: 'network', id, name, detail },
  ]);
};

export interface Joining {
  readonly network: NetworkRow;
  readonly endpoint: EndpointFacts;
  /** Names of interfaces that the command asks for elsewhere. */
  readonly reserved?: ReadonlySet<string>;
  /** The endpoints that the same command takes out. */
  readonly instead?: readonly string[];
}

/** Joins an endpoint: the intent, and the sandbox as it is afterwards. */
export const join = (
  state: BoundaryState,
  draft: Draft,
  { network, endpoint, reserved = new Set(), instead = [] }: Joining,
  context: Context,
): Result<{ readonly fact: Fact; readonly draft: Draft }> => {
  const rules = driverOf(network.facts, context, state.facts.get('host'));
  if (!rules.ok) return rules;
  const staying = draft.members.filter((member) => !instead.includes(member.endpoint.id));
  const problem =
    exclusiveConflict(staying, network, context) ??
    routeTaken(staying, endpoint) ??
    noRoom(state, network, rules.value);
  if (problem) return problem;
  if (rules.value.sandbox === 'host' && draft.facts.key !== hostNetns) {
    return refuse('SANDBOX_CONFLICT', `sandbox ${draft.facts.id} has a namespace of its own, driver host has none`, [
      { kind: 'sandbox', id: draft.facts.id, detail: draft.facts.key },
    ]);
  }
  const device: Result<string | null> = rules.value.addresses
    ? interfaceFor(draft.members, endpoint.interface, rules.value.interfacePrefix(network.facts), reserved)
    : found(null);
  if (!device.ok) return device;
  // Whether there is one at all is for its carrier to say.
  const name = rules.value.remote ? null : device.value;
  const members = [...draft.members, { endpoint, network, interface: name, plug: null }];
  const gateways = electOf(members);
  const { id: endpointId, networkId, ipv4, ipv6, mac } = endpoint;
  const data = {
    ...{ endpointId, networkId, name: endpoint.name, joinId: context.newId(), sandbox: draft.facts },
    ...{ interface: name, ipv4, ipv6, mac, gateways },
  };
  return found({ fact: { type: 'EndpointJoinRequested', data }, draft: { ...draft, members, gateways } });
};

/**
 * Takes a member out of a sandbox: the intent, and the sandbox as it is afterwards.
 * @param among the members when the command came: its place among them is what it goes back to
 */
export const leave = (
  draft: Draft,
  endpoint: EndpointRow,
  among = draft.members,
): { readonly fact: Fact; readonly draft: Draft } => {
  const index = among.findIndex((member) => member.endpoint.id === endpoint.facts.id);
  const members = draft.members.filter((member) => member.endpoint.id !== endpoint.facts.id);
  const gateways = electOf(members);
  const { id: endpointId, networkId, name } = endpoint.facts;
  const { joinId = '', interface: device = null } = endpoint.sandbox ?? {};
  const data = {
    ...{ endpointId, networkId, name, joinId, sandbox: draft.facts, interface: device, last: members.length === 0 },
    ...{ gateways, before: { index: Math.max(0, index), gateways: draft.gateways } },
  };
  return { fact: { type: 'EndpointLeaveRequested', data }, draft: { ...draft, members, gateways } };
};

/** A refusal's culprit for an endpoint that is not in the sandbox through that network. */
export const notThrough = (sandbox: SandboxRow, network: NetworkRow): Refusal =>
  refuse('ENDPOINT_NOT_JOINED', `sandbox ${sandbox.facts.id} is not on network ${network.facts.name}`, [
    networkCulprit(network),
    sandboxCulprit(sandbox),
  ]);
