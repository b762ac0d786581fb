/** What hosts state of themselves on the log. */
import type { HostContext } from '../../drivers/driver.ts';
import type { KernelFacts } from '../../drivers/port.ts';
import { eventVersions } from '../../events/envelope.ts';
import type { EventData } from '../../events/events.ts';
import type { BoundaryState } from '../../events/state.ts';
import { type Boundary, knownHosts, type Realm } from '../lib/realm.ts';
import type { Present } from './present.ts';
import type { WorkerOptions } from './worker.ts';

type Own = Pick<WorkerOptions, 'host' | 'runDir' | 'ula' | 'pools' | 'netnsRoots' | 'secret' | 'plugins'>;

/**
 * Subnets of the networks of a host that plugins carry. What leads there carries no tag of ours, but is those networks, and goes with them: stated
 * as a route of the host, it would be in the way of the next network there.
 */
export const carriedSubnets = (
  { networks }: BoundaryState,
  isBuiltIn: (driver: string) => boolean,
): ReadonlySet<string> =>
  new Set(
    [...networks.values()].flatMap(({ facts }) =>
      isBuiltIn(facts.driver) ? [] : facts.subnets.map(({ subnet }) => subnet),
    ),
  );

/** @param facts what its kernel says @param carried of those, routes that are networks of ours */
export const statementOf = (
  { host, runDir, ula, pools, netnsRoots, secret, plugins }: Own,
  facts: KernelFacts,
  epoch: number,
  carried: ReadonlySet<string>,
): EventData<'HostFacts'> => ({
  ...facts,
  host,
  runDir,
  ula,
  routes: facts.routes.filter((route) => !carried.has(route)),
  // A kernel that can encrypt is of no use without keys.
  capabilities: { ...facts.capabilities, esp: facts.capabilities.esp && secret instanceof Uint8Array },
  pools: pools.map((pool) => ({ ...pool })),
  netnsRoots: [...netnsRoots],
  reads: { ...eventVersions },
  epoch,
  underlay: facts.underlay && { ...facts.underlay },
  vlans: [...facts.vlans],
  linkRoutes: Object.fromEntries(Object.entries(facts.linkRoutes).map(([link, routes]) => [link, [...routes]])),
  drivers: [...plugins.names()],
});

/** What every host has stated last. */
export const statedBy = (realm: Realm): readonly EventData<'HostFacts'>[] =>
  [...knownHosts(realm).values()].flatMap(({ facts }) => facts.get('host') ?? []);

/**
 * Its address for other hosts is the one that was stated last, or else the one that its tunnels have: while it has none, what is there
 * stays as it is, and nothing new comes (events/deciders/realm.ts).
 */
export const hostOf = (
  { realm, host }: Pick<HostContext, 'realm' | 'host'>,
  { state }: Boundary,
  present: Pick<Present, 'tunnels'>,
): HostContext => {
  let last: HostContext['underlay'] = null;
  return {
    realm,
    host,
    get underlay() {
      const [tunnel] = last ? [] : present.tunnels();
      last = state.facts.get('host')?.underlay ?? last ?? (tunnel ? { address: tunnel.local } : null);
      return last;
    },
  };
};
