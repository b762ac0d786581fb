/**
 * View `addresses`: who holds which address in which network now; who held it before is asked of the same view as of then. An endpoint's
 * are held until its deletion is reported, a gateway's and the auxiliary ones as long as the network. Key: `NETWORK_ID/ADDRESS`.
 */
import type { NetworkFacts } from '../events/events.ts';
import type { EndpointRow } from './endpoints.ts';
import type { NetworkRow } from './networks.ts';
import { bareAddress, type Projection } from './projection.ts';

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
  const kind = 'endpoint';
  const row = {
    address,
    family,
    host,
    networkId,
    network,
    holderId,
    holder,
    mac,
    since,
    changedPosition,
    kind,
  } as const;
  rows.set(`${networkId}/${address}`, row);
};

const free = (rows: Rows, endpoint: EndpointRow, cidr: string | null): void => {
  if (cidr === null) return;
  const key = `${endpoint.networkId}/${bareAddress(cidr)}`;
  if (rows.get(key)?.holderId === endpoint.id) rows.delete(key);
};

/** A network's own addresses, with the name that each was given; of a gateway none. */
const reserved = function* (
  network: NetworkFacts,
): Generator<Pick<AddressRow, 'address' | 'family' | 'kind' | 'holder'>> {
  // The subnets of a network that only holds settings are for others.
  if (network.configOnly) return;
  for (const { family, gateway, aux } of network.subnets) {
    if (gateway !== null) yield { address: bareAddress(gateway), family, kind: 'gateway', holder: null };
    for (const [holder, text] of Object.entries(aux)) {
      yield { address: bareAddress(text), family, kind: 'aux', holder };
    }
  }
};

const holdReserved = (rows: Rows, network: NetworkRow): void => {
  const { host, id: networkId, name, createdAt: since, changedPosition } = network;
  for (const own of reserved(network)) {
    const row = { ...own, host, networkId, network: name, holderId: null, mac: null, since, changedPosition };
    rows.set(`${networkId}/${own.address}`, row);
  }
};

const freeReserved = (rows: Rows, network: NetworkRow): void => {
  for (const { address } of reserved(network)) {
    const key = `${network.id}/${address}`;
    if (rows.get(key)?.kind !== 'endpoint') rows.delete(key);
  }
};

const holdAll = (rows: Rows, endpoint: EndpointRow): void => {
  holdFor(rows, endpoint, 4, endpoint.ipv4);
  holdFor(rows, endpoint, 6, endpoint.ipv6);
};

const freeAll = (rows: Rows, endpoint: EndpointRow): void => {
  free(rows, endpoint, endpoint.ipv4);
  free(rows, endpoint, endpoint.ipv6);
};

export const addresses: Projection<AddressRow> = {
  name: 'addresses',
  version: 1,
  handles: [
    'NetworkCreateRequested',
    'NetworkSettled',
    'EndpointSettled',
    'NetworkCreateFailed',
    'NetworkDeleted',
    'EndpointCreateRequested',
    'EndpointCreateFailed',
    'EndpointDeleted',
  ],
  apply: (rows, event, at) => {
    const { networkBefore, endpointBefore } = at;
    switch (event.type) {
      case 'NetworkCreateRequested': {
        const network = at.networks.get(event.data.network.id);
        if (network && !networkBefore) holdReserved(rows, network);
        return;
      }
      case 'EndpointCreateRequested': {
        const endpoint = at.endpoints.get(event.data.endpoint.id);
        if (!endpoint || endpointBefore) return;
        holdAll(rows, endpoint);
        return;
      }
      case 'NetworkSettled': {
        const network = at.networks.get(event.data.networkId);
        if (!network || !networkBefore) return;
        freeReserved(rows, networkBefore);
        holdReserved(rows, network);
        return;
      }
      case 'EndpointSettled': {
        const endpoint = at.endpoints.get(event.data.endpointId);
        if (!endpoint || !endpointBefore) return;
        freeAll(rows, endpointBefore);
        holdAll(rows, endpoint);
        return;
      }
      default:
        if (networkBefore && !at.networks.has(networkBefore.id)) freeReserved(rows, networkBefore);
        if (endpointBefore && !at.endpoints.has(endpointBefore.id)) freeAll(rows, endpointBefore);
    }
  },
  fields: ['address', 'family', 'host', 'networkId', 'kind', 'holder', 'mac'],
  references: ['network', 'endpoint'],
  refer: (row, reference) => {
    if (reference === 'network') return [row.network, row.networkId];
    return row.kind === 'endpoint' ? [row.holder, row.holderId] : [];
  },
};
