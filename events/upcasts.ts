/** Steps from an old version's data to the next one's. Key: `TYPE.vN`, N the version that it reads. */

type Data = Readonly<Record<string, unknown>>;

const noDns = { servers: null, search: null, options: null };

const network2 = (facts: unknown): Data => ({ ...(facts as Data), configOnly: false, configFrom: null, dns: noDns });

/** No driver published ports before version 2, so none was ever stored. */
const endpoint2 = (facts: unknown): Data => ({
  ...(facts as Data),
  ports: [],
  gatewayPriority: 0,
  interface: null,
  sysctls: {},
  linkLocal: [],
  routes: [],
  links: {},
  services: [],
});

const sandbox2 = (facts: unknown): Data => ({
  ...(facts as Data),
  dns: noDns,
  extraHosts: [],
  ports: [],
  files: null,
});

const inSandbox2 = (data: unknown): Data => ({ ...(data as Data), sandbox: sandbox2((data as Data).sandbox) });

/** Before version 3 every network was its host's, and led out through the gateway of its subnet. */
const network3 = (facts: unknown): Data => {
  const { subnets, ...rest } = facts as Data & { readonly subnets: readonly Data[] };
  return {
    ...rest,
    subnets: subnets.map((subnet) => ({ ...subnet, vni: null })),
    scope: 'host',
    defaultRoute: 'gateway',
    tunnel: null,
    parent: null,
  };
};

/** Before version 4 our own address management was the only one, and nothing led out of networks on several hosts. */
const network4 = (facts: unknown): Data => {
  const { subnets, ...rest } = facts as Data & { readonly subnets: readonly Data[] };
  return {
    ...rest,
    subnets: subnets.map((subnet) => ({ ...subnet, pool: null })),
    defaultRoute: rest.tunnel === null ? rest.defaultRoute : 'outlet',
    outlet: false,
  };
};

/** Before version 5 a network lasted until it was deleted. Repairs are what everybody gets who has not said otherwise. */
const network5 = (facts: unknown): Data => ({ ...(facts as Data), owner: null, leaseMs: null, drift: 'repair' });

const sandbox3 = (facts: unknown): Data => ({
  ...(facts as Data),
  owner: null,
  leaseMs: null,
  afterReboot: 'recreate',
});

const inSandbox3 = (data: unknown): Data => {
  const { sandbox } = data as Data;
  return { ...(data as Data), sandbox: sandbox === null ? null : sandbox3(sandbox) };
};

const endpoint3 = (facts: unknown): Data => ({ ...(facts as Data), wanted: null });

export const upcasts: Readonly<Record<string, (data: unknown) => unknown>> = {
  'NetworkCreateRequested.v1': (data) => ({ ...(data as Data), network: network2((data as Data).network) }),
  'NetworkCreateRequested.v2': (data) => ({ ...(data as Data), network: network3((data as Data).network) }),
  'NetworkCreateRequested.v3': (data) => ({ ...(data as Data), network: network4((data as Data).network) }),
  'NetworkCreateRequested.v4': (data) => ({ ...(data as Data), network: network5((data as Data).network) }),
  // What was updated before could only be repaired.
  'NetworkUpdateRequested.v1': (data) => ({
    ...(data as Data),
    settings: { ...((data as Data).settings as Data), drift: 'repair' },
  }),
  'EndpointCreateRequested.v1': (data) => ({ ...(data as Data), endpoint: endpoint2((data as Data).endpoint) }),
  'EndpointCreateRequested.v2': (data) => ({ ...(data as Data), endpoint: endpoint3((data as Data).endpoint) }),
  'EndpointJoinRequested.v1': inSandbox2,
  'EndpointJoinRequested.v2': inSandbox3,
  'EndpointUpdateRequested.v1': inSandbox3,
  // Nothing reverted a leave in version 1.
  'EndpointLeaveRequested.v1': (data) => ({
    ...inSandbox2(data),
    before: { index: 0, gateways: (data as Data).gateways },
  }),
  'EndpointLeaveRequested.v2': inSandbox3,
  'EndpointLeaveReverted.v1': inSandbox3,
  'EndpointJoined.v1': (data) => ({ ...(data as Data), ports: [] }),
  'EndpointJoined.v2': (data) => ({ ...(data as Data), peer: null }),
  'EndpointUpdated.v1': (data) => ({ ...(data as Data), peer: null }),
  'HostFacts.v1': (data) => ({ ...(data as Data), epoch: 0, underlay: null, vlans: [], drivers: [] }),
  'HostFacts.v2': (data) => ({ ...(data as Data), linkRoutes: {}, underlayAsked: null }),
  'SandboxCreated.v1': inSandbox2,
  'SandboxCreated.v2': inSandbox3,
  'SandboxRemoved.v1': inSandbox2,
  'SandboxRemoved.v2': inSandbox3,
};

/** Current version of every event type that is not in its first. */
export const laterVersions: Readonly<Record<string, number>> = Object.fromEntries(
  Object.keys(upcasts).map((key) => {
    const [type = '', version = ''] = key.split('.v');
    return [type, Number(version) + 1];
  }),
);
