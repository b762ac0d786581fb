/** Filters over recorded events: what `cnm events`, `cnm history` and a watch ask for. */
import { cutsShort } from '../events/cut-short.ts';
import type { Event } from '../events/envelope.ts';
import type { Culprit, EventType } from '../events/events.ts';
import { fits } from '../events/fits.ts';
import { isPort, parsePort, portsNamedBy, type WantedPort } from './event-ports.ts';
import { isMeant, isNetwork } from './filter.ts';
import type { Labelled } from './labelled.ts';
import { bareAddress } from './projection.ts';

export interface EventFilter {
  readonly types?: ReadonlySet<EventType>;
  readonly host?: string;
  /** By name, HOST/NAME or id. */
  readonly network?: string;
  /** By name or id. */
  readonly endpoint?: string;
  /** By the caller's name or by incarnation. */
  readonly sandbox?: string;
  /** Events that name this address, and everything that happens to the endpoints that hold it. */
  readonly address?: string;
  /** Events that name this MAC address, in lower case, and everything that happens to the endpoints that hold it. */
  readonly mac?: string;
  /** `[HOST/]PROTO/PORT` or `PORT[/PROTO]`: events that name this host port, and everything that happens to whom it was given. */
  readonly port?: string;
  /** Id of the command that led to it. */
  readonly commandid?: string;
  /** Type of the command that led to it. */
  readonly command?: string;
  readonly actor?: string;
  readonly correlationid?: string;
}

/** What has to be known from before the first event that is looked at. Kept up to date by the matcher. */
export interface FilterMemory {
  /** Networks that `network` means: events of endpoints name their network by id alone. */
  readonly networkIds: Set<string>;
  /** Endpoints that hold `address` or `mac`, and endpoints and sandboxes (by incarnation) that have `port`. */
  readonly holders: Set<string>;
  /** Ids of endpoints and sandboxes that `endpoint` or `sandbox` means and that are there: ports are leased to ids alone. */
  readonly meant: Set<string>;
  /** Where labels are asked for: the things that have them. */
  readonly labelled?: Labelled;
}

export const emptyMemory = (): FilterMemory => ({ networkIds: new Set(), holders: new Set(), meant: new Set() });

const culpritsOf = (event: Event): readonly Culprit[] => (event.type === 'CommandRefused' ? event.data.culprits : []);

const culpritIds = (event: Event, kind: string): readonly string[] =>
  culpritsOf(event).flatMap((culprit) =>
    culprit.kind === kind ? [culprit.id, ...(culprit.name === undefined ? [] : [culprit.name])] : [],
  );

/** The networks that an event names, by id; in a refusal by name too. */
export const networkIdsOf = (event: Event): readonly string[] => {
  if (event.type === 'NetworkCreateRequested') return [event.data.network.id];
  if (event.type === 'EndpointCreateRequested') return [event.data.endpoint.networkId];
  if ('networkId' in event.data) return [event.data.networkId];
  if ('of' in event.data) return event.data.of.networkId === null ? [] : [event.data.of.networkId];
  if (event.type === 'LeaseRenewed' || event.type === 'LeaseSuspected')
    return event.data.network ? [event.data.network.id] : [];
  return event.type === 'HostLost' ? event.data.networks : culpritIds(event, 'network');
};

/** The endpoints that an event names, by name and id; in a lease of ports and with a lost host by id, in a refusal by what it says. */
export const endpointNamesOf = (event: Event): readonly string[] => {
  if (event.type === 'EndpointCreateRequested') return [event.data.endpoint.name, event.data.endpoint.id];
  if ('endpointId' in event.data) return [event.data.name, event.data.endpointId];
  if ('of' in event.data)
    return event.data.of.endpointId === null ? [] : [event.data.of.name, event.data.of.endpointId];
  if (event.type === 'HostLost') return event.data.endpoints;
  if (event.type === 'PortsLeased') return event.data.ports.map(({ holder }) => holder);
  return culpritIds(event, 'endpoint');
};

/** The sandboxes that an event names: the caller's name and the incarnation. */
export const sandboxNamesOf = (event: Event): readonly (string | null)[] => {
  if ('sandbox' in event.data) return [event.data.sandbox?.id ?? null, event.data.sandbox?.incarnation ?? null];
  if ('of' in event.data) return [event.data.of.sandbox?.id ?? null, event.data.of.sandbox?.incarnation ?? null];
  if (event.type === 'PortsLeased') return event.data.ports.map(({ holder }) => holder);
  if (event.type === 'HostLost') return event.data.sandboxes;
  if (event.type === 'EndpointSuspected') return [event.data.lastSandbox];
  if (event.type === 'EndpointDeleteRequested') return [event.data.garbage?.lastSandbox ?? null];
  return culpritIds(event, 'sandbox');
};

/** The addresses that an event names, with prefix length or without; empty text for none. */
export const addressesOf = (event: Event): readonly string[] => {
  switch (event.type) {
    case 'NetworkCreateRequested':
      return event.data.network.subnets.flatMap(({ gateway, aux }) => [gateway ?? '', ...Object.values(aux)]);
    case 'EndpointCreateRequested':
      return [event.data.endpoint.ipv4 ?? '', event.data.endpoint.ipv6 ?? ''];
    case 'NetworkSettled':
      return event.data.subnets.flatMap(({ gateway, aux }) => [gateway ?? '', ...Object.values(aux)]);
    case 'EndpointSettled':
    case 'EndpointJoined':
    case 'EndpointAdmitted':
      return [event.data.ipv4 ?? '', event.data.ipv6 ?? ''];
    default:
      return culpritIds(event, 'address');
  }
};

/** The MAC address that an event names; empty text for none. */
export const macOf = (event: Event): string => {
  if (event.type === 'EndpointCreateRequested') return event.data.endpoint.mac ?? '';
  return 'mac' in event.data ? (event.data.mac ?? '') : '';
};

/** Ids of the endpoint and of the sandbox that an event is about, where it is about any; with a lost host of all that it had. */
export const thingsOf = (event: Event): readonly string[] => {
  if (event.type === 'HostLost') return [...event.data.endpoints, ...event.data.sandboxes];
  const ids: string[] = [];
  if (event.type === 'EndpointCreateRequested') ids.push(event.data.endpoint.id);
  else if ('endpointId' in event.data) ids.push(event.data.endpointId);
  if ('sandbox' in event.data && event.data.sandbox) ids.push(event.data.sandbox.incarnation);
  if ('of' in event.data) {
    if (event.data.of.endpointId !== null) ids.push(event.data.of.endpointId);
    if (event.data.of.sandbox) ids.push(event.data.of.sandbox.incarnation);
  }
  return ids;
};

/** The thing that is gone with an event; empty text for none. */
export const endedBy = (event: Event): string => {
  if (event.type === 'EndpointDeleted' || event.type === 'EndpointCreateFailed') return event.data.endpointId;
  return event.type === 'SandboxRemoved' ? event.data.sandbox.incarnation : '';
};

/** Events that give an endpoint its addresses. */
const gives = (event: Event): boolean => event.type === 'EndpointCreateRequested' || event.type === 'EndpointSettled';

/** A host that is lost takes along whoever of it holds something. */
const endsHolder = (event: Event, holders: ReadonlySet<string>): boolean =>
  event.type === 'HostLost' && thingsOf(event).some((id) => holders.has(id));

const touchesAddress = (event: Event, address: string, holders: Set<string>): boolean => {
  const endpointId = endpointNamesOf(event)[1] ?? '';
  const named = addressesOf(event).some((text) => bareAddress(text) === address);
  if (named && gives(event)) holders.add(endpointId);
  return named || holders.has(endpointId) || endsHolder(event, holders);
};

const touchesMac = (event: Event, mac: string, holders: Set<string>): boolean => {
  const endpointId = endpointNamesOf(event)[1] ?? '';
  const named = macOf(event) === mac;
  if (named && gives(event)) holders.add(endpointId);
  return named || holders.has(endpointId) || endsHolder(event, holders);
};

const touchesPort = (event: Event, wanted: WantedPort, where: string | null, holders: Set<string>): boolean => {
  const named = portsNamedBy(event).filter((ports) => isPort(wanted, ports, where));
  for (const { holder } of named) if (holder !== null) holders.add(holder);
  return named.length > 0 || thingsOf(event).some((id) => holders.has(id));
};

/** Whom an event that passes is about, as long as it is there. */
const learnMeant = (event: Event, { endpoint, sandbox }: EventFilter, meant: Set<string>): void => {
  if (endpoint !== undefined) {
    if (event.type === 'EndpointCreateRequested') meant.add(event.data.endpoint.id);
    if (event.type === 'EndpointDeleted' || event.type === 'EndpointCreateFailed') meant.delete(event.data.endpointId);
  }
  if (sandbox === undefined) return;
  if (event.type === 'EndpointJoinRequested') meant.add(event.data.sandbox.incarnation);
  if (event.type === 'SandboxRemoved') meant.delete(event.data.sandbox.incarnation);
};

/**
 * A matcher for events in log order. It learns from what it sees, also from events that do not match, so it must be shown every event
 * from where its memory ends.
 */
export const createMatcher = (
  filter: EventFilter,
  memory: FilterMemory,
): ((event: Event, host: string | null) => boolean) => {
  const { types, host, network, endpoint, sandbox, address, commandid, command, actor, correlationid } = filter;
  const { mac, port } = filter;
  const wantedPort = port === undefined ? null : parsePort(port);
  const inNetwork = (event: Event, where: string | null): boolean => {
    if (network === undefined) return true;
    if (event.type === 'NetworkCreateRequested') {
      const { id, name } = event.data.network;
      if (isNetwork(network, [name, id], where)) memory.networkIds.add(id);
    }
    const ids = networkIdsOf(event);
    return ids.some((id) => memory.networkIds.has(id) || id === network);
  };
  /** Ports that the host has found for one that is meant, or its end with its host. Its network was looked at when it was learned. */
  const isFoundFor = (event: Event): boolean => {
    if (endpoint === undefined && sandbox === undefined) return false;
    if (event.type === 'HostLost') return thingsOf(event).some((id) => memory.meant.has(id));
    return event.type === 'PortsLeased' && event.data.ports.some(({ holder }) => memory.meant.has(holder));
  };
  const isEndpoint = (event: Event, where: string | null): boolean =>
    endpoint === undefined || isMeant('endpoint', endpoint, endpointNamesOf(event), where);
  const isSandbox = (event: Event): boolean => sandbox === undefined || sandboxNamesOf(event).includes(sandbox);
  const isCommand = (event: Event): boolean =>
    event.meta.commandid === commandid ||
    (cutsShort(event) && event.data.commandId === commandid) ||
    (event.type === 'HostLost' && event.data.commands.some(({ commandId }) => commandId === commandid));
  /** A holder that ends is one no longer, but what ends it is about it. */
  const touchesAll = (event: Event, where: string | null): boolean => {
    const { holders } = memory;
    const touched = [
      address === undefined || touchesAddress(event, address, holders),
      mac === undefined || touchesMac(event, mac, holders),
      port === undefined || (wantedPort !== null && touchesPort(event, wantedPort, where, holders)),
    ];
    holders.delete(endedBy(event));
    if (event.type === 'HostLost') for (const id of thingsOf(event)) holders.delete(id);
    return touched.every(Boolean);
  };
  const matches = (event: Event, where: string | null): boolean => {
    // These learn, so they come before anything that could answer without them.
    const inside = inNetwork(event, where);
    const touches = touchesAll(event, where);
    const isLabelled = memory.labelled?.concerns(event) ?? true;
    const isAbout = inside && isEndpoint(event, where) && isSandbox(event);
    if (isAbout) learnMeant(event, filter, memory.meant);
    return (
      (isAbout || isFoundFor(event)) &&
      touches &&
      isLabelled &&
      (types === undefined || types.has(event.type)) &&
      (host === undefined || host === where) &&
      (commandid === undefined || isCommand(event)) &&
      (command === undefined || event.meta.commandtype === command) &&
      (actor === undefined || event.meta.actor === actor) &&
      (correlationid === undefined || event.meta.correlationid === correlationid)
    );
  };
  return (event, where) => {
    try {
      return matches(event, where);
    } catch (error) {
      // What lacks the data of its type is about nothing that could be asked for.
      if (fits(event)) throw error;
      return false;
    }
  };
};
