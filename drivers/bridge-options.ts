/** Options of the driver `bridge` and what a network's say. Names are Docker's, so that compose files and habits carry over. */
import type { NetworkFacts } from '../events/events.ts';
import { classOf, type Family, formatIp, parseIp } from '../events/ip.ts';
import { mtuOption, mtuRule } from './mtu.ts';
import { flag, interfaceName, listOf, type OptionRule, oneOf } from './options.ts';

export const option = {
  name: 'com.docker.network.bridge.name',
  icc: 'com.docker.network.bridge.enable_icc',
  masquerade: 'com.docker.network.bridge.enable_ip_masquerade',
  mode4: 'com.docker.network.bridge.gateway_mode_ipv4',
  mode6: 'com.docker.network.bridge.gateway_mode_ipv6',
  binding4: 'com.docker.network.bridge.host_binding_ipv4',
  binding6: 'com.docker.network.bridge.host_binding_ipv6',
  inhibitIpv4: 'com.docker.network.bridge.inhibit_ipv4',
  trusted: 'com.docker.network.bridge.trusted_host_interfaces',
  mtu: mtuOption,
  prefix: 'com.docker.network.container_iface_prefix',
  source4: 'com.docker.network.host_ipv4',
  source6: 'com.docker.network.host_ipv6',
} as const;

/**
 * How a network's endpoints of one family are reached from beyond the host. `nat`: at published ports of the host; their traffic
 * leaves with an address of the host. `nat-unprotected`: likewise, and at their own addresses at every port. `routed`: at their
 * own addresses at published ports, without translation. `isolated`: not at all, and the bridge has no address.
 */
const gatewayModes = ['nat', 'nat-unprotected', 'routed', 'isolated'] as const;
export type GatewayMode = (typeof gatewayModes)[number];

/** Where ports may be published: every address of a family, or one that the kernel can translate. */
const bindingOf =
  (family: Family): OptionRule =>
  (value) => {
    const address = parseIp(value);
    const everywhere = address?.value === 0n;
    const kind = address && classOf(address);
    const fits = kind === null || everywhere || (family === 4 && kind === 'loopback');
    if (address?.family === family && fits) return null;
    // IPv6 has no route_localnet: what goes to ::1 cannot be led elsewhere.
    return family === 4 ? 'an IPv4 address of the host, or 0.0.0.0' : 'an IPv6 address of the host but ::1, or ::';
  };

const sourceOf =
  (family: Family): OptionRule =>
  (value) => {
    const address = parseIp(value);
    return address?.family === family && classOf(address) === null ? null : `an IPv${family} address of the host`;
  };

/** Any name that the kernel takes (dev_valid_name, net/core/dev.c): the interface is not ours. */
const anyInterface = (name: string): boolean => /^(?!\.{1,2}$)[!-.0-9;-~]{1,15}$/.test(name);

/** The prefix leaves room for three digits. */
export const prefixRule: OptionRule = (value) =>
  /^[A-Za-z][A-Za-z0-9_.-]{0,11}$/.test(value) ? null : 'a letter, then up to 11 letters, digits, "_", "." or "-"';

export const networkRules: Readonly<Record<string, OptionRule>> = {
  [option.name]: interfaceName,
  [option.icc]: flag,
  [option.masquerade]: flag,
  [option.mode4]: oneOf(gatewayModes),
  [option.mode6]: oneOf(gatewayModes),
  [option.binding4]: bindingOf(4),
  [option.binding6]: bindingOf(6),
  [option.inhibitIpv4]: flag,
  [option.trusted]: listOf(':', 'names of interfaces of the host', anyInterface),
  [option.mtu]: mtuRule,
  [option.prefix]: prefixRule,
  [option.source4]: sourceOf(4),
  [option.source6]: sourceOf(6),
};

/** What ConfigureDriver takes: defaults of networks that say nothing themselves. */
export const configRules: Readonly<Record<string, OptionRule>> = {
  [option.mtu]: mtuRule,
  [option.binding4]: bindingOf(4),
  [option.binding6]: bindingOf(6),
};

/** Options of a network that can change while it is in use. */
export const updatableOptions: readonly string[] = [option.mtu, option.icc];

type Options = Readonly<Record<string, string>>;

const address = (text: string | undefined): string | null => {
  const parsed = parseIp(text ?? '');
  return parsed && formatIp(parsed.family, parsed.value);
};

export const bridgeOf = (network: NetworkFacts): string => network.options[option.name] ?? `cb${network.id}`;

/** Endpoints of the network may talk to each other. */
export const allowsIcc = ({ options }: NetworkFacts): boolean => options[option.icc] !== 'false';

export const masquerades = ({ options }: NetworkFacts): boolean => options[option.masquerade] !== 'false';

export const inhibitsIpv4 = ({ options }: NetworkFacts): boolean => options[option.inhibitIpv4] === 'true';

/** Interfaces of the host from which the endpoints are reached at every port. */
export const trustedInterfaces = ({ options }: NetworkFacts): readonly string[] => [
  ...new Set(options[option.trusted]?.split(':')),
];

export const interfacePrefix = ({ options }: NetworkFacts): string => options[option.prefix] ?? 'eth';

export const hasFamily = (network: NetworkFacts, family: Family): boolean =>
  family === 4 ? network.ipv4 : network.ipv6;

const modes: ReadonlySet<string> = new Set(gatewayModes);
const isMode = (text: string): text is GatewayMode => modes.has(text);

/** The gateway mode of a family; one that is not valid stands for the default. */
export const gatewayMode = ({ options }: NetworkFacts, family: Family): GatewayMode => {
  const text = options[family === 4 ? option.mode4 : option.mode6] ?? 'nat';
  return isMode(text) ? text : 'nat';
};

/** The address of the host with which the network's traffic of a family leaves; null: whichever the host chooses. */
export const sourceAddress = ({ options }: NetworkFacts, family: Family): string | null =>
  address(options[family === 4 ? option.source4 : option.source6]);

export const configuredBinding = (options: Options, family: Family): string | null =>
  address(options[family === 4 ? option.binding4 : option.binding6]);
