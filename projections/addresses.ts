/**
 * View `addresses`: who holds which address in which network now; who held it before is asked of the same view as of then. An endpoint's
 * are held until its deletion is reported, a gateway's and the auxiliary ones as long as the network. Key: `NETWORK_ID/ADDRESS`.
 */
import type { NetworkFacts } from '../events/events.ts';
import type { EndpointRow } from './endpoints.ts';
import { type At, bareAddress, type Projection } from './projection.ts';

export interface AddressRow {
  readonly address: string;
  readonly family: 4 | 6;
  readonly host: string;
  readonly networkId: string;
  readonly network: string;
  readonly kind: 'endpoint' | 'gateway' | 'aux';
  /** Id and name of the endpoint; of an auxiliary address the name that it was given; of a gateway null. */
  readonly holderId: string | null;
  readonly holder: string | null;
  readonly mac: string | null;
  readonly since: string;
  readonly changedPosition: number;
}

type Rows = Map<string, AddressRow>;

const holdFor = (rows: Rows, endpoint: EndpointRow, family: 4 | 6, cidr: string | null): void => {
  if (cidr === null) return;
  const { host, networkId, network, id: holderId, name: holder, mac, createdAt: since, changedPosition } = endpoint;
  const address = bareAddress(cidr);
  const row = { address, family, host, networkId, network, holderId, holder, mac, since, changedPosition };
  rows.set(`${networkId}/${address}`, { ...row, kind: 'endpoint' });
};

const free = (rows: Rows, endpoint: EndpointRow, cidr: string | null): void => {
  if (cidr === null) return;
  const key = `${endpoint.networkId}/${bareAddress(cidr)}`;
  if (rows.get(key)?.holderId === endpoint.id) rows.delete(key);
};

const holdReserved = (rows: Rows, network: NetworkFacts, time: string, at: At): void => {
  const common = {
    host: at.host ?? '',
    networkId: network.id,
    network: network.name,
    holderId: null,
    mac: null,
    since: time,
    changedPosition: at.position,
  };
  for (const { family, gateway, aux } of network.subnets) {
    if (gateway !== null) {
      const address = bareAddress(gateway);
      rows.set(`${network.id}/${address}`, { ...common, address, family, kind: 'gateway', holder: null });
    }
    for (const [holder, text] of Object.entries(aux)) {
      const address = bareAddress(text);
      rows.set(`${network.id}/${address}`, { ...common, address, family, kind: 'aux', holder });
    }
  }
};

/** Gateways and auxiliary addresses go with their network: a walk over all rows, since networks go seldom. */
const freeReserved = (rows: Rows, networkId: string): void => {
  for (const [key, row] of rows) if (row.networkId === networkId && row.kind !== 'endpoint') rows.delete(key);
};

export const addresses: Projection<AddressRow> = {
  name: 'addresses',
  version: 1,
  handles: [
    'NetworkCreateRequested',
    'NetworkCreateFailed',
    'NetworkDeleted',
    'EndpointCreateRequested',
    'EndpointCreateFailed',
    'EndpointDeleted',
  ],
  apply: (rows, event, at) => {
    switch (event.type) {
      case 'NetworkCreateRequested':
        holdReserved(rows, event.data.network, event.meta.time, at);
        return;
      case 'NetworkCreateFailed':
      case 'NetworkDeleted':
        if (!at.networks.has(event.data.networkId)) freeReserved(rows, event.data.networkId);
        return;
      case 'EndpointCreateRequested': {
        const endpoint = at.endpoints.get(event.data.endpoint.id);
        if (!endpoint) return;
        holdFor(rows, endpoint, 4, endpoint.ipv4);
        holdFor(rows, endpoint, 6, endpoint.ipv6);
        return;
      }
      case 'EndpointCreateFailed':
      case 'EndpointDeleted': {
        const { before } = at;
        if (!before || at.endpoints.has(before.id)) return;
        free(rows, before, before.ipv4);
        free(rows, before, before.ipv6);
        return;
      }
      default:
        return;
    }
  },
  fields: ['address', 'family', 'host', 'networkId', 'kind', 'holder', 'mac'],
  references: ['network', 'endpoint'],
  refer: (row, reference) => {
    if (reference === 'network') return [row.network, row.networkId];
    return row.kind === 'endpoint' ? [row.holder, row.holderId] : [];
  },
};
