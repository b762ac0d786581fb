/** The host ports that events name: what `port` of a filter over events, and the index, look at. */
import type { Event } from '../events/envelope.ts';
import type { PublishedPort } from '../events/events.ts';

/** Host ports `first` to `first + count - 1`. */
export interface NamedPorts {
  /** Id of the endpoint, or incarnation of the sandbox, that has them; null in a report of where they lead. */
  readonly holder: string | null;
  /** Null: the event names the number alone, the protocol stands in the intent that it answers. */
  readonly protocol: string | null;
  readonly first: number;
  readonly count: number;
}

type Lease = Pick<PublishedPort, 'protocol' | 'hostPort' | 'count'>;

const namedBy = (leases: readonly Lease[], holder: string | null): readonly NamedPorts[] =>
  leases
    .filter(({ hostPort }) => hostPort !== 0)
    .map(({ protocol, hostPort: first, count }) => ({ holder, protocol, first, count }));

const none: readonly NamedPorts[] = [];

/** A port that a refusal names: `tcp/8080`; other spellings are what somebody asked for, and nobody's port. */
const refused = (text: string): readonly NamedPorts[] => {
  const [, protocol = '', port = ''] = /^([a-z]+)\/(\d{1,5})$/.exec(text) ?? [];
  return port === '' ? none : [{ holder: null, protocol, first: Number(port), count: 1 }];
};

/** The host ports that an event names; ports that are still to be found are nobody's. */
export const portsNamedBy = (event: Event): readonly NamedPorts[] => {
  switch (event.type) {
    case 'EndpointCreateRequested':
      return namedBy(event.data.endpoint.ports, event.data.endpoint.id);
    case 'EndpointUpdateRequested':
      return namedBy(event.data.settings.ports, event.data.endpointId);
    case 'EndpointJoinRequested':
    case 'EndpointLeaveReverted':
      return namedBy(event.data.sandbox.ports, event.data.sandbox.incarnation);
    case 'EndpointJoined':
    case 'EndpointUpdated':
      return namedBy(event.data.ports, null);
    case 'PortsLeased':
      return event.data.ports.map(({ holder, hostPort: first }) => ({ holder, protocol: null, first, count: 1 }));
    case 'CommandRefused':
      return event.data.culprits.flatMap(({ kind, id }) => (kind === 'port' ? refused(id) : none));
    default:
      return none;
  }
};

/** A port as a filter asks for it; null for what is left out. */
export interface WantedPort {
  readonly host: string | null;
  readonly protocol: string | null;
  readonly port: number;
}

/** `HOST/PROTO/PORT`, `PROTO/PORT`, `PORT/PROTO` or `PORT`; null for anything else. */
export const parsePort = (text: string): WantedPort | null => {
  const [, host = null, before = null, port = '', behind = null] =
    /^(?:(?:([^/]+)\/)?(tcp|udp|sctp)\/)?(\d{1,5})(?:\/(tcp|udp|sctp))?$/.exec(text) ?? [];
  if (port === '' || Number(port) < 1 || Number(port) > 65_535 || (before !== null && behind !== null)) return null;
  return { host, protocol: before ?? behind, port: Number(port) };
};

/** Whether ports that an event of `host` names take in the one that is wanted. */
export const isPort = (wanted: WantedPort, { protocol, first, count }: NamedPorts, host: string | null): boolean =>
  (wanted.host === null || wanted.host === host) &&
  (wanted.protocol === null || protocol === null || wanted.protocol === protocol) &&
  wanted.port >= first &&
  wanted.port < first + count;
