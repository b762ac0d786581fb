/** What hosts state of themselves on the log. */
import type { KernelFacts } from '../../drivers/port.ts';
import { eventVersions } from '../../events/envelope.ts';
import type { EventData } from '../../events/events.ts';
import { knownHosts, type Realm } from '../lib/realm.ts';
import type { WorkerOptions } from './worker.ts';

type Own = Pick<WorkerOptions, 'host' | 'runDir' | 'ula' | 'pools' | 'netnsRoots' | 'secret' | 'plugins'>;

/** @param facts what its kernel says */
export const statementOf = (
  { host, runDir, ula, pools, netnsRoots, secret, plugins }: Own,
  facts: KernelFacts,
  epoch: number,
): EventData<'HostFacts'> => ({
  ...facts,
  host,
  runDir,
  ula,
  routes: [...facts.routes],
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
