/** Decisions about drivers and networks. */
import type { CommandData } from '../commands.ts';
import type { NetworkFacts, Subnet } from '../events.ts';
import { type Refusal, refuse } from '../refusals.ts';
import { type BoundaryState, namedIn } from '../state.ts';
import { networkAnswers } from '../states.ts';
import { accept, type Context, type Decide, type Decision, driverFor } from './context.ts';
import { withConfig } from './network-config.ts';
import { gatewaysAsked, heldSubnets, subnetsOf } from './network-subnets.ts';
import { dnsOf } from './settings.ts';

export const configureDriver: Decide<'ConfigureDriver'> = (state, { driver, options }, context) => {
  const rules = driverFor(driver, {}, context, state.facts.get('host'));
  if (!rules.ok) return rules;
  const problem = rules.value.checkConfigure(options);
  if (problem) return problem;
  return accept({ type: 'DriverConfigureRequested', data: { driver: rules.value.name, options } });
};

type Request = CommandData<'CreateNetwork'>;

const nameTaken = (state: BoundaryState, name: string): Refusal | null => {
  const homes = [state, state.shared].filter(({ networkNames }) => networkNames.has(name.toLowerCase()));
  const row = homes[0] && namedIn(homes[0], name);
  if (!row) return null;
  const culprit = { kind: 'network', id: row.facts.id, name: row.facts.name, detail: row.status };
  return refuse('NETWORK_EXISTS', `network ${row.facts.name} exists`, [culprit]);
};

/** What the facts of every network have, whatever its driver makes of it. */
export const recorded = (request: Request, dns: NetworkFacts['dns'], subnets: readonly Subnet[], context: Context) => ({
  id: context.newId(),
  name: request.name,
  internal: request.internal,
  ipam: { driver: request.ipam.driver, options: request.ipam.options, overlap: request.ipam.overlap },
  subnets: [...subnets],
  options: request.options,
  labels: request.labels,
  gc: request.gc ?? null,
  configOnly: request.configOnly,
  configFrom: request.configFrom ?? null,
  dns,
  scope: 'host' as const,
  defaultRoute: 'gateway' as const,
  outlet: false,
  tunnel: null,
  parent: null,
  owner: request.owner ?? null,
  leaseMs: request.leaseMs ?? null,
  drift: request.drift,
});

/** A network that only holds settings: no driver ever sees it, so they are checked when another network takes them. */
const holder = (request: Request, dns: NetworkFacts['dns'], context: Context): Decision => {
  const subnets = heldSubnets(request);
  if (!subnets.ok) return subnets;
  const { ipv4, ipv6 } = request;
  const network = { ...recorded(request, dns, subnets.value, context), driver: 'null', ipv4, ipv6, mtu: null };
  return accept({ type: 'NetworkCreateRequested', data: { network } });
};

export const createNetwork: Decide<'CreateNetwork'> = (state, asked, context) => {
  const taken = nameTaken(state, asked.name);
  if (taken) return taken;
  const meant = withConfig(state, asked);
  if (!meant.ok) return meant;
  const request = meant.value;
  const dns = dnsOf(request.dns);
  if (!dns.ok) return dns;
  if (request.configOnly) return holder(request, dns.value, context);
  const rules = driverFor(request.driver, request.options, context, state.facts.get('host'));
  if (!rules.ok) return rules;
  const { name: driver, addresses, networksMax } = rules.value;
  const others = [...state.networks.values()].filter((row) => !row.facts.configOnly);
  const siblings = others.filter((row) => row.facts.driver === driver);
  // One whose deletion is accepted is in nobody's way, as with names: the worker takes intents in order.
  const staying = siblings.filter(({ status }) => networkAnswers.CreateNetwork[status] !== 'accepted');
  if (staying.length >= networksMax) {
    const culprits = staying.map(({ facts: { id, name } }) => ({ kind: 'network', id, name }));
    return refuse('DRIVER_FORBIDS', `a host has one network of driver ${driver}`, culprits);
  }
  const subnets = subnetsOf(state, request, rules.value, context);
  if (!subnets.ok) return subnets;
  const [ipv4, ipv6] = [addresses && request.ipv4, addresses && request.ipv6];
  const host = state.facts.get('host');
  const mtu = rules.value.mtu(request.options, state.drivers.get(driver)?.options ?? {}, host, []);
  const said = recorded(request, dns.value, subnets.value, context);
  const bare = { ...said, ipam: { ...said.ipam, ...gatewaysAsked(request, rules.value) } };
  const parent = rules.value.parentOf(bare, host);
  if (parent !== null && 'ok' in parent) return parent;
  const defaultRoute = rules.value.defaultRoute(request.options);
  const network: NetworkFacts = { ...bare, driver, ipv4, ipv6, mtu, parent, defaultRoute };
  const problem = rules.value.checkNetwork(
    network,
    others.map(({ facts }) => facts),
  );
  return problem ?? accept({ type: 'NetworkCreateRequested', data: { network } });
};
