/** The maps of options that Docker sends: keys, forms and which of them are there when (recorded of Docker 28.5.2). */
import { hash } from 'node:crypto';
import { type GoValue, goMap } from './go-json.ts';

/**
 * The id under which a plugin knows a network or an endpoint: 64 hexadecimal digits, as it is used to from Docker. Never used again, since
 * ids of ours are not, and the same after every restart. `id` is ours.
 */
export const pluginId = (realm: string, id: string): string => hash('sha256', `${realm}/${id}`, 'hex');

const key = {
  generic: 'com.docker.network.generic',
  ipv4: 'com.docker.network.enable_ipv4',
  ipv6: 'com.docker.network.enable_ipv6',
  internal: 'com.docker.network.internal',
  portmap: 'com.docker.network.portmap',
  exposed: 'com.docker.network.endpoint.exposedports',
  mac: 'com.docker.network.endpoint.macaddress',
  interface: 'com.docker.network.endpoint.ifname',
  no6to4: 'com.docker.network.driver.private.no_proxy_6to4',
} as const;

export interface NetworkOptions {
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  readonly internal: boolean;
  /** Options of the user, opaque to us. */
  readonly driver: Readonly<Record<string, string>>;
}

export const protocolNumbers = { tcp: 6, udp: 17, sctp: 132 } as const;
export type ProtocolName = keyof typeof protocolNumbers;

export interface ExposedPort {
  readonly protocol: ProtocolName;
  readonly port: number;
}

export interface PublishedPort extends ExposedPort {
  /** Empty: every address of the host. */
  readonly hostIp: string;
  readonly hostPort: number;
  /** The same as `hostPort` for a single port. */
  readonly hostPortEnd: number;
}

export interface Ports {
  readonly exposed: readonly ExposedPort[];
  readonly published: readonly PublishedPort[];
}

export interface EndpointOptions {
  /** Null: the network is internal, and ports are not spoken of at all. */
  readonly ports: Ports | null;
  /** The MAC that was asked for, canonical; not one that we have chosen. */
  readonly mac: string | null;
  /** The name that was asked for. */
  readonly interface: string | null;
  readonly driver: Readonly<Record<string, string>>;
}

type GoMap = ReadonlyMap<string, GoValue>;

export const networkOptions = (options: NetworkOptions): GoMap =>
  goMap({
    [key.generic]: goMap(options.driver),
    [key.ipv4]: options.ipv4,
    [key.ipv6]: options.ipv6,
    ...(options.internal ? { [key.internal]: true } : {}),
  });

const ports = ({ exposed, published }: Ports): Readonly<Record<string, GoValue>> => ({
  [key.exposed]: exposed.map(({ protocol, port }) => ({ Proto: protocolNumbers[protocol], Port: port })),
  [key.portmap]: published.map(({ protocol, port, hostIp, hostPort, hostPortEnd }) => ({
    Proto: protocolNumbers[protocol],
    IP: '',
    Port: port,
    HostIP: hostIp,
    HostPort: hostPort,
    HostPortEnd: hostPortEnd,
  })),
});

/** Six bytes as base64: how Go writes a byte slice. */
const macBytes = (mac: string): string => Buffer.from(mac.replaceAll(':', ''), 'hex').toString('base64');

/** Keys of ours win over equal ones of the user. */
export const endpointOptions = (options: EndpointOptions): GoMap =>
  goMap({
    ...options.driver,
    ...(options.ports === null ? {} : ports(options.ports)),
    ...(options.mac === null ? {} : { [key.mac]: macBytes(options.mac) }),
    ...(options.interface === null ? {} : { [key.interface]: options.interface }),
  });

/** Options of Join: those of the sandbox. */
export const sandboxOptions = (published: Ports): GoMap => goMap(ports(published));

/** Options of ProgramExternalConnectivity. */
export const externalOptions = (published: Ports, no6to4: boolean): GoMap =>
  goMap({ ...ports(published), [key.no6to4]: no6to4 });
