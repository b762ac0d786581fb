/** Networks that go: by name, or because nobody uses them. */
import type { Fact, NetworkFacts } from '../events.ts';
import { stillRuns } from '../lifetime.ts';
import { refuse } from '../refusals.ts';
import { type BoundaryState, cellOf, type EndpointRow, isMoving, isRecordOnly } from '../state.ts';
import {
  accept,
  type Context,
  type Decide,
  endpointCulprit,
  endpointIn,
  firstOf,
  networkCulprit,
  networkFor,
  sandboxOf,
} from './context.ts';
import { usersOf } from './network-config.ts';

/** How many culprits a refusal lists. */
const culpritsMax = 10;

/** Its endpoints that are not being deleted: the others are in nobody's way, since the worker takes intents in order. */
const livingIn = (state: BoundaryState, networkId: string, context: Context): readonly EndpointRow[] =>
  [...(cellOf(state, networkId)?.endpoints.keys() ?? [])]
    .flatMap((id) => endpointIn(state, networkId, id, context) ?? [])
    .filter(({ home, row }) => row.status !== 'deleting' || isMoving(home, sandboxOf(home, row)))
    .map(({ row }) => row);

export const deleteNetwork: Decide<'DeleteNetwork'> = (state, { network, renewals }, context) => {
  const row = networkFor(state, network, 'DeleteNetwork');
  if (!row.ok) return row;
  const running = renewals === undefined ? null : stillRuns(row.value.lease, renewals, context.nowMs);
  if (running !== null)
    return refuse('LEASE_RUNNING', `the lease of network ${row.value.facts.name} ${running}`, [
      networkCulprit(row.value),
    ]);
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
