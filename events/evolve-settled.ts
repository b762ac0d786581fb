/** How settled facts change endpoints: they take the place of what an intent left open, or of what was settled before. */
import type { EventOf } from './envelope.ts';
import { reelect } from './evolve-sandboxes.ts';
import { hold, release } from './holdings.ts';
import { takeLeased } from './leases.ts';
import { type BoundaryState, cellOf } from './state.ts';

const settleEndpoint = (state: BoundaryState, { data, meta }: EventOf<'EndpointSettled'>): void => {
  const row = state.endpoints.get(data.endpointId);
  const cell = cellOf(state, data.networkId);
  if (!row || !cell) return;
  const { ipv4, ipv6, mac } = data;
  const facts = { ...row.facts, ipv4, ipv6, mac };
  // What stays is never out of its hands: there is nothing that could rest.
  const kept = {
    ...row.facts,
    ipv4: row.facts.ipv4 === ipv4 ? null : row.facts.ipv4,
    ipv6: row.facts.ipv6 === ipv6 ? null : row.facts.ipv6,
    mac: row.facts.mac === mac ? null : row.facts.mac,
  };
  release(cell, kept, Date.parse(meta.time));
  hold(cell, facts);
  state.endpoints.set(data.endpointId, { ...row, facts, isSettled: true });
};

const settleJoin = (state: BoundaryState, { data }: EventOf<'JoinSettled'>): void => {
  const row = state.endpoints.get(data.endpointId);
  if (row?.sandbox?.joinId !== data.joinId) return;
  const sandbox = { ...row.sandbox, interface: data.interface };
  state.endpoints.set(data.endpointId, { ...row, sandbox, plug: { ...data.plug, joinId: data.joinId } });
  reelect(state, sandbox.incarnation);
};

export const evolveSettled = (
  state: BoundaryState,
  event: EventOf<'PortsLeased' | 'EndpointSettled' | 'JoinSettled'>,
): void => {
  if (event.type === 'PortsLeased') takeLeased(state, event.data);
  else if (event.type === 'JoinSettled') settleJoin(state, event);
  else settleEndpoint(state, event);
};
