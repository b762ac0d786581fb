/** Every request that Docker 28.5.2 sent to plugins in a long session, sent by us: the same bytes, in the same order. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { silentLogger } from '../../services/lib/logger.ts';
import type { RequestAddress } from '../../services/plugins/ipam-messages.ts';
import type { AddressData } from '../../services/plugins/network-messages.ts';
import { type Ports, type ProtocolName, pluginId, protocolNumbers } from '../../services/plugins/options.ts';
import { type Called, createPlugins, type IpamPlugin, type NetworkPlugin } from '../../services/plugins/plugins.ts';
import type { Exchange } from '../support/plugins/behaviour.ts';
import { startOnSocket } from '../support/plugins/start.ts';

const directory = mkdtempSync(join(tmpdir(), 'cnm-plugins-'));
after(() => rmSync(directory, { recursive: true }));

const file = join(import.meta.dirname, '../golden/plugins/docker-28.5.2.jsonl');
const recorded = readFileSync(file, 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Exchange);

/** Ids of Docker become ours, each the same everywhere. */
const ours = (text: string): string => text.replaceAll(/[0-9a-f]{64}/g, (id) => pluginId('test', id.slice(0, 16)));

/** A session of one plugin: from one handshake to the next. */
const sessions = recorded.reduce<Exchange[][]>((found, exchange) => {
  if (exchange.method === 'Plugin.Activate') found.push([]);
  found
    .at(-1)
    ?.push({ ...exchange, body: ours(exchange.body), answer: JSON.parse(ours(JSON.stringify(exchange.answer))) });
  return found;
}, []);

// biome-ignore lint/suspicious/noExplicitAny: bodies as they were recorded
type Recorded = any;

const protocolOf = (number: number): ProtocolName =>
  (Object.keys(protocolNumbers) as ProtocolName[]).find((name) => protocolNumbers[name] === number) as ProtocolName;
const exposedPorts = 'com.docker.network.endpoint.exposedports';
const portmap = 'com.docker.network.portmap';
const portsOf = (options: Recorded): Ports => ({
  exposed: options[exposedPorts].map(({ Proto, Port }: Recorded) => ({ protocol: protocolOf(Proto), port: Port })),
  published: options[portmap].map(({ Proto, Port, HostIP, HostPort, HostPortEnd }: Recorded) => ({
    protocol: protocolOf(Proto),
    port: Port,
    hostIp: HostIP,
    hostPort: HostPort,
    hostPortEnd: HostPortEnd,
  })),
});
const dataOf = (items: Recorded): AddressData[] =>
  items.map(({ AddressSpace, Pool, Gateway = null, AuxAddresses = {} }: Recorded) => ({
    space: AddressSpace,
    pool: Pool,
    gateway: Gateway,
    aux: AuxAddresses,
  }));
const optionsOf = (options: Recorded) => ({
  ipv4: options['com.docker.network.enable_ipv4'],
  ipv6: options['com.docker.network.enable_ipv6'],
  internal: options['com.docker.network.internal'] ?? false,
  driver: options['com.docker.network.generic'],
});
const macOf = (base64: string | undefined): string | null =>
  base64 === undefined ? null : (Buffer.from(base64, 'base64').toString('hex').match(/../g)?.join(':') ?? null);
const endpointOptionsOf = (options: Recorded) => {
  const known = /^com\.docker\.network\.(portmap$|endpoint\.)/;
  return {
    ports: portmap in options ? portsOf(options) : null,
    mac: macOf(options['com.docker.network.endpoint.macaddress']),
    interface: options['com.docker.network.endpoint.ifname'] ?? null,
    driver: Object.fromEntries(Object.entries<string>(options).filter(([key]) => !known.test(key))),
  };
};
const ref = ({ NetworkID, EndpointID }: Recorded) => ({ networkId: NetworkID, endpointId: EndpointID });
/** A pool's id names its subnet in this session. */
const poolOf = (id: string) => ({ id, subnet: id.split('/').slice(1, 3).join('/') });
const addressOf = ({ PoolID, Address, Options }: Recorded): RequestAddress => ({
  pool: poolOf(PoolID),
  address: Address || null,
  purpose: Options?.RequestAddressType === undefined ? 'endpoint' : 'gateway',
  mac: Options?.['com.docker.network.endpoint.macaddress'] ?? null,
});

/** The call that sends the recorded request. */
const calls: Readonly<
  Record<string, (network: NetworkPlugin, ipam: IpamPlugin, body: Recorded) => Promise<Called<unknown>>>
> = {
  'NetworkDriver.GetCapabilities': (network) => network.getCapabilities({}),
  'NetworkDriver.GwAllocCheck': (network, _, { Options }) => network.gwAllocCheck(optionsOf(Options), {}),
  'NetworkDriver.CreateNetwork': (network, _, { NetworkID, Options, IPv4Data, IPv6Data }) =>
    network.createNetwork(
      { networkId: NetworkID, options: optionsOf(Options), ipv4: dataOf(IPv4Data), ipv6: dataOf(IPv6Data) },
      {},
    ),
  'NetworkDriver.DeleteNetwork': (network, _, { NetworkID }) => network.deleteNetwork(NetworkID, {}),
  'NetworkDriver.CreateEndpoint': (network, _, body) => {
    const { Address, AddressIPv6, MacAddress } = body.Interface;
    const given = { ipv4: Address || null, ipv6: AddressIPv6 || null, mac: MacAddress || null };
    return network.createEndpoint({ ...ref(body), interface: given, options: endpointOptionsOf(body.Options) }, {});
  },
  'NetworkDriver.EndpointOperInfo': (network, _, body) => network.endpointOperInfo(ref(body), {}),
  'NetworkDriver.DeleteEndpoint': (network, _, body) => network.deleteEndpoint(ref(body), {}),
  'NetworkDriver.Join': (network, _, body) =>
    network.join({ ...ref(body), sandboxKey: body.SandboxKey, ports: portsOf(body.Options) }, {}),
  'NetworkDriver.Leave': (network, _, body) => network.leave(ref(body), {}),
  'NetworkDriver.ProgramExternalConnectivity': (network, _, body) => {
    const no6to4 = body.Options['com.docker.network.driver.private.no_proxy_6to4'];
    return network.programExternal({ ...ref(body), ports: portsOf(body.Options), no6to4 }, {});
  },
  'NetworkDriver.RevokeExternalConnectivity': (network, _, body) => network.revokeExternal(ref(body), {}),
  'NetworkDriver.DiscoverNew': (network, _, { DiscoveryData: { Address, BindAddress, Self } }) =>
    network.discoverNew({ address: Address, bindAddress: BindAddress, isSelf: Self }, {}),
  'IpamDriver.GetDefaultAddressSpaces': (_, ipam) => ipam.defaultAddressSpaces({}),
  'IpamDriver.RequestPool': (_, ipam, { AddressSpace, Pool, SubPool, Options, V6 }) =>
    ipam.requestPool(
      { space: AddressSpace, pool: Pool || null, range: SubPool || null, options: Options, ipv6: V6 },
      {},
    ),
  'IpamDriver.ReleasePool': (_, ipam, { PoolID }) => ipam.releasePool(PoolID, {}),
  'IpamDriver.RequestAddress': (_, ipam, body) => ipam.requestAddress(addressOf(body), {}),
  'IpamDriver.ReleaseAddress': (_, ipam, { PoolID, Address }) => ipam.releaseAddress(PoolID, Address, {}),
};

/** How the call has to end, by what was answered. */
const expectedOf = ({ method, status, answer }: Exchange): string => {
  if (status === 404) {
    assert.match(method, /OperInfo$|Connectivity$/);
    return 'ok';
  }
  const { Err } = answer as { Err?: string };
  return Err === undefined ? 'ok' : `PLUGIN_ERROR remote: ${Err}`;
};

const endOf = (called: Called<unknown>): string => (called.ok ? 'ok' : `${called.fault.code} ${called.fault.text}`);

/** How many requests the handshake is: it is one call of ours. */
const handshakeOf = (session: readonly Exchange[]): number =>
  session[0] === undefined ? 0 : 1 + ((session[0].answer as { Implements: string[] }).Implements.length ?? 0);

describe('transcript of Docker 28.5.2', () => {
  it('is whole', () => {
    assert.equal(sessions.length, 22);
    assert.equal(sessions.flat().length, recorded.length);
    assert.equal(recorded.length, 342);
  });

  for (const [index, session] of sessions.entries()) {
    const name = session[0]?.plugin ?? '';
    it(`session ${index + 1}: ${name}, ${session.length} requests`, async () => {
      const plugin = await startOnSocket(join(directory, `${name}.sock`));
      const plugins = createPlugins({ sockets: [directory], specs: [], logger: silentLogger() });
      try {
        await plugin.order({ answers: session });
        const network = plugins.network(name);
        const ipam = plugins.ipam(name);
        assert.ok((await network.capabilities({})).ok);
        const ends = [];
        const later = session.slice(handshakeOf(session));
        for (const { method, body } of later)
          ends.push(
            endOf((await calls[method]?.(network, ipam, body === '' ? null : JSON.parse(body))) as Called<unknown>),
          );
        const asked = await plugin.asked();
        assert.deepEqual(
          asked.map(({ verb, method, body }) => `${verb} ${method} ${body}`),
          session.map(({ method, body }) => `POST ${method} ${body}`),
        );
        for (const { headers, body } of asked)
          assert.deepEqual(headers, {
            host: 'plugin.moby.localhost',
            accept: 'application/vnd.docker.plugins.v1.2+json',
            'content-length': String(Buffer.byteLength(body)),
          });
        assert.deepEqual(ends, later.map(expectedOf));
      } finally {
        await plugins.close();
        await plugin.kill();
      }
    });
  }
});
