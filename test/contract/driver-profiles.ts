/** Where drivers differ: what each makes, and what each refuses. */
import type { CommandType } from '../../events/commands.ts';
import type { Code } from '../../events/refusals.ts';
import { type Profile, sandboxFiles } from './profiles/profile.ts';
import { remote } from './profiles/remote.ts';
import { sublinks } from './profiles/sublinks.ts';

export const profiles: readonly Profile[] = [
  {
    driver: 'null',
    network: [],
    join: ['netns', ...sandboxFiles],
    interface: null,
    hasAddresses: false,
    hasNamespace: true,
    options: {},
  },
  {
    driver: 'host',
    network: [],
    join: [],
    interface: null,
    hasAddresses: false,
    hasNamespace: false,
    options: {},
  },
  {
    driver: 'bridge',
    network: ['bridge', 'element', 'element', 'element', 'element'],
    join: ['netns', 'route', 'veth', 'resolver', ...sandboxFiles],
    interface: 'eth0',
    hasAddresses: true,
    hasNamespace: true,
    options: { 'com.docker.network.driver.mtu': '1400' },
  },
  ...sublinks,
  remote,
];

interface Exception {
  readonly what: string;
  readonly command: CommandType;
  readonly data: Readonly<Record<string, unknown>>;
  /** By driver; one that is not named does it. */
  readonly codes: Readonly<Record<string, Code>>;
}

/** There is a network `net` with an endpoint `ep`, in no sandbox, and a sandbox `busy` on it. */
export const exceptions: readonly Exception[] = [
  {
    what: 'a second network',
    command: 'CreateNetwork',
    data: { name: 'second' },
    codes: { null: 'DRIVER_FORBIDS', host: 'DRIVER_FORBIDS' },
  },
  {
    what: 'a subnet',
    command: 'CreateNetwork',
    data: { name: 'second', ipam: { subnets: [{ subnet: '10.77.0.0/24' }] } },
    codes: { null: 'DRIVER_FORBIDS', host: 'DRIVER_FORBIDS' },
  },
  {
    what: 'an option',
    command: 'ConfigureDriver',
    data: { options: { 'com.docker.network.driver.mtu': '1400' } },
    codes: {
      null: 'OPTION_UNSUPPORTED',
      host: 'OPTION_UNSUPPORTED',
      macvlan: 'OPTION_UNSUPPORTED',
      ipvlan: 'OPTION_UNSUPPORTED',
      weave: 'OPTION_UNSUPPORTED',
    },
  },
  {
    what: 'a MAC',
    command: 'CreateEndpoint',
    data: { network: 'net', name: 'fixed', interfaces: [{ mac: '02:42:00:00:00:77' }] },
    codes: { ipvlan: 'DRIVER_FORBIDS', null: 'DRIVER_FORBIDS', host: 'DRIVER_FORBIDS' },
  },
  {
    what: 'a published port',
    command: 'CreateEndpoint',
    data: { network: 'net', name: 'open', ports: [{ hostAddress: '0.0.0.0', hostPort: 8080, port: 80 }] },
    codes: { macvlan: 'DRIVER_FORBIDS', ipvlan: 'DRIVER_FORBIDS', null: 'DRIVER_FORBIDS', host: 'DRIVER_FORBIDS' },
  },
  {
    what: 'a static route',
    command: 'CreateEndpoint',
    data: { network: 'net', name: 'routed', routes: [{ destination: '10.78.0.0/24' }] },
    codes: { null: 'OPTION_UNSUPPORTED', host: 'OPTION_UNSUPPORTED' },
  },
  {
    what: 'a name for the interface',
    command: 'CreateEndpoint',
    data: { network: 'net', name: 'named', interface: 'lan0' },
    codes: { null: 'OPTION_UNSUPPORTED', host: 'OPTION_UNSUPPORTED' },
  },
  {
    what: 'a second endpoint in a sandbox',
    command: 'JoinEndpoint',
    data: { network: 'net', endpoint: 'ep', sandbox: 'busy' },
    codes: { null: 'SANDBOX_EXCLUSIVE', host: 'SANDBOX_EXCLUSIVE' },
  },
  {
    what: 'a namespace of the caller’s',
    command: 'JoinEndpoint',
    data: { network: 'net', endpoint: 'ep', sandbox: 'brought', netns: '/run/no-such-namespace' },
    codes: { host: 'SANDBOX_CONFLICT' },
  },
];

interface Variant {
  readonly what: string;
  readonly internal?: boolean;
  readonly options: Readonly<Record<string, string>>;
}

/** Networks of the driver bridge: every option that changes what is made. */
export const variants: readonly Variant[] = [
  { what: 'no options', options: {} },
  {
    what: 'chosen addresses and trusted interfaces',
    options: {
      'com.docker.network.host_ipv4': '192.0.2.7',
      'com.docker.network.host_ipv6': '2001:db8::7',
      'com.docker.network.bridge.trusted_host_interfaces': 'wg0:eth0.100',
    },
  },
  {
    what: 'a routed and an unprotected family',
    options: {
      'com.docker.network.bridge.gateway_mode_ipv4': 'nat-unprotected',
      'com.docker.network.bridge.gateway_mode_ipv6': 'routed',
    },
  },
  {
    what: 'neither neighbours nor masquerading',
    options: {
      'com.docker.network.bridge.enable_icc': 'false',
      'com.docker.network.bridge.enable_ip_masquerade': 'false',
      'com.docker.network.bridge.name': 'br-own',
      'com.docker.network.driver.mtu': '1400',
    },
  },
  {
    what: 'a host that is not on it',
    internal: true,
    options: {
      'com.docker.network.bridge.gateway_mode_ipv4': 'isolated',
      'com.docker.network.bridge.gateway_mode_ipv6': 'isolated',
    },
  },
];
