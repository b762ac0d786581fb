/** View `garbage`: endpoints in no sandbox, with since when, due when, why; `dueAt` null for those that never are. Key: the endpoint's id. */
import { garbageOf } from '../events/garbage.ts';
import { type EndpointRow, endpoints } from './endpoints.ts';
import type { At, Projection } from './projection.ts';

export interface GarbageRow {
  readonly endpointId: string;
  readonly endpoint: string;
  readonly host: string;
  readonly networkId: string;
  readonly network: string;
  readonly since: string;
  readonly dueAt: string | null;
  readonly reason: string;
  readonly lastSandbox: string | null;
  /** Step one of a collection has been taken. */
  readonly suspected: boolean;
  /** What both steps of a collection name, so that they fail when anything newer has happened to it. */
  readonly generation: number;
  /** What was asked for: of the endpoint, else of its network; null for the default. */
  readonly gc: 'off' | number | null;
  readonly changedPosition: number;
}

const garbageRow = (endpoint: EndpointRow, at: At): GarbageRow => {
  const { networkId, network, host, lastSandbox, suspected, generation, idleSince, gc: endpointGc } = endpoint;
  const networkGc = at.networks.get(networkId)?.gc ?? null;
  const everJoined = lastSandbox !== null;
  const verdict = garbageOf({ everJoined, idleSince, static: endpoint.static, endpointGc, networkGc });
  return {
    endpointId: endpoint.id,
    endpoint: endpoint.name,
    host,
    networkId,
    network,
    since: verdict.since,
    dueAt: verdict.dueAt,
    reason: verdict.reason,
    lastSandbox,
    suspected,
    generation,
    gc: endpointGc ?? networkGc,
    changedPosition: at.position,
  };
};

export const garbage: Projection<GarbageRow> = {
  name: 'garbage',
  version: 1,
  handles: endpoints.handles,
  apply: (rows, _event, at) => {
    const { endpointBefore: before } = at;
    if (!before) return;
    const after = at.endpoints.get(before.id);
    if (after === before) return;
    if (after?.status === 'created') rows.set(before.id, garbageRow(after, at));
    else if (before.status === 'created') rows.delete(before.id);
  },
  fields: ['endpointId', 'host', 'networkId', 'reason', 'lastSandbox', 'suspected', 'gc'],
  references: ['network', 'endpoint', 'sandbox'],
  refer: (row, reference) => {
    if (reference === 'network') return [row.network, row.networkId];
    return reference === 'endpoint' ? [row.endpoint, row.endpointId] : [row.lastSandbox];
  },
  keyOf: ({ endpointId }) => endpointId,
};
