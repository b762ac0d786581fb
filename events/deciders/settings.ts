/** Checks of settings that stand in facts as they are: names, DNS, and what an interface is to have beside its addresses. */
import type { CommandData } from '../commands.ts';
import type { Dns, EndpointFacts, SandboxFacts } from '../events.ts';
import { contains, formatCidr, formatIp, parseCidr, parseIp, parseSubnet } from '../ip.ts';
import { type Refusal, refuse } from '../refusals.ts';
import { found, type Result } from './context.ts';

/** As in host names (RFC 1123), with underscores since people use them; a dot at the end is the root's. */
const hostName = /^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?$/;

/** These go into files line by line: what is no name could bring lines of its own. */
const checkNames = (field: string, names: readonly string[]): Refusal | null => {
  const wrong = names.find((name) => !hostName.test(name));
  if (wrong === undefined) return null;
  return refuse('NAME_INVALID', `${field} ${JSON.stringify(wrong)} is no name`, [
    { kind: 'name', id: wrong, detail: field },
  ]);
};

type DnsRequest = CommandData<'JoinEndpoint'>['dns'];

export const noDns: Dns = { servers: null, search: null, options: null };

export const dnsOf = (request: DnsRequest): Result<Dns> => {
  if (request === undefined) return found(noDns);
  const { servers = null, search = null, options = null } = request;
  const addresses = servers?.map((text) => ({ text, address: parseIp(text) })) ?? null;
  const noAddress = addresses?.find(({ address }) => address === null);
  if (noAddress)
    return refuse('DNS_INVALID', `DNS server ${noAddress.text} is no IP address`, [
      { kind: 'server', id: noAddress.text },
    ]);
  const noWord = options?.find((option) => !/^[!-~]+$/.test(option));
  if (noWord !== undefined)
    return refuse('DNS_INVALID', `${JSON.stringify(noWord)} is no option of resolv.conf`, [
      { kind: 'option', id: noWord },
    ]);
  // A single dot is the root: nothing is searched.
  const problem = checkNames('search domain', search?.filter((name) => name !== '.') ?? []);
  if (problem) return problem;
  const texts = addresses?.map(({ address }) => (address ? formatIp(address.family, address.value) : '')) ?? null;
  return found({ servers: texts, search, options });
};

type Hosts = NonNullable<CommandData<'JoinEndpoint'>['extraHosts']>;

export const extraHostsOf = (hosts: Hosts = []): Result<SandboxFacts['extraHosts']> => {
  const problem = checkNames(
    'extra host',
    hosts.map(({ name }) => name),
  );
  if (problem) return problem;
  const wrong = hosts.find(({ address }) => address !== 'host-gateway' && parseIp(address) === null);
  if (!wrong) return found(hosts);
  return refuse('ADDRESS_INVALID', `extra host ${wrong.name} has ${wrong.address}, which is no address`, [
    { kind: 'address', id: wrong.address },
  ]);
};

export const checkHostNames = (names: {
  readonly hostname?: string | undefined;
  readonly domainname?: string | undefined;
}) =>
  checkNames('host name', names.hostname === undefined ? [] : [names.hostname]) ??
  checkNames('domain name', names.domainname === undefined ? [] : [names.domainname]);

// ---------------------------------------------------------------- interfaces

const linkLocalBlocks = [
  { block: parseSubnet('169.254.0.0/16'), prefix: 16 },
  { block: parseSubnet('fe80::/10'), prefix: 64 },
];

/** With the prefix length of link-local addresses (RFC 3927, RFC 4291 2.5.6). */
export const linkLocalOf = (
  texts: readonly string[],
  families: { readonly ipv4: boolean; readonly ipv6: boolean },
): Result<string[]> => {
  const cidrs: string[] = [];
  for (const text of texts) {
    const culprits = [{ kind: 'address', id: text }];
    const address = parseIp(text);
    const fitting = linkLocalBlocks.find(({ block }) => address && block && contains(block, address));
    if (!address || !fitting)
      return refuse('LINK_LOCAL_INVALID', `${text} lies neither in 169.254.0.0/16 nor in fe80::/10`, culprits);
    if (!(address.family === 4 ? families.ipv4 : families.ipv6))
      return refuse('LINK_LOCAL_INVALID', `the network has no IPv${address.family} for ${text}`, culprits);
    const cidr = `${formatIp(address.family, address.value)}/${fitting.prefix}`;
    if (cidrs.includes(cidr)) return refuse('LINK_LOCAL_INVALID', `${text} is asked for twice`, culprits);
    cidrs.push(cidr);
  }
  return found(cidrs);
};

type RouteRequests = CommandData<'CreateEndpoint'>['routes'];

/** In canonical form; whether they lead anywhere is the driver's to say. */
export const routesOf = (requests: RouteRequests): Result<EndpointFacts['routes']> => {
  const routes: EndpointFacts['routes'] = [];
  for (const { destination, gateway } of requests) {
    const culprits = [{ kind: 'route', id: destination }];
    const parsed = parseCidr(destination);
    if (!parsed || parsed.hasHostBits) return refuse('ROUTE_INVALID', `${destination} is no subnet`, culprits);
    const next = gateway === undefined ? null : parseIp(gateway);
    if (gateway !== undefined && next?.family !== parsed.cidr.family)
      return refuse('ROUTE_INVALID', `${gateway} is no gateway to ${destination}`, culprits);
    routes.push({ destination: formatCidr(parsed.cidr), gateway: next && formatIp(next.family, next.value) });
  }
  return found(routes);
};

/** Of an interface, and of nothing else: a key names its interface as IFNAME. */
const sysctl = /^net\.(ipv4\.(conf|neigh)|ipv6\.(conf|neigh)|mpls\.conf)\.IFNAME\.[a-z0-9_]+$/;

export const checkSysctls = (sysctls: Readonly<Record<string, string>>, hasIpv6: boolean): Refusal | null => {
  for (const [key, value] of Object.entries(sysctls)) {
    const culprits = [{ kind: 'sysctl', id: key, detail: value }];
    if (!sysctl.test(key))
      return refuse(
        'SYSCTL_INVALID',
        `${key} is no setting of an interface, such as net.ipv4.conf.IFNAME.arp_notify`,
        culprits,
      );
    if (!/^[ -~]+$/.test(value)) return refuse('SYSCTL_INVALID', `${key} takes one line of text`, culprits);
    if (key === 'net.ipv6.conf.IFNAME.disable_ipv6' && value.trim() !== '0' && hasIpv6)
      return refuse('SYSCTL_INVALID', `${key} would take away the IPv6 address that the endpoint has`, culprits);
  }
  return null;
};
