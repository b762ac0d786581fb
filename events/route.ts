/** Which host's boundary decides a command: the host it names, else the network's, else the only one. Pure. */
import type { Command } from './commands.ts';
import { type Refusal, refuse } from './refusals.ts';
import { type BoundaryState, commandKey, findNetwork, findSandbox } from './state.ts';

export type Routed = { readonly ok: true; readonly host: string } | Refusal;

/** States by host name; hosts that no worker has reported on are not among them. */
export type Hosts = ReadonlyMap<string, BoundaryState>;

const hostCulprits = (hosts: Iterable<string>) => [...hosts].slice(0, 10).map((id) => ({ kind: 'host', id }));

const named = (hosts: Hosts, host: string): Routed => {
  if (hosts.has(host)) return { ok: true, host };
  const known = [...hosts.keys()].join(', ') || 'none';
  return refuse('HOST_NOT_FOUND', `no worker has reported for host ${host}; known: ${known}`, [
    { kind: 'host', id: host },
  ]);
};

const only = (hosts: Hosts): Routed => {
  const [first, ...others] = hosts.keys();
  if (first === undefined) return refuse('HOST_NOT_FOUND', 'no worker has reported for any host');
  if (others.length === 0) return { ok: true, host: first };
  return refuse('HOST_REQUIRED', `there are ${hosts.size} hosts: name one`, hostCulprits(hosts.keys()));
};

/** The hosts where something exists; without any, the only host is asked, so that the refusal stands in its log. */
const where = (hosts: Hosts, what: string, exists: (state: BoundaryState) => boolean): Routed => {
  const matches = [...hosts].filter(([, state]) => exists(state)).map(([host]) => host);
  const [match] = matches;
  if (match !== undefined && matches.length === 1) return { ok: true, host: match };
  if (matches.length > 1)
    return refuse('NETWORK_AMBIGUOUS', `${what} is on ${matches.join(' and ')}`, hostCulprits(matches));
  return only(hosts);
};

const byNetwork = (hosts: Hosts, ref: string): Routed => {
  const slash = ref.indexOf('/');
  if (slash > 0) return named(hosts, ref.slice(0, slash));
  return where(hosts, `network ${ref}`, (state) => findNetwork(state, ref) !== undefined);
};

/**
 * @param subjectHost the host in the command's subject, null where it names none
 */
export const routeCommand = (hosts: Hosts, command: Command, subjectHost: string | null): Routed => {
  const routed = subjectHost === null ? unaddressed(hosts, command) : named(hosts, subjectHost);
  if (!routed.ok) return routed;
  const stray = references(command).find((ref) => ref.includes('/') && !ref.startsWith(`${routed.host}/`));
  if (stray === undefined) return routed;
  return refuse('NETWORK_NOT_FOUND', `network ${stray} is not on host ${routed.host}`, [
    { kind: 'network', id: stray },
  ]);
};

/** The networks that a command names. */
const references = (command: Command): readonly string[] => {
  if (command.type === 'AttachSandbox') return command.data.networks.map(({ network }) => network);
  if (command.type === 'MoveSandbox') return [command.data.from, command.data.to.network];
  return 'network' in command.data ? [command.data.network] : [];
};

const unaddressed = (hosts: Hosts, command: Command): Routed => {
  switch (command.type) {
    case 'ConfigureDriver':
    case 'CreateNetwork':
    case 'PruneNetworks':
      return only(hosts);
    case 'UpdateNetwork':
    case 'DeleteNetwork':
    case 'CreateEndpoint':
    case 'UpdateEndpoint':
    case 'DeleteEndpoint':
    case 'JoinEndpoint':
    case 'LeaveEndpoint':
      return byNetwork(hosts, command.data.network);
    case 'AttachSandbox':
      return byNetwork(hosts, command.data.networks[0]?.network ?? '');
    case 'MoveSandbox':
      return byNetwork(hosts, command.data.from);
    case 'LeasePorts':
      return where(hosts, 'the intent', (state) => state.intents.has(command.data.intent));
    case 'DetachSandbox':
      return where(
        hosts,
        `sandbox ${command.data.sandbox}`,
        (state) => findSandbox(state, command.data.sandbox) !== undefined,
      );
    case 'SuspectEndpoint':
    case 'CollectEndpoint':
      return where(hosts, 'the endpoint', (state) => state.endpoints.has(command.data.endpointId));
    case 'LapseHost':
      return named(hosts, command.data.host);
    case 'ExpireCommand': {
      const key = commandKey(command.data.actor, command.data.commandId);
      return where(hosts, 'the command', (state) => state.progress.has(key));
    }
    default:
      return command satisfies never;
  }
};
