/** What senders of a model ask for: few names, few addresses and few ports, so that they get in each other's way. */
import fc from 'fast-check';

/** Names of networks: of each host, and of the realm. */
const hostNames = ['web', 'Web', 'db'] as const;
const realmNames = ['span', 'Span', 'mesh'] as const;
const endpointName = fc.constantFrom('a', 'A', 'b', 'c');
export const sandbox = fc.constantFrom('s1', 's2');
const maybe = <T>(values: fc.Arbitrary<T>) => fc.option(values, { nil: undefined, freq: 3 });
/** Mostly none. */
const leaseMs = fc.constantFrom(undefined, undefined, undefined, 1_000, 60_000);
const gc = fc.constantFrom<'off' | number | undefined>(undefined, 'off', 1_000, 1_000, 60_000);
const optional = <T extends object>(fields: T): T =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;

const hostAddress = fc.constantFrom(undefined, '10.9.9.1', '10.9.9.2', '0.0.0.0', 'any', '::');
/** One port, a range, one out of a range, or one that the host finds; a few that are wrong. */
const port = fc
  .tuple(
    fc.constantFrom(
      { hostPort: 80, port: 80 },
      { hostPort: 81, port: 80 },
      { hostPort: 80, port: 80, portEnd: 81 },
      { hostPort: 80, hostPortEnd: 82, port: 80, portEnd: 82 },
      { hostPort: 80, hostPortEnd: 82, port: 80 },
      { port: 80 },
      { port: 80, portEnd: 81 },
      { hostPort: 80, hostPortEnd: 81, port: 80, portEnd: 82 },
    ),
    hostAddress,
  )
  .map(([numbers, address]) => optional({ ...numbers, hostAddress: address }));
export const ports = fc.oneof(
  { weight: 2, arbitrary: fc.constant([]) },
  { weight: 1, arbitrary: fc.array(port, { minLength: 1, maxLength: 2 }) },
);
const wanted = fc.constantFrom(
  ...[[], [], [], [], [{ ipv4: '10.1.0.2' }], [{ ipv4: '10.1.0.3' }], [{ mac: '02:42:0a:01:00:02' }]],
  ...[[{ mac: '02:00:00:00:00:01' }], [{ ipv4: '10.1.0.3', mac: '02:00:00:00:00:01' }]],
);
const wantedInRealm = fc.constantFrom(
  ...[[], [], [{ ipv4: '10.7.0.2' }], [{ ipv4: '10.7.0.3' }], [{ mac: '02:42:0a:07:00:02' }]],
);
const gatewayPriority = fc.constantFrom(0, 0, 1, 2);
const hostFields = fc.record({ interfaces: wanted, ports, gatewayPriority });
const realmFields = fc.record({ interfaces: wantedInRealm, ports: fc.constant([]), gatewayPriority });
type EndpointFields = typeof hostFields extends fc.Arbitrary<infer F> ? Partial<F> & object : never;

/** Networks on all hosts: few subnets and few identifiers. */
const realmNetwork = fc
  .record({
    name: fc.constantFrom(...realmNames, 'web'),
    subnet: maybe(fc.constantFrom('10.7.0.0/29', '10.7.0.0/29', '10.7.0.0/24', '10.1.0.0/29')),
    vni: maybe(fc.constantFrom('5000', '4097')),
    overlap: fc.boolean(),
  })
  .map(({ name, subnet, vni, overlap }) => ({
    type: 'CreateNetwork' as const,
    data: {
      name,
      driver: 'overlay',
      ipam: { overlap, subnets: subnet === undefined ? [] : [{ subnet }] },
      options: vni === undefined ? {} : { 'com.docker.network.driver.overlay.vxlanid_list': vni },
    },
  }));

/** @param networkName names of networks @param fields of new endpoints */
const commandsOf = (networkName: fc.Arbitrary<string>, endpointFields: fc.Arbitrary<EndpointFields>) =>
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc
        .record({
          name: networkName,
          driver: fc.constantFrom('bridge', 'bridge', 'deep', 'deep', 'host', 'null'),
          subnet: maybe(fc.constantFrom('10.1.0.0/29', '10.1.0.0/24', '10.1.0.0/30', 'fd00::/64')),
          overlap: fc.boolean(),
          gc,
          isInternal: fc.constantFrom(false, false, false, true),
          isConfig: fc.constantFrom(false, false, false, false, true),
          configFrom: fc.option(networkName, { nil: undefined, freq: 8 }),
          leaseMs,
        })
        .map(({ name, driver, subnet, overlap, gc: period, isInternal, isConfig, configFrom, leaseMs: lasts }) => ({
          type: 'CreateNetwork' as const,
          data: optional({
            name,
            driver,
            gc: isConfig ? undefined : period,
            leaseMs: lasts,
            internal: isInternal && (driver === 'bridge' || driver === 'deep') && !isConfig,
            configOnly: isConfig,
            configFrom,
            ipv6: subnet?.includes(':') ?? false,
            ipam: { overlap, subnets: subnet === undefined ? [] : [{ subnet }] },
          }),
        })),
    },
    {
      weight: 2,
      arbitrary: networkName.map((network) => ({ type: 'DeleteNetwork' as const, data: { network } })),
    },
    {
      weight: 5,
      arbitrary: fc.tuple(networkName, endpointName, endpointFields, gc).map(([network, name, fields, period]) => ({
        type: 'CreateEndpoint' as const,
        data: optional({ network, name, gc: period, ...optional(fields) }),
      })),
    },
    {
      weight: 6,
      arbitrary: fc.tuple(networkName, endpointName, sandbox).map(([network, endpoint, id]) => ({
        type: 'JoinEndpoint' as const,
        data: { network, endpoint, sandbox: id },
      })),
    },
    {
      weight: 4,
      arbitrary: fc
        .tuple(networkName, endpointName, maybe(ports), maybe(gatewayPriority), fc.boolean())
        .map(([network, endpoint, wantedPorts, priority, disrupt]) => ({
          type: 'UpdateEndpoint' as const,
          data: optional({ network, endpoint, ports: wantedPorts, gatewayPriority: priority, disrupt }),
        })),
    },
    {
      weight: 2,
      arbitrary: fc.tuple(networkName, fc.constantFrom('1400', '1280', '9')).map(([network, mtu]) => ({
        type: 'UpdateNetwork' as const,
        data: { network, labels: { mtu }, options: { 'com.docker.network.driver.mtu': mtu } },
      })),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom([], ['mtu'], ['mtu=1400']).map((labels) => ({
        type: 'PruneNetworks' as const,
        data: { labels },
      })),
    },
    {
      weight: 5,
      arbitrary: fc
        .tuple(sandbox, networkName, networkName, endpointName, endpointFields)
        .map(([id, from, network, name, fields]) => ({
          type: 'MoveSandbox' as const,
          data: { sandbox: id, from, to: { network, name, ...optional(fields) } },
        })),
    },
    ...(['LeaveEndpoint', 'DeleteEndpoint'] as const).map((type) => ({
      weight: 4,
      arbitrary: fc
        .tuple(networkName, endpointName)
        .map(([network, endpoint]) => ({ type, data: { network, endpoint } })),
    })),
    {
      weight: 4,
      arbitrary: fc
        .tuple(sandbox, fc.array(fc.tuple(networkName, endpointFields), { minLength: 1, maxLength: 3 }), ports, leaseMs)
        .map(([id, networks, own, lasts]) => ({
          type: 'AttachSandbox' as const,
          data: optional({
            sandbox: id,
            ports: own,
            leaseMs: lasts,
            networks: networks.map(([network, fields]) => ({ network, ...optional(fields) })),
          }),
        })),
    },
    { weight: 2, arbitrary: sandbox.map((id) => ({ type: 'RenewLease' as const, data: { sandbox: id } })) },
    { weight: 1, arbitrary: networkName.map((network) => ({ type: 'RenewLease' as const, data: { network } })) },
    { weight: 3, arbitrary: sandbox.map((id) => ({ type: 'DetachSandbox' as const, data: { sandbox: id } })) },
    {
      weight: 1,
      arbitrary: fc.constantFrom('1400', 'x').map((mtu) => ({
        type: 'ConfigureDriver' as const,
        data: { driver: 'bridge', options: { 'com.docker.network.driver.mtu': mtu } },
      })),
    },
  );

export const command = commandsOf(fc.constantFrom(...hostNames), hostFields);

/** The same for hosts that reach each other, with networks of the realm among the others. */
export const realmCommand = fc.oneof(
  {
    weight: 14,
    arbitrary: commandsOf(
      fc.constantFrom(...hostNames, ...realmNames, ...realmNames),
      fc.oneof(hostFields, realmFields),
    ),
  },
  { weight: 1, arbitrary: realmNetwork },
);
