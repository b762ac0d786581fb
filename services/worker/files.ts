/** The files of a sandbox that a runtime mounts: hosts, resolv.conf and hostname. Pure. */

import type { Dns } from '../../events/events.ts';
import { defaultRouteOf } from '../../events/gateways.ts';
import { RESOLVER_ADDRESS } from '../dns/address.ts';
import type { ResolvConf } from '../dns/upstreams.ts';
import type { Inmate, SandboxView } from './sandbox.ts';

/** Content by file name. */
export type Files = Readonly<Record<'hosts' | 'hostname' | 'resolv.conf', string>>;

/** The name that a sandbox calls itself: the one that was asked for, else as much of its id as fits (RFC 1035). */
const hostnameOf = ({ facts }: SandboxView): string => facts.hostname ?? facts.id.slice(0, 63);

/** A full name and its first part, or just the one there is. */
const namesOf = (view: SandboxView): string => {
  const hostname = hostnameOf(view);
  const { domainname } = view.facts;
  if (domainname !== null && domainname !== '') return `${hostname}.${domainname} ${hostname}`;
  const dot = hostname.indexOf('.');
  return dot > 0 ? `${hostname} ${hostname.slice(0, dot)}` : hostname;
};

const constantHosts = [
  '127.0.0.1\tlocalhost',
  '::1\tlocalhost ip6-localhost ip6-loopback',
  'fe00::\tip6-localnet',
  'ff00::\tip6-mcastprefix',
  'ff02::1\tip6-allnodes',
  'ff02::2\tip6-allrouters',
] as const;

/** The addresses that `host-gateway` stands for: of the host, on the networks of the endpoints that carry the default routes. */
const hostGateways = ({ inmates, gateways }: SandboxView): readonly string[] =>
  ([4, 6] as const).flatMap((family) => {
    const carrier = inmates.find(({ endpoint }) => endpoint.id === gateways[`ipv${family}`]);
    // A route on the link leads by no address.
    return (carrier && defaultRouteOf(carrier.network, family, carrier.plug)?.gateway) || [];
  });

const hosts = (view: SandboxView): string => {
  const names = namesOf(view);
  const extra = view.facts.extraHosts.flatMap(({ name, address }) =>
    (address === 'host-gateway' ? hostGateways(view) : [address]).map((one) => `${one}\t${name}`),
  );
  // What is only a way out has no names.
  const named = view.inmates.filter(({ network }) => !network.outlet);
  const own = named.flatMap(({ endpoint }) =>
    [endpoint.ipv4, endpoint.ipv6].flatMap((cidr) =>
      cidr === null ? [] : [`${cidr.slice(0, cidr.indexOf('/'))}\t${names}`],
    ),
  );
  return `${[...constantHosts, ...extra, ...own].join('\n')}\n`;
};

/** What the sandbox says of a setting, else its networks together, else null. */
const saidOf = ({ facts, inmates }: SandboxView, setting: keyof Dns): readonly string[] | null => {
  if (facts.dns[setting] !== null) return facts.dns[setting];
  const said = inmates.flatMap(({ network }) => (network.dns[setting] === null ? [] : [network.dns[setting]]));
  return said.length === 0 ? null : [...new Set(said.flat())];
};

const isInternal = ({ network }: Inmate): boolean => network.internal;

/** A search list of "." is an empty one, as resolv.conf(5) has no other way to say it. */
const searchLine = (search: readonly string[]): readonly string[] => {
  const domains = search.filter((domain) => domain !== '.');
  return domains.length === 0 ? [] : [`search ${domains.join(' ')}`];
};

const resolvConf = (view: SandboxView, host: ResolvConf, isServed: boolean): string => {
  const said = saidOf(view, 'servers');
  const servers = said ?? host.servers;
  const options = saidOf(view, 'options') ?? host.options;
  const origin = said === null ? 'as the host' : 'as configured';
  const forwards = view.inmates.length === 0 || !view.inmates.every(isInternal);
  const upstreams = forwards && servers.length > 0 ? `${servers.join(' ')} (${origin})` : 'nobody';
  const withDots = options.some((option) => option.startsWith('ndots:')) ? options : [...options, 'ndots:0'];
  const lines = isServed
    ? [`# Other names are asked of: ${upstreams}`, `nameserver ${RESOLVER_ADDRESS}`]
    : servers.map((server) => `nameserver ${server}`);
  const search = searchLine(saidOf(view, 'search') ?? host.search);
  return `${['# Written by cnmbus; once it is changed by hand, it stays as it is.', ...lines, ...search, `options ${withDots.join(' ')}`].join('\n')}\n`;
};

/**
 * The files of a sandbox as it is.
 * @param isServed whether names are asked of us in it, at 127.0.0.11
 */
export const filesOf = (view: SandboxView, host: ResolvConf, isServed: boolean): Files => ({
  hosts: hosts(view),
  hostname: `${hostnameOf(view)}\n`,
  'resolv.conf': resolvConf(view, host, isServed),
});
