/**
 * What plugins are asked before an intent is executed, in Docker's order, until what they have answered is settled. Each step leaves
 * behind what takes it back. What a plugin refused it has not done; what it did not answer, or not rightly, it may have done.
 */
import type { EventOf } from '../../events/envelope.ts';
import type { EndpointFacts, Fault, NetworkFacts, SandboxFacts } from '../../events/events.ts';
import { type BoundaryState, networkOf } from '../../events/state.ts';
import { bareAddress } from '../../projections/projection.ts';
import { type Called, faults } from '../plugins/fault.ts';
import { lentAddress } from '../plugins/ipam-messages.ts';
import type { PluginInterface } from '../plugins/network-messages.ts';
import type { CallOptions, Plugins } from '../plugins/plugins.ts';
import { createEndpointOf, joinOf, macOfId, refOf } from './consulting-requests.ts';
import { addressPartings, endpointParting, isForeign } from './gone.ts';
import type { Parting, Partings } from './parting.ts';
import type { AnswerOf, Settled, Settling } from './settling.ts';

/** What steps work with. */
export interface Desk {
  readonly realm: string;
  readonly state: BoundaryState;
  readonly plugins: Plugins;
  readonly settling: Settling;
  readonly partings: Partings;
  /** Whether somebody who is to stay has a pool or an address. */
  readonly isHeld: (parting: Parting) => boolean;
  /** Whether a network driver is a plugin's. */
  readonly isPlugin: (driver: string) => boolean;
  /** Why a plugin of addresses does not know what it has given, where it wants to be told after a start; null: it does, or need not. */
  readonly replayed: (ipam: string, options: CallOptions) => Promise<Fault | null>;
  /** Makes the namespace of a sandbox, where there is none yet. */
  readonly open: (sandbox: SandboxFacts) => Promise<Fault | null>;
}

/** One execution of a unit. */
export interface Run {
  readonly options: CallOptions & { readonly signal: AbortSignal };
  /** Another worker has begun it: what is not settled may have been asked for all the same. */
  readonly isInherited: boolean;
  /** Endpoints whose joins are settled: they were created before that. */
  readonly joined: ReadonlySet<string>;
  /** What takes back what was done so far; to be told from the end. */
  readonly undo: Parting[];
}

const families = [4, 6] as const;

/** Whether it may have been done although the answer is no good. */
export const mayBeDone = (called: Called<unknown>): boolean =>
  called.ok || (!called.isUnsent && called.fault.code !== 'PLUGIN_ERROR');

/** What became of a settlement, as a fault; null: it is settled, or given up. */
export const faultOfSettled = (settled: Settled | null, plugin: string): Fault | null =>
  settled === null || settled.ok ? null : faults.invalid(`the answer of plugin ${plugin}`, settled.text);

const requestAddresses = async (
  { plugins, replayed }: Desk,
  run: Run,
  network: NetworkFacts,
  endpoint: EndpointFacts,
): Promise<Called<PluginInterface>> => {
  const { driver } = network.ipam;
  const given = { ipv4: endpoint.ipv4, ipv6: endpoint.ipv6, mac: endpoint.mac };
  if (!isForeign(network)) return { ok: true, value: given };
  const untold = await replayed(driver, run.options);
  if (untold) return { ok: false, fault: untold };
  const ipam = plugins.ipam(driver);
  const capabilities = await ipam.capabilities(run.options);
  if (!capabilities.ok) return capabilities;
  if (capabilities.value.requiresMac) given.mac ??= macOfId(endpoint.id);
  for (const family of families) {
    const subnet = network.subnets.find((one) => one.family === family);
    if (subnet?.pool === null || subnet === undefined) continue;
    const request = {
      pool: { id: subnet.pool, subnet: subnet.subnet },
      address: endpoint.wanted?.[`ipv${family}`] ?? null,
      purpose: 'endpoint',
      mac: capabilities.value.requiresMac ? given.mac : null,
    } as const;
    const got = await ipam.requestAddress(request, run.options);
    const address = got.ok ? bareAddress(got.value.address) : lentAddress(got);
    if (address !== null) run.undo.push({ kind: 'address', plugin: driver, pool: subnet.pool, address });
    if (!got.ok) return got;
    given[`ipv${family}`] = got.value.address;
  }
  return { ok: true, value: given };
};

/** RequestAddress of each family, CreateEndpoint; settled when anything was learnt. */
export const prepareEndpoint = async (
  desk: Desk,
  run: Run,
  intent: EventOf<'EndpointCreateRequested'>,
): Promise<Fault | null> => {
  const { state, settling, partings, plugins, realm } = desk;
  const endpoint = state.endpoints.get(intent.data.endpoint.id)?.facts;
  const network = networkOf(state, intent.data.endpoint.networkId)?.facts;
  // What it stands on failed: whoever plans says so.
  if (!endpoint || !network) return null;
  const isPlugins = desk.isPlugin(network.driver);
  const gone = endpointParting('endpoint', network, endpoint);
  if (settling.isSettled(intent.meta.id, 'endpoint') || run.joined.has(endpoint.id)) {
    run.undo.push(...addressPartings(network, endpoint), ...(isPlugins ? [gone] : []));
    return null;
  }
  const missed = run.isInherited && isPlugins ? await partings.tellNow(gone, run.options) : null;
  if (missed) return missed;
  const given = await requestAddresses(desk, run, network, endpoint);
  if (!given.ok) return given.fault;
  let known = given.value;
  if (isPlugins) {
    const request = createEndpointOf(realm, network, endpoint, known);
    const created = await plugins.network(network.driver).createEndpoint(request, run.options);
    if (mayBeDone(created)) run.undo.push(gone);
    if (!created.ok) return created.fault;
    const { ipv4, ipv6, mac } = created.value;
    known = { ipv4: known.ipv4 ?? ipv4, ipv6: known.ipv6 ?? ipv6, mac: known.mac ?? mac };
  }
  const learnt = (['ipv4', 'ipv6', 'mac'] as const).some((field) => known[field] !== endpoint[field]);
  if (!learnt) return null;
  const settled = await settling.settle(intent, { kind: 'endpoint', ...known }, run.options.signal);
  return faultOfSettled(settled, isPlugins ? network.driver : network.ipam.driver);
};

/** Join, and what it said settled. */
export const prepareJoin = async (
  desk: Desk,
  run: Run,
  intent: EventOf<'EndpointJoinRequested'>,
): Promise<Fault | null> => {
  const { state, settling, partings, plugins, realm } = desk;
  const { endpointId, networkId, sandbox } = intent.data;
  const endpoint = state.endpoints.get(endpointId)?.facts;
  const network = networkOf(state, networkId)?.facts;
  if (!endpoint || !network || !desk.isPlugin(network.driver)) return null;
  const left = endpointParting('leave', network, endpoint);
  if (settling.isSettled(intent.meta.id, 'join')) {
    run.undo.push(left);
    return null;
  }
  const missed = run.isInherited ? await partings.tellNow(left, run.options) : null;
  if (missed) return missed;
  await partings.rejoining(network.driver, endpointId, run.options);
  const closed = await desk.open(sandbox);
  if (closed) return closed;
  const facts = state.sandboxes.get(sandbox.incarnation)?.facts ?? sandbox;
  const joined = await plugins.network(network.driver).join(joinOf(realm, endpoint, facts), run.options);
  if (mayBeDone(joined)) run.undo.push(left);
  if (!joined.ok) return joined.fault;
  const answer: AnswerOf<'join'> = { kind: 'join', ...joined.value, routes: [...joined.value.routes] };
  return faultOfSettled(await settling.settle(intent, answer, run.options.signal), network.driver);
};

/** Of an endpoint that is in a sandbox as it was: for a look at what the plugin says of it. */
export const lookAt = async (
  { plugins, realm, state }: Desk,
  endpointId: string,
  options: CallOptions,
): Promise<void> => {
  const endpoint = state.endpoints.get(endpointId)?.facts;
  const network = networkOf(state, endpoint?.networkId ?? '')?.facts;
  // Nothing depends on what is answered: Docker asks as well, and goes on whatever is said.
  if (endpoint && network) await plugins.network(network.driver).endpointOperInfo(refOf(realm, endpoint), options);
};

/** Whether an endpoint is in its sandbox and nothing is to happen to it. */
const isAtRest = ({ endpoints, intents }: BoundaryState, endpointId: string): boolean => {
  if (endpoints.get(endpointId)?.status !== 'joined') return false;
  for (const { data } of intents.values()) if ('endpointId' in data && data.endpointId === endpointId) return false;
  return true;
};

/** Leave and Join once more, for a link that was lost. @returns whether the plugin has made it under the name that is settled */
export const lendAgain = async (desk: Desk, endpointId: string, options: Run['options']): Promise<boolean> => {
  const { state, partings, plugins, realm } = desk;
  const row = state.endpoints.get(endpointId);
  const network = networkOf(state, row?.facts.networkId ?? '')?.facts;
  const sandbox = state.sandboxes.get(row?.sandbox?.incarnation ?? '')?.facts;
  if (!row || !network || !sandbox || !desk.isPlugin(network.driver) || !isAtRest(state, endpointId)) return false;
  if (await partings.tellNow(endpointParting('leave', network, row.facts), options)) return false;
  if (!isAtRest(state, endpointId)) return false;
  const joined = await plugins.network(network.driver).join(joinOf(realm, row.facts, sandbox), options);
  return joined.ok && joined.value.link === row.plug?.link;
};
