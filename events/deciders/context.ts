/** What every decision is given beside the state: nothing of it is read from the world here. */
import type { CommandData, CommandType } from '../commands.ts';
import type { DriverRules } from '../driver-rules.ts';
import type { Culprit, EventData, Fact, NetworkFacts } from '../events.ts';
import type { SubnetPool } from '../ipam.ts';
import { isAway } from '../reboots.ts';
import { type Code, type Refusal, refuse } from '../refusals.ts';
import {
  type BoundaryState,
  cellOf,
  type EndpointRow,
  findEndpoint,
  findNetwork,
  isMoving,
  type NetworkRow,
  type SandboxRow,
} from '../state.ts';
import { endpointAnswers, networkAnswers } from '../states.ts';

export interface Context {
  /** Empty on the boundaries of the realm. */
  readonly host: string;
  /** The state of every host that a worker has reported on, this one among them. */
  readonly hosts: ReadonlyMap<string, BoundaryState>;
  /** Pools of automatic subnets of realm networks: IPv4, and the /48 for IPv6. */
  readonly realmPools: readonly SubnetPool[];
  readonly realmUla: string;
  /** Who sent the command. */
  readonly actor: string;
  /** Who may set quotas; null or left out: everybody. */
  readonly operators?: ReadonlySet<string> | null;
  /** Time of the decision, milliseconds since 1970. */
  readonly nowMs: number;
  readonly drivers: ReadonlyMap<string, DriverRules>;
  /** Rules of a driver that is not among them: somebody else carries it out. */
  readonly plugin: (name: string) => DriverRules;
  /** A new id of an incarnation. */
  readonly newId: () => string;
  /** How long a released address or subnet rests before somebody else gets it. */
  readonly quarantineMs: number;
}

export type Decision = { readonly ok: true; readonly facts: readonly Fact[] } | Refusal;
export type Result<T> = { readonly ok: true; readonly value: T } | Refusal;

export const accept = (...facts: readonly Fact[]): Decision => ({ ok: true, facts });
export const found = <T>(value: T): Result<T> => ({ ok: true, value });

export type Decide<T extends CommandType> = (state: BoundaryState, data: CommandData<T>, context: Context) => Decision;

export const networkCulprit = (row: NetworkRow) => ({
  kind: 'network',
  id: row.facts.id,
  name: row.facts.name,
  detail: row.status,
});

/** A culprit that stands for an endpoint, with the sandbox that it is in. */
export const endpointCulprit = ({ facts, status, sandbox }: EndpointRow) => ({
  kind: 'endpoint',
  id: facts.id,
  name: facts.name,
  detail: sandbox ? `${status}, sandbox ${sandbox.id}` : status,
});

export const sandboxCulprit = ({ facts }: SandboxRow) => ({ kind: 'sandbox', id: facts.id, detail: facts.key });

/** While a sandbox moves to another network, or gets or loses its way out, it takes no other command: what that would build on may be reverted. */
export const movingSandbox = (state: BoundaryState, row: SandboxRow | undefined): Refusal | null =>
  row && isMoving(state, row)
    ? refuse('SANDBOX_MOVING', `sandbox ${row.facts.id} is being changed as a whole, which may still fail`, [
        sandboxCulprit(row),
      ])
    : null;

/** What is built on a sandbox that is not there would fail: it is to be restored or detached first. */
export const lostSandbox = (state: BoundaryState, row: SandboxRow | undefined): Refusal | null =>
  row && isAway(state, row)
    ? refuse('SANDBOX_LOST', `sandbox ${row.facts.id} was lost when its host was booted`, [sandboxCulprit(row)])
    : null;

export const sandboxOf = (state: BoundaryState, row: EndpointRow): SandboxRow | undefined =>
  state.sandboxes.get(row.sandbox?.incarnation ?? '');

/** Nobody's but ours: what is in it comes and goes by itself. */
export const ours = (row: NetworkRow): Refusal =>
  refuse('NETWORK_OUTLET', `network ${row.facts.name} is the way out of sandboxes whose networks have none`, [
    networkCulprit(row),
  ]);

/** The network that a reference names, if the state table lets this command have it. */
export const networkFor = (
  state: BoundaryState,
  ref: string,
  command: 'UpdateNetwork' | 'DeleteNetwork' | 'CreateEndpoint' | 'RenewLease' | null,
): Result<NetworkRow> => {
  const row = findNetwork(state, ref);
  if (!row) return refuse('NETWORK_NOT_FOUND', `there is no network ${ref}`, [{ kind: 'network', id: ref }]);
  const answer: 'accepted' | Code = command === null ? 'accepted' : networkAnswers[command][row.status];
  if (command === 'CreateEndpoint' && row.facts.configOnly)
    return refuse('NETWORK_CONFIG_ONLY', `network ${row.facts.name} only holds settings`, [networkCulprit(row)]);
  if (row.facts.outlet && (command === 'CreateEndpoint' || command === 'UpdateNetwork')) return ours(row);
  if (answer === 'accepted') return found(row);
  return refuse(answer, `network ${row.facts.name} is ${row.status}`, [networkCulprit(row)]);
};

/** The endpoint that a reference names, if the state table lets this command have it. */
export const endpointFor = (
  state: BoundaryState,
  ref: { readonly network: string; readonly endpoint: string },
  command: 'UpdateEndpoint' | 'JoinEndpoint' | 'LeaveEndpoint' | 'DeleteEndpoint',
): Result<{ readonly network: NetworkRow; readonly endpoint: EndpointRow }> => {
  const network = networkFor(state, ref.network, null);
  if (!network.ok) return network;
  const row = findEndpoint(state, network.value.facts.id, ref.endpoint);
  const where = `network ${network.value.facts.name}`;
  if (!row)
    return refuse('ENDPOINT_NOT_FOUND', `there is no endpoint ${ref.endpoint} in ${where}`, [
      { kind: 'endpoint', id: ref.endpoint },
    ]);
  const answer: 'accepted' | Code = endpointAnswers[command][row.status];
  // What could not be removed can be deleted all the same.
  if (row.facts.origin === 'outlet' && command !== 'DeleteEndpoint') return ours(network.value);
  if (answer === 'accepted')
    return movingSandbox(state, sandboxOf(state, row)) ?? found({ network: network.value, endpoint: row });
  const detail = row.sandbox ? `${row.status} (sandbox ${row.sandbox.id})` : row.status;
  return refuse(answer, `endpoint ${row.facts.name} in ${where} is ${detail}`, [endpointCulprit(row)]);
};

/** The rules of a driver that networks have. */
export const rulesOf = (name: string, { drivers, plugin }: Pick<Context, 'drivers' | 'plugin'>): DriverRules =>
  drivers.get(name) ?? plugin(name);

/** The rules of a network's driver, if the host can run a network of it with these options. */
export const driverOf = (
  { driver, options }: Pick<NetworkFacts, 'driver' | 'options'>,
  context: Context,
  facts: EventData<'HostFacts'> | undefined,
): Result<DriverRules> => {
  const rules = rulesOf(driver, context);
  return lacking(rules, options, facts, context.host) ?? found(rules);
};

/** A driver's rules, if there is such a driver on the host and it can run a network of it with these options. */
export const driverFor = (
  name: string,
  options: NetworkFacts['options'],
  context: Context,
  facts: EventData<'HostFacts'> | undefined,
): Result<DriverRules> => {
  const others = facts?.drivers ?? [];
  if (context.drivers.has(name) || others.includes(name)) return driverOf({ driver: name, options }, context, facts);
  const known = [...context.drivers.keys(), ...others].join(', ');
  return refuse('DRIVER_NOT_FOUND', `there is no driver ${name}; there are: ${known}`, [{ kind: 'driver', id: name }]);
};

/** What a host lacks for a network of the driver with these options; null: nothing. */
export const lacking = (
  rules: DriverRules,
  options: NetworkFacts['options'],
  facts: EventData<'HostFacts'> | undefined,
  host = facts?.host ?? '',
): Refusal | null => {
  const missing = rules.needs(options).filter((capability) => facts?.capabilities[capability] !== true);
  if (missing.length === 0) return null;
  const culprits = missing.map((id) => ({ kind: 'capability', id, detail: host }));
  return refuse('CAPABILITY_MISSING', `host ${host} lacks ${missing.join(', ')} for driver ${rules.name}`, culprits);
};

/** An endpoint of a network, on whichever host it is, with the state of that host. */
export const endpointIn = (
  state: BoundaryState,
  networkId: string,
  endpointId: string,
  context: Context,
): { readonly home: BoundaryState; readonly row: EndpointRow } | undefined => {
  const host = cellOf(state, networkId)?.endpoints.get(endpointId) ?? '';
  const home = state.endpoints.has(endpointId) ? state : context.hosts.get(host);
  const row = home?.endpoints.get(endpointId);
  return home && row && { home, row };
};

/** A refusal that names no culprit yet is blamed on what was asked for. */
export const blame = (refusal: Refusal, culprit: Culprit): Refusal =>
  refusal.culprits.length > 0 ? refusal : { ...refusal, culprits: [culprit] };

/** Groups rows of a state by a test, for refusals that list who is in the way. */
export const firstOf = <T>(rows: Iterable<T>, max: number): readonly T[] => {
  const first: T[] = [];
  for (const row of rows) {
    if (first.length === max) break;
    first.push(row);
  }
  return first;
};
