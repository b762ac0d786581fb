/** The network of a host that is the way out of sandboxes none of whose networks has one (docs/adr/0016): one for all of them. */
import type { NetworkFacts } from '../events.ts';
import { parseSubnet } from '../ip.ts';
import { layOutSubnet, type SubnetPool } from '../ipam.ts';
import { type BoundaryState, namedIn, networkOf } from '../state.ts';
import { blame, type Context, driverFor, found, type Result } from './context.ts';
import { chosenSubnet } from './network-subnets.ts';
import { noDns } from './settings.ts';

/** Where somebody has this name already, a number follows. */
const baseName = 'cnm-gateway';
const driver = 'bridge';

/** Who goes the same way out has nothing to do with each other, as in Docker's gateway network. */
const options = { 'com.docker.network.bridge.enable_icc': 'false' };

/** As many addresses as a bridge has ports, where the pools have subnets of that size. */
const prefix = 22;

const poolsFor = (pools: readonly SubnetPool[]): readonly SubnetPool[] => [
  ...pools.map(({ base }) => ({ base, size: Math.max(prefix, parseSubnet(base)?.prefix ?? 0) })),
  ...pools,
];

const freeName = (state: BoundaryState): string => {
  const isTaken = (name: string): boolean =>
    namedIn(state, name) !== undefined || namedIn(state.shared, name) !== undefined;
  let name = baseName;
  for (let index = 1; isTaken(name); index++) name = `${baseName}-${index}`;
  return name;
};

const newOutlet = (state: BoundaryState, context: Context): Result<NetworkFacts> => {
  const host = state.facts.get('host');
  const rules = driverFor(driver, options, context, host);
  if (!rules.ok) return rules;
  const chosen = chosenSubnet(state, 4, poolsFor(host?.pools ?? []), context);
  if (!chosen.ok) return chosen;
  const subnet = layOutSubnet({ subnet: chosen.value, needsGateway: true });
  if (!subnet.ok) return blame(subnet, { kind: 'subnet', id: chosen.value });
  return found({
    ...{ id: context.newId(), name: freeName(state), driver, ipv4: true, ipv6: false, internal: false },
    ipam: { driver: 'default', options: {}, overlap: false },
    subnets: [subnet.value],
    mtu: rules.value.mtu(options, state.drivers.get(driver)?.options ?? {}, host, []),
    ...{ options, labels: {}, gc: null, configOnly: false, configFrom: null, dns: noDns },
    ...{ scope: 'host', defaultRoute: 'gateway', outlet: true, tunnel: null, parent: null },
    ...{ owner: null, leaseMs: null, drift: 'repair' },
  });
};

/** The way out of this host, as it is or as it will be made. Complexity: the host's ways out, of which all but one are being deleted. */
export const outletNetwork = (
  state: BoundaryState,
  context: Context,
): Result<{ readonly network: NetworkFacts; readonly isNew: boolean }> => {
  for (const id of state.outlets.keys()) {
    const row = networkOf(state, id);
    if (row?.status === 'active') return found({ network: row.facts, isNew: false });
  }
  const made = newOutlet(state, context);
  return made.ok ? found({ network: made.value, isNew: true }) : made;
};
