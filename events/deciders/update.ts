/** Decisions about changes in place. Each carries all settings, changed or not, so that the last one is right whatever became of others. */
import type { CommandData } from '../commands.ts';
import type { EndpointFacts, EndpointSettings, Gateways, NetworkFacts, NetworkSettings } from '../events.ts';
import { type Refusal, refuse } from '../refusals.ts';
import type { BoundaryState, EndpointRow, NetworkRow, SandboxRow } from '../state.ts';
import {
  accept,
  type Context,
  type Decide,
  driverFor,
  endpointCulprit,
  endpointFor,
  found,
  networkFor,
  type Result,
  sandboxOf,
} from './context.ts';
import { draftOf, electOf } from './draft.ts';
import { portsThrough } from './endpoint.ts';
import { claim, keepFound } from './ports.ts';
import { dnsOf } from './settings.ts';

const settingsFor = (
  state: BoundaryState,
  network: NetworkFacts,
  { facts }: EndpointRow,
  request: CommandData<'UpdateEndpoint'>,
  context: Context,
): Result<EndpointSettings> => {
  const { aliases = facts.aliases, gatewayPriority = facts.gatewayPriority } = request;
  if (request.ports === undefined) return found({ aliases, gatewayPriority, ports: facts.ports });
  const leases = portsThrough(state, network, request.ports, context);
  return leases.ok ? found({ aliases, gatewayPriority, ports: keepFound(leases.value, facts.ports) }) : leases;
};

/** Who carries the default routes of its sandbox once the endpoint is as it shall be. */
const gatewaysWith = (state: BoundaryState, sandbox: SandboxRow | undefined, facts: EndpointFacts): Gateways => {
  if (!sandbox) return { ipv4: null, ipv6: null };
  const { members } = draftOf(state, sandbox);
  return electOf(members.map((member) => (member.endpoint.id === facts.id ? { ...member, endpoint: facts } : member)));
};

/** Another gateway has other addresses: what is connected through the one before is cut off. */
const disruption = (state: BoundaryState, sandbox: SandboxRow | undefined, after: Gateways): Refusal | null => {
  if (!sandbox) return null;
  const { ipv4, ipv6 } = sandbox.gateways;
  const lost = [...(ipv4 === after.ipv4 ? [] : [ipv4]), ...(ipv6 === after.ipv6 ? [] : [ipv6])];
  if (lost.length === 0) return null;
  const culprits = lost.flatMap((id) => state.endpoints.get(id ?? '') ?? []).map(endpointCulprit);
  const detail = `sandbox ${sandbox.facts.id} would get another gateway, which resets its connections`;
  return refuse('UPDATE_DISRUPTS', detail, culprits);
};

export const updateEndpoint: Decide<'UpdateEndpoint'> = (state, data, context) => {
  const target = endpointFor(state, data, 'UpdateEndpoint');
  if (!target.ok) return target;
  const { network, endpoint } = target.value;
  const rules = driverFor(network.facts.driver, network.facts.options, context, state.facts.get('host'));
  if (!rules.ok) return rules;
  const settings = settingsFor(state, network.facts, endpoint, data, context);
  if (!settings.ok) return settings;
  const { id: endpointId, networkId, name } = endpoint.facts;
  const facts = { ...endpoint.facts, ...settings.value };
  const sandbox = sandboxOf(state, endpoint);
  const gateways = gatewaysWith(state, sandbox, facts);
  const problem =
    rules.value.checkEndpoint(facts, network.facts) ??
    claim(state, new Map(), settings.value.ports, endpointId) ??
    (data.disrupt ? null : disruption(state, sandbox, gateways));
  if (problem) return problem;
  return accept({
    type: 'EndpointUpdateRequested',
    data: { endpointId, networkId, name, settings: settings.value, sandbox: sandbox?.facts ?? null, gateways },
  });
};

// ---------------------------------------------------------------- networks

/** Options that an update gives are added to those that are there: the others need not be said again. */
const networkSettings = (
  { facts }: NetworkRow,
  request: CommandData<'UpdateNetwork'>,
  mtuOf: (options: Readonly<Record<string, string>>) => number | null,
): Result<NetworkSettings> => {
  const { labels = facts.labels, drift = facts.drift } = request;
  const dns = request.dns === undefined ? found(facts.dns) : dnsOf(request.dns);
  if (!dns.ok) return dns;
  const options = { ...facts.options, ...request.options };
  const mtu = request.options === undefined ? facts.mtu : mtuOf(options);
  return found({ labels, dns: dns.value, options, mtu, drift });
};

const immutable = ({ facts }: NetworkRow, options: NetworkSettings['options'], updatable: readonly string[]) => {
  const fixed = Object.entries(options).find(
    ([key, value]) => facts.options[key] !== value && !updatable.includes(key),
  );
  if (!fixed) return null;
  const [id, detail] = fixed;
  return refuse('OPTION_IMMUTABLE', `option ${id} of network ${facts.name} cannot change while it is there`, [
    { kind: 'option', id, detail },
  ]);
};

export const updateNetwork: Decide<'UpdateNetwork'> = (state, data, context) => {
  const target = networkFor(state, data.network, 'UpdateNetwork');
  if (!target.ok) return target;
  const row = target.value;
  const { id: networkId, name, driver, configOnly } = row.facts;
  const fixed =
    row.facts.scope === 'host' ? undefined : (['dns', 'options'] as const).find((one) => data[one] !== undefined);
  if (fixed !== undefined)
    return refuse('OPTION_IMMUTABLE', `${fixed} of network ${name} cannot change: it is on every host`, [
      { kind: 'field', id: fixed },
    ]);
  const host = state.facts.get('host');
  const rules = configOnly || row.facts.scope === 'realm' ? null : driverFor(driver, row.facts.options, context, host);
  if (rules && !rules.ok) return rules;
  const mtuOf = (options: Readonly<Record<string, string>>) =>
    rules?.value.mtu(options, {}, host && { ...host, mtu: row.facts.mtu ?? host.mtu }, []) ?? null;
  const settings = networkSettings(row, data, mtuOf);
  if (!settings.ok) return settings;
  if (rules) {
    const others = [...state.networks.values()]
      .map(({ facts }) => facts)
      .filter((other) => !other.configOnly && other.id !== networkId);
    const problem =
      rules.value.checkNetwork({ ...row.facts, ...settings.value }, others) ??
      immutable(row, settings.value.options, rules.value.updatableOptions);
    if (problem) return problem;
  }
  return accept({ type: 'NetworkUpdateRequested', data: { networkId, name, settings: settings.value } });
};
