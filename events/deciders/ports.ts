/** Decisions about published ports: what a request comes to, who is in its way, and host ports that a worker has found. */
import type { CommandData } from '../commands.ts';
import type { Culprit, NetworkFacts, PublishedPort } from '../events.ts';
import { classOf, type Family, formatIp, parseIp } from '../ip.ts';
import { addressesMeet, everywhere, familyOf, type OpenLease, openLeases, portKeys } from '../leases.ts';
import { workerActor } from '../names.ts';
import { type Refusal, refuse } from '../refusals.ts';
import { type BoundaryState, commandKey, type PortHolder } from '../state.ts';
import {
  accept,
  type Context,
  type Decide,
  endpointCulprit,
  found,
  type Result,
  rulesOf,
  sandboxCulprit,
} from './context.ts';

export type PortRequest = CommandData<'CreateEndpoint'>['ports'][number];

/** Ports of one lease; the index has an entry for each. */
const leasePortsMax = 1024;
/** Host ports that one command may ask for. */
const commandPortsMax = 4096;
const highestPort = 65_535;

const textOf = ({ protocol, hostPort, port }: PortRequest): string => `${protocol}/${hostPort ?? port}`;
const invalid = (request: PortRequest, detail: string): Refusal =>
  refuse('PORT_INVALID', detail, [{ kind: 'port', id: textOf(request) }]);

// ---------------------------------------------------------------- numbers

type Numbers = Pick<PublishedPort, 'hostPort' | 'choice' | 'port' | 'count'>;

const numbersOf = (request: PortRequest): Result<Numbers> => {
  const { hostPort, hostPortEnd, port, portEnd = port } = request;
  const count = portEnd - port + 1;
  if (count < 1) return invalid(request, `the range of ports ends at ${portEnd}, before ${port}`);
  if (count > leasePortsMax) return invalid(request, `${count} ports are more than the ${leasePortsMax} of one range`);
  if (hostPort === undefined) {
    if (hostPortEnd !== undefined) return invalid(request, `hostPortEnd ${hostPortEnd} needs a hostPort`);
    return found({ hostPort: 0, choice: null, port, count });
  }
  const hostCount = (hostPortEnd ?? hostPort + count - 1) - hostPort + 1;
  if (hostCount < 1) return invalid(request, `the range of host ports ends at ${hostPortEnd}, before ${hostPort}`);
  if (hostPort + hostCount - 1 > highestPort)
    return invalid(request, `${count} host ports from ${hostPort} on go beyond ${highestPort}`);
  if (hostCount === count) return found({ hostPort, choice: null, port, count });
  if (count === 1) return found({ hostPort: 0, choice: { from: hostPort, to: hostPort + hostCount - 1 }, port, count });
  return invalid(request, `${hostCount} host ports for ${count} ports`);
};

// ---------------------------------------------------------------- addresses

/** Where ports can be led to, and from which addresses of the host when a port names none. */
export interface Outlet {
  /** `network web`, `sandbox s1`: for refusals. */
  readonly what: string;
  readonly families: readonly Family[];
  /** Why no port can be led to it at all, where there is no family. */
  readonly closed: string;
  readonly bindings: readonly string[];
  /** Why a port cannot be led from this address of the host, one of those families; null when it can. */
  readonly problem: (hostAddress: string) => string | null;
}

/** Why nothing comes in through these networks, of which none publishes ports. */
const closedBy = (
  networks: Readonly<Record<Family, NetworkFacts | null>>,
  context: Pick<Context, 'drivers' | 'plugin'>,
): string => {
  const family = networks[4] ? 4 : 6;
  const network = networks[family];
  if (!network) return 'nothing carries a default route';
  const { name, driver } = network;
  const why = rulesOf(driver, context).publishProblem(network, everywhere[family]) ?? 'nothing is led into it';
  return `network ${name} of driver ${driver} publishes none: ${why}`;
};

/** The networks through which ports of each family go. */
export const outletOf = (
  what: string,
  networks: Readonly<Record<Family, NetworkFacts | null>>,
  state: BoundaryState,
  context: Pick<Context, 'drivers' | 'plugin'>,
): Outlet => {
  const outlets = ([4, 6] as const).flatMap((family) => {
    const network = networks[family];
    if (!network) return [];
    const rules = rulesOf(network.driver, context);
    if (!rules.canPublish(network, family)) return [];
    const config = state.drivers.get(rules.name)?.options ?? {};
    const bindings = rules.defaultBindings(network, config).filter((address) => familyOf(address) === family);
    const problem = (address: string): string | null => {
      const why = rules.publishProblem(network, address);
      return why === null ? null : `network ${network.name} publishes no port on ${address}: ${why}`;
    };
    return [{ family, bindings, problem }];
  });
  return {
    what,
    families: outlets.map(({ family }) => family),
    closed: outlets.length === 0 ? closedBy(networks, context) : '',
    bindings: outlets.flatMap(({ bindings }) => bindings),
    problem: (address) => outlets.find(({ family }) => family === familyOf(address))?.problem(address) ?? null,
  };
};

/** Why the kernel cannot lead on what comes to an address; null when it can. IPv6 has no route_localnet. */
const addressProblem = (text: string, families: readonly Family[]): string | null => {
  const address = parseIp(text);
  if (!address) return 'is no address';
  const kind = classOf(address);
  const isEverywhere = address.value === 0n;
  const isUsable =
    kind === null || isEverywhere || (address.family === 4 && (kind === 'loopback' || kind === 'link-local'));
  if (!isUsable)
    return kind === 'loopback'
      ? 'cannot be published: the kernel leads nothing on from ::1'
      : 'is no address of a host';
  return families.includes(address.family)
    ? null
    : `is of another family than what can be reached (IPv${families.join(', IPv')})`;
};

const addressesOf = (
  request: PortRequest,
  { what, families, closed, bindings, problem }: Outlet,
): Result<readonly string[]> => {
  const { hostAddress } = request;
  const culprits: readonly Culprit[] = [
    { kind: 'port', id: textOf(request), ...(hostAddress === undefined ? {} : { detail: hostAddress }) },
  ];
  if (families.length === 0)
    return refuse('DRIVER_FORBIDS', `ports of ${what} cannot be published: ${closed}`, culprits);
  if (hostAddress === 'any') return found(families.map((family) => everywhere[family]));
  if (hostAddress === undefined) {
    if (bindings.length > 0) return found(bindings);
    const detail = `nothing says at which address of the host ports of ${what} are published: give hostAddress, or a default to the network or its driver`;
    return refuse('PORT_ADDRESS_INVALID', detail, culprits);
  }
  const invalidity = addressProblem(hostAddress, families);
  if (invalidity !== null) return refuse('PORT_ADDRESS_INVALID', `${hostAddress} ${invalidity}`, culprits);
  const parsed = parseIp(hostAddress);
  const address = parsed ? formatIp(parsed.family, parsed.value) : hostAddress;
  const forbidden = problem(address);
  return forbidden === null ? found([address]) : refuse('DRIVER_FORBIDS', forbidden, culprits);
};

/** The leases that requests come to. Nothing is claimed by it. */
export const leasesFor = (requests: readonly PortRequest[], outlet: Outlet): Result<PublishedPort[]> => {
  const leases: PublishedPort[] = [];
  for (const request of requests) {
    const numbers = numbersOf(request);
    if (!numbers.ok) return numbers;
    const addresses = addressesOf(request, outlet);
    if (!addresses.ok) return addresses;
    leases.push({ protocol: request.protocol, hostAddresses: [...addresses.value], ...numbers.value });
  }
  return found(leases);
};

const isSameButFound = (one: PublishedPort, other: PublishedPort): boolean =>
  JSON.stringify({ ...one, hostPort: 0 }) === JSON.stringify({ ...other, hostPort: 0 });

/** What is asked for as before keeps the host port that was found for it. */
export const keepFound = (leases: readonly PublishedPort[], before: readonly PublishedPort[]): PublishedPort[] => {
  const left = [...before];
  return leases.map((lease) => {
    const at = lease.hostPort === 0 ? left.findIndex((held) => isSameButFound(held, lease)) : -1;
    return at < 0 ? lease : (left.splice(at, 1)[0] ?? lease);
  });
};

// ---------------------------------------------------------------- conflicts

/** Ports that a command takes, by port key. */
export type Claims = Map<string, (readonly string[])[]>;

const ownerOf = (
  state: BoundaryState,
  { kind, id }: PortHolder,
): { readonly text: string; readonly culprit: Culprit } => {
  const endpoint = kind === 'endpoint' ? state.endpoints.get(id) : undefined;
  if (endpoint) return { text: `endpoint ${endpoint.facts.name}`, culprit: endpointCulprit(endpoint) };
  const sandbox = state.sandboxes.get(id);
  if (sandbox) return { text: `sandbox ${sandbox.facts.id}`, culprit: sandboxCulprit(sandbox) };
  return { text: `${kind} ${id}`, culprit: { kind, id } };
};

/**
 * Claims host ports, or says who holds one of them. Wildcard addresses overlap all of their family.
 * @param self whose own leases are in nobody's way
 */
export const claim = (
  state: BoundaryState,
  claims: Claims,
  leases: readonly PublishedPort[],
  self: string | null = null,
): Refusal | null => {
  for (const lease of leases) {
    const { hostAddresses } = lease;
    for (const key of portKeys(lease)) {
      const culprit = { kind: 'port', id: key };
      const claimed = claims.get(key) ?? [];
      if (claimed.some((addresses) => addressesMeet(addresses, hostAddresses)))
        return refuse('PORT_IN_USE', `host port ${key} is asked for twice`, [culprit]);
      const holder = state.ports
        .get(key)
        ?.find(({ id, addresses }) => id !== self && addressesMeet(addresses, hostAddresses));
      if (holder) {
        const owner = ownerOf(state, holder);
        return refuse('PORT_IN_USE', `host port ${key} is held by ${owner.text}`, [owner.culprit, culprit]);
      }
      claims.set(key, [...claimed, hostAddresses]);
    }
    if (claims.size > commandPortsMax)
      return refuse('PORT_INVALID', `a command takes at most ${commandPortsMax} host ports`, [
        { kind: 'port', id: `${lease.protocol}/${lease.hostPort}` },
      ]);
  }
  return null;
};

// ---------------------------------------------------------------- LeasePorts

type Found = CommandData<'LeasePorts'>['ports'][number];

/** Ports that the open intents of a command wait for: they are executed together, so they are found together. */
const waiting = (state: BoundaryState, intentId: string): readonly OpenLease[] => {
  const intent = state.intents.get(intentId);
  if (!intent || state.expired.has(intentId)) return [];
  const open = state.progress.get(commandKey(intent.meta.actor, intent.meta.commandid))?.open ?? [intentId];
  return open.flatMap((id) => {
    const other = state.intents.get(id);
    return other ? openLeases(state, other) : [];
  });
};

/** The lease that a found port is for, with that port; null where it does not fit. */
const fit = (open: ReadonlyMap<string, OpenLease>, { holder, index, hostPort }: Found): PublishedPort | null => {
  const port = open.get(`${holder}/${index}`)?.port;
  if (!port) return null;
  const { from, to } = port.choice ?? { from: 1, to: highestPort };
  return hostPort >= from && hostPort + port.count - 1 <= to ? { ...port, hostPort } : null;
};

export const leasePorts: Decide<'LeasePorts'> = (state, { intent, ports }, context) => {
  if (context.actor !== workerActor(context.host))
    return refuse('LEASE_INVALID', `only ${workerActor(context.host)} leases ports of host ${context.host}`, [
      { kind: 'actor', id: context.actor },
    ]);
  const open = new Map(waiting(state, intent).map((lease) => [`${lease.holder}/${lease.index}`, lease]));
  if (open.size === 0)
    return refuse('LEASE_INVALID', `intent ${intent} waits for no ports`, [{ kind: 'intent', id: intent }]);
  const leases: PublishedPort[] = [];
  for (const one of ports) {
    const lease = fit(open, one);
    if (!lease)
      return refuse(
        'LEASE_INVALID',
        `port ${one.index} of ${one.holder} is not waited for, or not at ${one.hostPort}`,
        [{ kind: 'holder', id: one.holder, detail: String(one.index) }],
      );
    open.delete(`${one.holder}/${one.index}`);
    leases.push(lease);
  }
  const conflict = claim(state, new Map(), leases);
  return conflict ?? accept({ type: 'PortsLeased', data: { intent, ports } });
};
