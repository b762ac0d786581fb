/** Decisions on quotas, and what they refuse. */
import type { Culprit, Fact } from '../events.ts';
import { countedLimits, endpointUse, networkUse, noUse, plus, portsOf, sandboxUse, type Use } from '../quotas.ts';
import { type Refusal, refuse } from '../refusals.ts';
import type { BoundaryState, SharedState } from '../state.ts';
import { accept, type Decide } from './context.ts';

/** The quota of everybody without one of their own. */
const everybody = '';

/** What an actor may have; undefined: as much as it likes. */
export const quotaOf = ({ quotas }: SharedState, actor: string) => quotas.get(actor) ?? quotas.get(everybody);

export const setQuota: Decide<'SetQuota'> = ({ shared }, data, { actor: sender, operators = null }) => {
  if (operators !== null && !operators.has(sender))
    return refuse('OPERATOR_ONLY', `actor ${sender} is no operator: quotas are not for it to set`, [
      { kind: 'actor', id: sender },
    ]);
  const { actor = null, limits } = data;
  const name = actor ?? everybody;
  if (limits === null) {
    if (shared.quotas.has(name)) return accept({ type: 'QuotaSet', data: { actor, limits } });
    return refuse('QUOTA_NOT_FOUND', `there is no quota of ${actor === null ? 'everybody' : `actor ${actor}`}`);
  }
  const { networks = null, endpoints = null, addresses = null, ports = null, rate = null, burst = null } = limits;
  return accept({ type: 'QuotaSet', data: { actor, limits: { networks, endpoints, addresses, ports, rate, burst } } });
};

/** What facts add to what their actor has; what they take from it, as a move does, makes room at once. */
const addedBy = (state: BoundaryState, actor: string, facts: readonly Fact[]): Use => {
  let added = noUse;
  const sandboxes = new Set<string>();
  for (const { type, data } of facts) {
    if (type === 'NetworkCreateRequested') added = plus(added, networkUse(data.network));
    if (type === 'EndpointCreateRequested') added = plus(added, endpointUse(data.endpoint));
    if (type === 'EndpointDeleteRequested') {
      const row = state.endpoints.get(data.endpointId);
      if (row?.actor === actor) added = plus(added, endpointUse(row.facts), -1);
    }
    if (type === 'EndpointUpdateRequested') {
      const before = portsOf(state.endpoints.get(data.endpointId)?.facts.ports ?? []);
      added = plus(added, { ...noUse, ports: portsOf(data.settings.ports) - before });
    }
    if (type === 'EndpointJoinRequested') {
      const { incarnation } = data.sandbox;
      if (!state.sandboxes.has(incarnation) && !sandboxes.has(incarnation))
        added = plus(added, sandboxUse(data.sandbox));
      sandboxes.add(incarnation);
    }
  }
  return added;
};

const holdersMax = 5;

/** The networks that most of an actor's endpoints are in, most first. Complexity: linear in the endpoints of the host. */
const holdersOf = (state: BoundaryState, actor: string): readonly Culprit[] => {
  const counts = new Map<string, number>();
  for (const row of state.endpoints.values())
    if (row.actor === actor) counts.set(row.facts.networkId, (counts.get(row.facts.networkId) ?? 0) + 1);
  return [...counts]
    .sort(([a, most], [b, more]) => more - most || (a < b ? -1 : 1))
    .slice(0, holdersMax)
    .map(([id, count]) => {
      const name = (state.networks.get(id) ?? state.shared.networks.get(id))?.facts.name;
      return { kind: 'network', id, ...(name === undefined ? {} : { name }), detail: `${count} endpoints of ${actor}` };
    });
};

/** The networks of an actor, the oldest first. */
const networksOf = (state: BoundaryState, actor: string): readonly Culprit[] =>
  [...state.networks.values(), ...state.shared.networks.values()]
    .filter((row) => row.actor === actor)
    .sort((a, b) => (a.createdAt < b.createdAt ? -1 : a.createdAt > b.createdAt ? 1 : a.facts.id < b.facts.id ? -1 : 1))
    .slice(0, holdersMax)
    .map(({ facts, createdAt }) => ({
      kind: 'network',
      id: facts.id,
      name: facts.name,
      detail: `created ${createdAt}`,
    }));

/** Why an actor may not have what facts would add; null: it may. */
export const overQuota = (state: BoundaryState, actor: string, facts: readonly Fact[]): Refusal | null => {
  const quota = state.shared.quotas.size === 0 ? undefined : quotaOf(state.shared, actor);
  if (!quota) return null;
  const used = state.shared.uses.get(actor) ?? noUse;
  const added = addedBy(state, actor, facts);
  for (const limit of countedLimits) {
    const most = quota[limit];
    if (most === null || added[limit] <= 0 || used[limit] + added[limit] <= most) continue;
    const detail = `actor ${actor} may have ${most} ${limit} and has ${used[limit]}: ${added[limit]} more are too many`;
    const holders = limit === 'networks' ? networksOf(state, actor) : holdersOf(state, actor);
    return refuse('QUOTA_EXCEEDED', detail, [
      { kind: 'quota', id: limit, detail: `${used[limit]} of ${most}` },
      ...holders,
    ]);
  }
  return null;
};
