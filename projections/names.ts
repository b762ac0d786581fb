/**
 * View `names`: by which names each endpoint that is in a sandbox is found, from the report of its join to the report of its leave: what the
 * resolvers of its host answer to sandboxes of the same network. Key: the endpoint's id.
 */
import type { EventOf } from '../events/envelope.ts';
import type { EndpointFacts, SandboxFacts } from '../events/events.ts';
import { beforeUpdates } from '../events/updates.ts';
import type { EndpointRow } from './endpoints.ts';
import { type At, bareAddress, type Projection } from './projection.ts';

export interface NameRow {
  readonly endpointId: string;
  readonly endpoint: string;
  readonly host: string;
  readonly networkId: string;
  readonly network: string;
  readonly sandbox: string;
  readonly sandboxIncarnation: string;
  /** In lower case, since names are compared without case: its own, its aliases, its sandbox's hostname alone and with its domain. */
  readonly names: readonly string[];
  /** Names that its own sandbox has for others of the network. */
  readonly links: Readonly<Record<string, string>>;
  readonly ipv4: string | null;
  readonly ipv6: string | null;
  readonly since: string;
  readonly changedPosition: number;
}

/** What can be asked for and answered: letters, digits, `_`, `.` and `-`. */
const isName = (text: string): boolean => /^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_-])?$/.test(text);

/** The hostname of a sandbox, alone and with its domain. */
const hostnames = ({ hostname, domainname }: Pick<SandboxFacts, 'hostname' | 'domainname'>): readonly string[] => {
  if (hostname === null || hostname === '') return [];
  return domainname === null || domainname === '' ? [hostname] : [hostname, `${hostname}.${domainname}`];
};

const unnamed = { hostname: null, domainname: null } as const;

/** The names of an endpoint in a sandbox, in lower case, its own first; each once. */
export const namesOf = (
  { name, aliases }: Pick<EndpointFacts, 'name' | 'aliases'>,
  sandbox: Pick<SandboxFacts, 'hostname' | 'domainname'>,
): readonly string[] => {
  const texts = [name, ...aliases, ...hostnames(sandbox)].map((text) => text.toLowerCase().replace(/\.$/, ''));
  return texts.filter((text, index) => isName(text) && texts.indexOf(text) === index);
};

/** What an endpoint is called as long as its latest update is not reported: what it was called before. */
const namesNow = (endpoint: EndpointRow, sandbox: Pick<SandboxFacts, 'hostname' | 'domainname'>): readonly string[] => {
  const { name, update } = endpoint;
  const { aliases } = update === null ? endpoint : (beforeUpdates(update).at(-1) ?? endpoint);
  return namesOf({ name, aliases }, sandbox);
};

const rowOf = (
  endpoint: EndpointRow,
  { data: { sandbox: place }, meta }: EventOf<'EndpointJoined'>,
  at: At,
): NameRow => ({
  endpointId: endpoint.id,
  endpoint: endpoint.name,
  host: endpoint.host,
  networkId: endpoint.networkId,
  network: endpoint.network,
  sandbox: place.id,
  sandboxIncarnation: place.incarnation,
  names: namesNow(endpoint, at.sandboxes.get(place.incarnation) ?? unnamed),
  links: endpoint.links,
  ipv4: endpoint.ipv4 && bareAddress(endpoint.ipv4),
  ipv6: endpoint.ipv6 && bareAddress(endpoint.ipv6),
  since: meta.time,
  changedPosition: at.position,
});

export const names: Projection<NameRow> = {
  name: 'names',
  version: 1,
  handles: [
    'EndpointJoined',
    'EndpointUpdated',
    'EndpointLeft',
    'EndpointLeaveFailed',
    'EndpointJoinFailed',
    'EndpointCreateFailed',
    'EndpointDeleted',
  ],
  apply: (rows, event, at) => {
    const { endpointBefore: before } = at;
    if (!before) return;
    const endpoint = at.endpoints.get(before.id);
    // A way out has no names: nobody is to be found there.
    if (before.origin === 'outlet') return;
    if (endpoint && event.type === 'EndpointJoined') rows.set(before.id, rowOf(endpoint, event, at));
    else if (endpoint && event.type === 'EndpointUpdated') {
      const row = rows.get(before.id);
      const sandbox = at.sandboxes.get(row?.sandboxIncarnation ?? '') ?? unnamed;
      if (row) rows.set(before.id, { ...row, names: namesNow(endpoint, sandbox), changedPosition: at.position });
    } else rows.delete(before.id);
  },
  fields: ['endpointId', 'endpoint', 'host', 'networkId', 'sandbox', 'names', 'ipv4', 'ipv6'],
  references: ['network', 'endpoint', 'sandbox'],
  refer: (row, reference) => {
    if (reference === 'network') return [row.network, row.networkId];
    return reference === 'endpoint' ? [row.endpoint, row.endpointId] : [row.sandbox, row.sandboxIncarnation];
  },
  keyOf: ({ endpointId }) => endpointId,
};
