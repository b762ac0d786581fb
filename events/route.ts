/** Which boundary decides a command: that of the host it names, else the network's, else of the only host that can. Pure. */
import type { Command } from './commands.ts';
import type { DriverRules } from './driver-rules.ts';
import { isOfLog, type OfLog } from './log-commands.ts';
import { type Refusal, refuse } from './refusals.ts';
import {
  type BoundaryState,
  commandKey,
  findNetwork,
  findSandbox,
  type NetworkRow,
  namedIn,
  type SharedState,
} from './state.ts';

/** The boundary of a host, the one of no host, or that of a realm network. */
export type Place =
  | { readonly kind: 'host'; readonly host: string }
  | { readonly kind: 'realm' }
  | { readonly kind: 'network'; readonly id: string };
export type Routed = { readonly ok: true; readonly place: Place } | Refusal;

/** States by host name; hosts that no worker has reported on are not among them. */
export type Hosts = ReadonlyMap<string, BoundaryState>;

export interface Places {
  readonly hosts: Hosts;
  readonly shared: SharedState;
  readonly drivers: ReadonlyMap<string, DriverRules>;
}

const at = (host: string): Routed => ({ ok: true, place: { kind: 'host', host } });

const hostCulprits = (hosts: Iterable<string>) => [...hosts].slice(0, 10).map((id) => ({ kind: 'host', id }));

const named = (hosts: Hosts, host: string): Routed => {
  if (hosts.has(host)) return at(host);
  const known = [...hosts.keys()].join(', ') || 'none';
  return refuse('HOST_NOT_FOUND', `no worker reports for host ${host}; known: ${known}`, [{ kind: 'host', id: host }]);
};

const only = (hosts: Hosts): Routed => {
  const [first, ...others] = hosts.keys();
  if (first === undefined) return refuse('HOST_NOT_FOUND', 'no worker has reported for any host');
  if (others.length === 0) return at(first);
  return refuse('HOST_REQUIRED', `there are ${hosts.size} hosts: name one`, hostCulprits(hosts.keys()));
};

/** Hosts that can carry out networks of a driver with these options; all of them where none can, so that the refusal says what it lacks. */
const able = ({ hosts, drivers }: Places, driver: string, options: Readonly<Record<string, string>>): Hosts => {
  const rules = drivers.get(driver);
  const fit = [...hosts].filter(([, state]) => {
    const facts = state.facts.get('host');
    if (!rules) return facts?.drivers.includes(driver) === true;
    return rules.needs(options).every((capability) => facts?.capabilities[capability] === true);
  });
  return fit.length === 0 ? hosts : new Map(fit);
};

type Missing = 'NETWORK_NOT_FOUND' | 'ENDPOINT_NOT_FOUND' | 'SANDBOX_NOT_FOUND';

/** What no host has: the only host says so, so that the refusal stands in its log; of several, none. */
const nowhere = (hosts: Hosts, code: Missing, kind: string, id: string): Routed =>
  hosts.size > 1 ? refuse(code, `no host has ${kind} ${id}`, [{ kind, id }]) : only(hosts);

/**
 * The host where something exists.
 * @param ambiguous code of the refusal where several hosts have it
 * @param otherwise where none has it
 */
const where = (
  hosts: Hosts,
  what: string,
  exists: (state: BoundaryState) => boolean,
  ambiguous: 'NETWORK_AMBIGUOUS' | 'HOST_REQUIRED' = 'HOST_REQUIRED',
  otherwise: () => Routed = () => only(hosts),
): Routed => {
  const matches = [...hosts].filter(([, state]) => exists(state)).map(([host]) => host);
  const [match] = matches;
  if (match !== undefined && matches.length === 1) return at(match);
  if (matches.length > 1) return refuse(ambiguous, `${what} is on ${matches.join(' and ')}`, hostCulprits(matches));
  return otherwise();
};

/** Hosts that have a network of that name or id of their own. */
const owners = (hosts: Hosts, ref: string): readonly string[] =>
  [...hosts].filter(([, state]) => namedIn(state, ref) !== undefined).map(([host]) => host);

/** What a network's name means without a host: the one of the realm, or of a host. @param inRealm where the realm's is acted on */
const byNetwork = ({ hosts, shared }: Places, ref: string, inRealm: (row: NetworkRow) => Routed): Routed => {
  const slash = ref.indexOf('/');
  if (slash > 0) return named(hosts, ref.slice(0, slash));
  const row = namedIn(shared, ref);
  if (!row)
    return where(
      hosts,
      `network ${ref}`,
      (state) => namedIn(state, ref) !== undefined,
      'NETWORK_AMBIGUOUS',
      () => nowhere(hosts, 'NETWORK_NOT_FOUND', 'network', ref),
    );
  const own = owners(hosts, ref);
  if (own.length === 0) return inRealm(row);
  const { id, name } = row.facts;
  return refuse('NETWORK_AMBIGUOUS', `network ${ref} is in the realm, and on ${own.join(' and ')}`, [
    { kind: 'network', id, name },
    ...hostCulprits(own),
  ]);
};

const isOfRealm = ({ shared }: Places, ref: string): boolean => namedIn(shared, ref) !== undefined;

/** Where an endpoint of a realm network is. */
const byEndpoint = (places: Places, ref: string, endpoint: string): Routed =>
  byNetwork(places, ref, ({ facts }) => {
    const cell = places.shared.cells.get(facts.id);
    const host = cell?.endpoints.get(endpoint) ?? cell?.endpoints.get(cell.names.get(endpoint.toLowerCase()) ?? '');
    if (host !== undefined) return named(places.hosts, host);
    return nowhere(places.hosts, 'ENDPOINT_NOT_FOUND', 'endpoint', endpoint);
  });

/** The only host that can take part in a network of the realm. */
const onlyFor = (places: Places, { facts }: NetworkRow): Routed => only(able(places, facts.driver, facts.options));

/** Where a sandbox is. */
const bySandbox = (
  { hosts }: Places,
  id: string,
  otherwise = () => nowhere(hosts, 'SANDBOX_NOT_FOUND', 'sandbox', id),
): Routed => where(hosts, `sandbox ${id}`, (state) => findSandbox(state, id) !== undefined, 'HOST_REQUIRED', otherwise);

/** The network that a command changes or removes itself. */
const changedNetwork = (command: Command): string | null => {
  if (command.type === 'RenewLease') return command.data.network ?? null;
  return command.type === 'UpdateNetwork' || command.type === 'DeleteNetwork' ? command.data.network : null;
};

/** A network of the realm is changed and removed on its own boundary, whichever host it is seen from. */
const onRealm = (places: Places, command: Command, host: string): Routed => {
  const ref = changedNetwork(command);
  if (ref === null) return at(host);
  const state = places.hosts.get(host);
  const row = state && findNetwork(state, ref);
  return row?.facts.scope === 'realm' ? { ok: true, place: { kind: 'network', id: row.facts.id } } : at(host);
};

const ofRealm: Routed = { ok: true, place: { kind: 'realm' } };

const isRealmNetwork = ({ drivers }: Places, command: Command): boolean =>
  command.type === 'CreateNetwork' && drivers.get(command.data.driver)?.scope === 'realm';

/**
 * @param subjectHost the host in the command's subject, null where it names none
 * @param actor who sent the command
 */
export const routeCommand = (places: Places, command: Command, subjectHost: string | null, actor = ''): Routed => {
  // What is said of the log is said to no host.
  if (isOfLog(command)) return ofRealm;
  if (command.type === 'CancelCommand')
    return byCommand(places, commandKey(actor, command.data.commandId), subjectHost);
  if (command.type === 'DeclareHostLost') return named(places.hosts, command.data.host);
  if (command.type === 'RotateTunnelKeys' || isRealmNetwork(places, command)) {
    // What is for every host is so whichever host it is asked for from; only there has to be such a host.
    const from = subjectHost === null ? null : named(places.hosts, subjectHost);
    return from === null || from.ok ? ofRealm : from;
  }
  const routed = subjectHost === null ? unaddressed(places, command) : named(places.hosts, subjectHost);
  if (!routed.ok || routed.place.kind !== 'host') return routed;
  const { host } = routed.place;
  const stray = references(command).find((ref) => ref.includes('/') && !ref.startsWith(`${host}/`));
  if (stray === undefined) return onRealm(places, command, host);
  return refuse('NETWORK_NOT_FOUND', `network ${stray} is not on host ${host}`, [{ kind: 'network', id: stray }]);
};

/** Where a command was decided, whichever host the sender of this one has named. What no host knows, the realm may have decided. */
const byCommand = ({ hosts }: Places, key: string, subjectHost: string | null): Routed => {
  const from = subjectHost === null ? null : named(hosts, subjectHost);
  if (from && !from.ok) return from;
  return where(
    hosts,
    'the command',
    (state) => state.commands.has(key),
    'HOST_REQUIRED',
    () => ofRealm,
  );
};

/** The networks that a command names. */
const references = (command: Command): readonly string[] => {
  if (command.type === 'AttachSandbox') return command.data.networks.map(({ network }) => network);
  if (command.type === 'MoveSandbox') return [command.data.from, command.data.to.network];
  const ref = 'network' in command.data ? command.data.network : undefined;
  return ref === undefined ? [] : [ref];
};

const unaddressed = (
  places: Places,
  command: Exclude<Command, OfLog | { type: 'RotateTunnelKeys' | 'CancelCommand' | 'DeclareHostLost' }>,
): Routed => {
  const { hosts } = places;
  switch (command.type) {
    case 'ConfigureDriver':
      return only(able(places, command.data.driver, {}));
    case 'CreateNetwork':
      return only(able(places, command.data.driver, command.data.options));
    case 'PruneNetworks':
      return only(hosts);
    case 'UpdateNetwork':
    case 'DeleteNetwork':
      return byNetwork(places, command.data.network, ({ facts: { id } }) => ({
        ok: true,
        place: { kind: 'network', id },
      }));
    case 'CreateEndpoint':
      return byNetwork(places, command.data.network, (row) => onlyFor(places, row));
    case 'UpdateEndpoint':
    case 'DeleteEndpoint':
    case 'JoinEndpoint':
    case 'LeaveEndpoint':
      return byEndpoint(places, command.data.network, command.data.endpoint);
    case 'AttachSandbox': {
      const refs = command.data.networks.map(({ network }) => network);
      const ref = refs.find((one) => !isOfRealm(places, one)) ?? refs[0] ?? '';
      return byNetwork(places, ref, (row) => bySandbox(places, command.data.sandbox, () => onlyFor(places, row)));
    }
    case 'MoveSandbox':
      return byNetwork(places, command.data.from, () => bySandbox(places, command.data.sandbox));
    case 'DetachSandbox':
    case 'RestoreSandbox':
      return bySandbox(places, command.data.sandbox);
    case 'RenewLease': {
      const { sandbox, network } = command.data;
      if (network === undefined) return sandbox === undefined ? only(hosts) : bySandbox(places, sandbox);
      return byNetwork(places, network, ({ facts: { id } }) => ({ ok: true, place: { kind: 'network', id } }));
    }
    case 'LeasePorts':
    case 'SettleIntent':
      return where(hosts, 'the intent', (state) => state.intents.has(command.data.intent));
    case 'SuspectEndpoint':
    case 'CollectEndpoint':
      return where(hosts, 'the endpoint', (state) => state.endpoints.has(command.data.endpointId));
    case 'SuspectLease':
    case 'ExpireLease':
    case 'MendSandbox':
    case 'ReleaseSandbox':
      return where(hosts, 'the sandbox', (state) => state.sandboxes.has(command.data.incarnation));
    case 'LapseHost':
    case 'ResumeHost':
      return named(hosts, command.data.host);
    case 'ExpireCommand': {
      const key = commandKey(command.data.actor, command.data.commandId);
      return where(hosts, 'the command', (state) => state.progress.has(key));
    }
    default:
      return command satisfies never;
  }
};
