/** The way out of a sandbox none of whose networks has one: an endpoint that comes and goes with the need for it (docs/adr/0016). */
import type { EndpointFacts, Fact, NetworkFacts } from '../events.ts';
import { addressPool, chooseAddress, macFromIpv4, withPrefix } from '../ipam.ts';
import { isAway } from '../reboots.ts';
import { refuse } from '../refusals.ts';
import { type BoundaryState, cellOf, type SandboxRow } from '../state.ts';
import { Journal } from '../table.ts';
import { accept, type Context, type Decide, driverFor, found, type Result, sandboxCulprit } from './context.ts';
import { type Draft, draftOf, electOf, join, leave, type Member } from './draft.ts';
import { deletion } from './endpoint.ts';
import { outletNetwork } from './outlet-network.ts';

type Part = Pick<Member, 'endpoint' | 'network'> & { readonly plug?: Member['plug'] };

export const isOutlet = ({ endpoint }: Pick<Member, 'endpoint'>): boolean => endpoint.origin === 'outlet';

/** What comes from an endpoint of this network leaves the host through another, if there is one; or its carrier leaves that to us. */
const wantsOutlet = ({ network: { facts }, plug = null }: Part): boolean =>
  !facts.internal && (facts.defaultRoute === 'outlet' || plug?.outlet === true);

/** Its carrier wants no other way out of the whole sandbox (libnetwork: DisableGatewayService). */
const forbidsOutlet = ({ plug = null }: Part): boolean => plug?.outlet === false;

/** Whether some network of a sandbox wants a way out that none of them is. */
export const needsOutlet = (members: readonly Part[]): boolean => {
  const others = members.filter((member) => !isOutlet(member));
  return !others.some(forbidsOutlet) && others.some(wantsOutlet) && electOf(others).ipv4 === null;
};

/** Of the members those that stay when the others are as they are: all but a way out that is not needed. */
export const withoutIdleOutlet = <M extends Part>(members: readonly M[]): readonly M[] =>
  needsOutlet(members) ? members : members.filter((member) => !isOutlet(member));

const endpointFor = (state: BoundaryState, network: NetworkFacts, context: Context): Result<EndpointFacts> => {
  const culprit = { kind: 'network', id: network.id, name: network.name };
  const rules = driverFor(network.driver, network.options, context, state.facts.get('host'));
  if (!rules.ok) return rules;
  const cell = cellOf(state, network.id);
  if ((cell?.endpoints.size ?? 0) >= rules.value.endpointsMax)
    return refuse('NETWORK_FULL', `the way out ${network.name} has all ${rules.value.endpointsMax} endpoints`, [
      culprit,
    ]);
  const [pool] = cell?.pools ?? network.subnets.map((subnet) => addressPool(new Journal(), subnet));
  if (!pool) return refuse('ADDRESS_POOL_EXHAUSTED', `the way out ${network.name} has no addresses`, [culprit]);
  const chosen = chooseAddress(pool, context);
  if (!chosen.ok) return { ...chosen, culprits: [culprit, ...chosen.culprits] };
  const { address } = chosen.value;
  const id = context.newId();
  return found({
    ...{ id, networkId: network.id, name: `gateway-${id}` },
    ...{ ipv4: withPrefix(pool, address), ipv6: null, mac: macFromIpv4(address), wanted: null, static: false },
    ...{ aliases: [], ports: [], gatewayPriority: 0, interface: null, sysctls: {}, linkLocal: [], routes: [] },
    ...{ links: {}, services: [], options: {}, labels: {}, gc: null, origin: 'outlet' },
  });
};

/** @param reserved interfaces that are still in the sandbox while it joins */
const comes = (
  state: BoundaryState,
  draft: Draft,
  reserved: readonly string[],
  context: Context,
): Result<readonly Fact[]> => {
  const way = outletNetwork(state, context);
  if (!way.ok) return way;
  const { network, isNew } = way.value;
  const endpoint = endpointFor(state, network, context);
  if (!endpoint.ok) return endpoint;
  const unmade = { actor: context.actor, intent: '', createdAt: '', update: null, isSettled: false } as const;
  const row = { facts: network, status: 'active', ...unmade } as const;
  const joined = join(state, draft, { network: row, endpoint: endpoint.value, reserved: new Set(reserved) }, context);
  if (!joined.ok) return joined;
  const made: readonly Fact[] = isNew ? [{ type: 'NetworkCreateRequested', data: { network } }] : [];
  return found([...made, { type: 'EndpointCreateRequested', data: { endpoint: endpoint.value } }, joined.value.fact]);
};

export interface Changed {
  readonly before: readonly Member[];
  /** As it is after what the command says. */
  readonly draft: Draft;
}

/**
 * What a change of a sandbox brings beside itself: an endpoint that leads out where none of its networks does , and the end of one that
 * is needed no more. Behind all other facts: what nobody executes must not come first in a command.
 */
export const outletFacts = (
  state: BoundaryState,
  { before, draft }: Changed,
  context: Context,
): Result<readonly Fact[]> => {
  const there = draft.members.find(isOutlet);
  const isNeeded = needsOutlet(draft.members);
  if (isNeeded === (there !== undefined)) return found([]);
  if (!there)
    return comes(
      state,
      draft,
      before.flatMap(({ interface: name }) => name ?? []),
      context,
    );
  const row = state.endpoints.get(there.endpoint.id);
  return found(row ? [leave(draft, row, before).fact, deletion(row, 'detach')] : []);
};

/** Whether a sandbox in which nothing is under way has a way out that it does not need, or needs one that it does not have. */
export const isAstray = (state: BoundaryState, row: SandboxRow): boolean => {
  if (row.status !== 'ready' || isAway(state, row) || state.occupants.get(row.facts.incarnation) !== row.members.length)
    return false;
  const { members } = draftOf(state, row);
  const isQuiet = members.every(({ endpoint: { id } }) => state.endpoints.get(id)?.status === 'joined');
  return isQuiet && needsOutlet(members) !== members.some(isOutlet);
};

/**
 * What a failure left of a sandbox: another command was decided on what then was not there. Or its way out was not known to be needed
 * before a plugin said so, or before this version. Decided anew, when everything else is over.
 */
export const mendSandbox: Decide<'MendSandbox'> = (state, { incarnation }, context) => {
  const row = state.sandboxes.get(incarnation);
  if (!row)
    return refuse('SANDBOX_NOT_FOUND', `there is no sandbox ${incarnation}`, [{ kind: 'sandbox', id: incarnation }]);
  if (!isAstray(state, row))
    return refuse('SANDBOX_FITS', `sandbox ${row.facts.id} is as it should be, or about to be`, [sandboxCulprit(row)]);
  const draft = draftOf(state, row);
  const facts = outletFacts(state, { before: draft.members, draft }, context);
  return facts.ok ? accept(...facts.value) : facts;
};
