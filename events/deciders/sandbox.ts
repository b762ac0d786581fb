/** Decisions about sandboxes: joining and leaving one endpoint, attaching and detaching a whole sandbox, moving one to another network. */
import type { CommandData } from '../commands.ts';
import type { EndpointFacts, Fact, PublishedPort } from '../events.ts';
import { refuse } from '../refusals.ts';
import { type BoundaryState, findSandbox, type NetworkRow, type SandboxRow } from '../state.ts';
import {
  accept,
  type Context,
  type Decide,
  endpointCulprit,
  endpointFor,
  found,
  lostSandbox,
  movingSandbox,
  networkFor,
  ours,
  type Result,
  rulesOf,
  sandboxOf,
} from './context.ts';
import {
  type Draft,
  draftOf,
  electOf,
  join,
  leave,
  notThrough,
  sandboxDiffers,
  startDraft,
  withPorts,
} from './draft.ts';
import { deletion, newEndpoint } from './endpoint.ts';
import { isOutlet, needsOutlet, outletFacts, withoutIdleOutlet } from './outlet.ts';
import { outletNetwork } from './outlet-network.ts';
import { type Claims, claim, leasesFor, outletOf, type PortRequest } from './ports.ts';
import { admissionTo } from './realm.ts';

export { hostNetns } from './draft.ts';

const isHostDriver = (network: NetworkRow, context: Context): boolean =>
  rulesOf(network.facts.driver, context).sandbox === 'host';

export const joinEndpoint: Decide<'JoinEndpoint'> = (state, data, context) => {
  const target = endpointFor(state, data, 'JoinEndpoint');
  if (!target.ok) return target;
  const { network, endpoint } = target.value;
  const draft = startDraft(state, data, isHostDriver(network, context), context);
  if (!draft.ok) return draft;
  const joined = join(state, draft.value, { network, endpoint: endpoint.facts }, context);
  if (!joined.ok) return joined;
  const changed = { before: draft.value.members, draft: joined.value.draft };
  const outlet = outletFacts(state, changed, context);
  return outlet.ok ? accept(joined.value.fact, ...outlet.value) : outlet;
};

// ---------------------------------------------------------------- AttachSandbox

interface Attached {
  readonly network: NetworkRow;
  readonly endpoint: EndpointFacts;
}

/** An endpoint in each network. */
const attachedTo = (
  state: BoundaryState,
  { sandbox, networks }: CommandData<'AttachSandbox'>,
  claims: Claims,
  context: Context,
): Result<readonly Attached[]> => {
  const attached: Attached[] = [];
  for (const { network: ref, name = sandbox, ...options } of networks) {
    const network = networkFor(state, ref, 'CreateEndpoint');
    if (!network.ok) return network;
    const { id, name: networkName } = network.value.facts;
    if (attached.some((one) => one.network.facts.id === id))
      return refuse('SANDBOX_CONFLICT', `network ${networkName} stands twice in the command`, [
        { kind: 'network', id, name: networkName },
      ]);
    const endpoint = newEndpoint(state, network.value, { name, ...options }, 'attach', context, claims);
    if (!endpoint.ok) return endpoint;
    attached.push({ network: network.value, endpoint: endpoint.value });
  }
  return found(attached);
};

const isSamePort = (held: PublishedPort | undefined, wanted: PublishedPort): boolean =>
  JSON.stringify(held) === JSON.stringify({ ...wanted, hostPort: wanted.hostPort || (held?.hostPort ?? 0) });

/** The ports of the sandbox itself, led through whichever networks carry its default routes once all have joined. */
const sandboxPorts = (
  state: BoundaryState,
  draft: Draft,
  attached: readonly Attached[],
  ports: readonly PortRequest[],
  claims: Claims,
  context: Context,
): Result<Draft> => {
  if (ports.length === 0) return found(draft);
  const all = [...draft.members, ...attached];
  const own = all.filter((member) => !isOutlet(member));
  const gateways = electOf(own);
  const networkOf = (id: string | null) => own.find(({ endpoint }) => endpoint.id === id)?.network.facts ?? null;
  const way = needsOutlet(all) ? outletNetwork(state, context) : null;
  if (way && !way.ok) return way;
  const networks = { 4: way?.value.network ?? networkOf(gateways.ipv4), 6: networkOf(gateways.ipv6) };
  const outlet = outletOf(`sandbox ${draft.facts.id}`, networks, state, context);
  const leases = leasesFor(ports, outlet);
  if (!leases.ok) return leases;
  const row = state.sandboxes.get(draft.facts.incarnation);
  if (row) {
    const held = row.facts.ports;
    const isSame = held.length === leases.value.length && leases.value.every((port, at) => isSamePort(held[at], port));
    return isSame ? found(draft) : sandboxDiffers(row, 'ports');
  }
  return claim(state, claims, leases.value) ?? found(withPorts(draft, leases.value));
};

export const attachSandbox: Decide<'AttachSandbox'> = (state, data, context) => {
  const claims: Claims = new Map();
  const attached = attachedTo(state, data, claims, context);
  if (!attached.ok) return attached;
  const inHostNetns = attached.value.some(({ network }, index) => index === 0 && isHostDriver(network, context));
  const started = startDraft(state, data, inHostNetns, context);
  if (!started.ok) return started;
  const published = sandboxPorts(state, started.value, attached.value, data.ports, claims, context);
  if (!published.ok) return published;
  const facts: Fact[] = [];
  let draft = published.value;
  for (const { network, endpoint } of attached.value) {
    const others = attached.value.flatMap((one) => (one.endpoint === endpoint ? [] : (one.endpoint.interface ?? [])));
    const joined = join(state, draft, { network, endpoint, reserved: new Set(others) }, context);
    if (!joined.ok) return joined;
    draft = joined.value.draft;
    const admission = admissionTo(state, network, endpoint, context);
    if (!admission.ok) return admission;
    facts.push(...admission.value, { type: 'EndpointCreateRequested', data: { endpoint } }, joined.value.fact);
  }
  const way = outletFacts(state, { before: started.value.members, draft }, context);
  return way.ok ? accept(...facts, ...way.value) : way;
};

// ---------------------------------------------------------------- leaving

export const leaveEndpoint: Decide<'LeaveEndpoint'> = (state, data, context) => {
  const target = endpointFor(state, data, 'LeaveEndpoint');
  if (!target.ok) return target;
  const { endpoint } = target.value;
  const sandbox = sandboxOf(state, endpoint);
  if (!sandbox)
    return refuse('ENDPOINT_NOT_JOINED', `endpoint ${endpoint.facts.name} is in no sandbox`, [
      endpointCulprit(endpoint),
    ]);
  const draft = draftOf(state, sandbox);
  const left = leave(draft, endpoint);
  const way = outletFacts(state, { before: draft.members, draft: left.draft }, context);
  return way.ok ? accept(left.fact, ...way.value) : way;
};

const named = (state: BoundaryState, id: string): Result<SandboxRow> => {
  const row = findSandbox(state, id);
  if (!row) return refuse('SANDBOX_NOT_FOUND', `there is no sandbox ${id}`, [{ kind: 'sandbox', id }]);
  return movingSandbox(state, row) ?? found(row);
};

/** All endpoints leave, and those that attach has made go. */
export const detach = (state: BoundaryState, row: SandboxRow): readonly Fact[] => {
  let draft = draftOf(state, row);
  const facts: Fact[] = [];
  for (const memberId of row.members) {
    const endpoint = state.endpoints.get(memberId);
    if (!endpoint) continue;
    const left = leave(draft, endpoint);
    draft = left.draft;
    facts.push(left.fact);
    if (endpoint.facts.origin !== 'endpoint') facts.push(deletion(endpoint, 'detach'));
  }
  return facts;
};

export const detachSandbox: Decide<'DetachSandbox'> = (state, { sandbox: id }) => {
  const row = named(state, id);
  return row.ok ? accept(...detach(state, row.value)) : row;
};

// ---------------------------------------------------------------- MoveSandbox

/** The endpoint through which a sandbox is on a network: the first of them, should there be several. */
const memberIn = (state: BoundaryState, sandbox: SandboxRow, network: NetworkRow) =>
  sandbox.members
    .flatMap((id) => state.endpoints.get(id) ?? [])
    .find(({ facts }) => facts.networkId === network.facts.id) ?? notThrough(sandbox, network);

/** The new endpoint joins before the old one leaves, so that the sandbox lives on whatever becomes of it. */
export const moveSandbox: Decide<'MoveSandbox'> = (state, { sandbox: id, from, to }, context) => {
  const row = named(state, id);
  if (!row.ok) return row;
  const lost = lostSandbox(state, row.value);
  if (lost) return lost;
  const source = networkFor(state, from, null);
  if (!source.ok) return source;
  if (source.value.facts.outlet) return ours(source.value);
  const old = memberIn(state, row.value, source.value);
  if ('ok' in old) return old;
  const { network: ref, name = id, ...options } = to;
  const network = networkFor(state, ref, 'CreateEndpoint');
  if (!network.ok) return network;
  const endpoint = newEndpoint(state, network.value, { name, ...options }, 'attach', context, new Map());
  if (!endpoint.ok) return endpoint;
  const draft = draftOf(state, row.value);
  const arriving = { network: network.value, endpoint: endpoint.value };
  const staying = withoutIdleOutlet([
    ...draft.members.filter((member) => member.endpoint.id !== old.facts.id),
    arriving,
  ]);
  const instead = draft.members
    .map((member) => member.endpoint.id)
    .filter((one) => !staying.some(({ endpoint: { id } }) => id === one));
  const joined = join(state, draft, { ...arriving, instead }, context);
  if (!joined.ok) return joined;
  const admission = admissionTo(state, network.value, endpoint.value, context);
  if (!admission.ok) return admission;
  const left = leave(joined.value.draft, old);
  const gone = old.facts.origin === 'attach' ? [deletion(old, 'detach')] : [];
  const way = outletFacts(state, { before: draft.members, draft: left.draft }, context);
  if (!way.ok) return way;
  return accept(
    ...admission.value,
    { type: 'EndpointCreateRequested', data: { endpoint: endpoint.value } },
    joined.value.fact,
    left.fact,
    ...gone,
    ...way.value,
  );
};
