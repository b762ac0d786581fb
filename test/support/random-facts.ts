/** What random histories are made of: networks and endpoints with all that views look at, and what a worker says of their ports. */
import type { CommandRecord } from '../../events/command-record.ts';
import type { EndpointFacts, Fact, NetworkFacts, PortBinding, PublishedPort } from '../../events/events.ts';
import type { BoundaryState, EndpointRow } from '../../events/state.ts';
import type { Roll } from './random-history.ts';
import { sandboxLeases } from './sandbox-leases.ts';

export const pick = <Item>(items: readonly Item[], at: number): Item | undefined =>
  items[Math.floor(at * items.length)];

/** The same that updates of networks put on, and another. */
const labelsAt = (n: number, how: number): Record<string, string> => {
  if (n % 3 === 0) return {};
  const tier = String(Math.floor(how * 3));
  return n % 3 === 1 ? { tier } : { tier, team: 'shop' };
};

const noDns = { servers: null, search: null, options: null };

export const networkFacts = (id: string, n: number, [, which, how, more]: Roll): NetworkFacts => {
  const aux: Record<string, string> = more < 0.3 ? { router: `10.${n % 250}.0.9` } : {};
  const gateway = how < 0.9 ? `10.${n % 250}.0.1/16` : null;
  return {
    ...{ id, name: `net${n % 5}`, driver: 'bridge', ipv4: true, ipv6: false, internal: which < 0.2, mtu: null },
    ipam: { driver: 'default', options: {}, overlap: false },
    subnets: [{ family: 4, subnet: `10.${n % 250}.0.0/16`, range: null, gateway, aux, vni: null, pool: null }],
    ...{ options: {}, labels: labelsAt(n, how), gc: pick([null, 'off' as const, 60_000], how) ?? null },
    ...{ configOnly: false, configFrom: null, dns: noDns },
    ...{ scope: 'host', defaultRoute: 'gateway', outlet: false, tunnel: null, parent: null },
    ...{ owner: null, leaseMs: null, drift: 'repair' },
  };
};

/** Up to three leases on ports of their own, some of them still to be found. */
const leases = (n: number, at: number): PublishedPort[] =>
  Array.from({ length: Math.floor(at * 7) % 4 }, (_, index) => ({
    protocol: pick(['tcp' as const, 'udp' as const], at) ?? 'tcp',
    hostAddresses: index === 1 ? ['0.0.0.0', '192.0.2.1'] : ['127.0.0.1'],
    hostPort: (n + index) % 3 === 0 ? 0 : 1_000 + ((n * 4 + index) % 20_000),
    choice: null,
    port: 80 + (n % 2),
    count: 1,
  }));

export const endpointFacts = (id: string, n: number, networkId: string, [, which, how, more]: Roll): EndpointFacts => ({
  ...{ id, networkId, name: `ep${n % 7}`, ipv6: null, mac: null, wanted: null, static: more < 0.2 },
  ipv4: more < 0.9 ? `10.1.${n >> 8}.${n & 255}/16` : null,
  ...{ aliases: [], ports: leases(n, which), gatewayPriority: pick([0, 0, 5, -1], more) ?? 0, interface: null },
  ...{ sysctls: {}, linkLocal: [], routes: [], links: {}, services: [], options: {} },
  labels: labelsAt(n, how),
  gc: pick([null, null, 'off' as const, 5_000], how) ?? null,
  origin: 'endpoint',
});

/** What leads into the sandbox of an endpoint, as its worker would say: all leases to the gateway. */
export const bindingsOf = (state: BoundaryState, endpointId: string): PortBinding[] => {
  const { incarnation = '' } = state.endpoints.get(endpointId)?.sandbox ?? {};
  const gateway = state.endpoints.get(state.sandboxes.get(incarnation)?.gateways.ipv4 ?? '')?.facts.ipv4;
  if (!gateway) return [];
  const [address = ''] = gateway.split('/');
  return sandboxLeases(state, incarnation).flatMap(({ protocol, hostAddresses, hostPort, port, count }) =>
    hostAddresses.map((hostAddress) => ({ protocol, hostAddress, hostPort, address, port, count })),
  );
};

/** One port, of three: found, still to be found, or none. No two are the same, as the deciders see to. */
export const portsAt = (n: number, how: number): PublishedPort[] =>
  how < 0.5
    ? []
    : [
        {
          ...{ protocol: 'tcp', hostAddresses: ['127.0.0.1'], choice: null, port: 80, count: 1 },
          hostPort: how < 0.75 ? 0 : 1_000 + (n % 20_000),
        },
      ];

/** A lease of a sandbox that is renewed, or found to have run out. */
const leaseFact = ({ sandboxes }: BoundaryState, which: number, how: number): Fact | null => {
  const row = pick([...sandboxes.values()], which);
  if (!row?.lease) return null;
  const { renewals, leaseMs } = row.lease;
  const about = { sandbox: { id: row.facts.id, incarnation: row.facts.incarnation }, network: null };
  if (how < 0.2) return { type: 'LeaseSuspected', data: { ...about, renewals, expiredAt: row.lease.renewedAt } };
  return { type: 'LeaseRenewed', data: { ...about, leaseMs, renewals: renewals + 1 } };
};

/** Everything of a host ends, in the epoch that it has stated last. */
const lostFact = (state: BoundaryState, host: string): Fact => ({
  type: 'HostLost',
  data: {
    ...{ host, epoch: state.facts.get('host')?.epoch ?? 0, reason: 'r' },
    networks: [...state.networks.keys()],
    endpoints: [...state.endpoints.keys()],
    sandboxes: [...state.sandboxes.keys()],
    commands: [...state.progress.values()].map(({ actor, commandid: commandId }) => ({ actor, commandId })),
  },
});

/** An endpoint that has been idle for long enough. */
const suspectFact = ({ facts, idleSince: since, lastSandbox }: EndpointRow): Fact => {
  const { id: endpointId, networkId, name } = facts;
  return {
    type: 'EndpointSuspected',
    data: { endpointId, networkId, name, since, dueAt: since, reason: 'r', lastSandbox },
  };
};

/** A command that ends before it is reported. */
const cutFact = ({ actor, commandid: commandId, command, open }: CommandRecord, isLate: boolean): Fact => {
  const data = { actor, commandId, command, intents: [...open] };
  return isLate ? { type: 'CommandTimedOut', data } : { type: 'CommandCancelled', data: { ...data, reason: null } };
};

/** What ends by itself, or is declared to have ended. */
export const ends = { lease: leaseFact, lost: lostFact, suspect: suspectFact, cut: cutFact };
