/** Settings of endpoints and sandboxes, from text. Pure; the errors are those of values.ts. */
import type { CommandInput } from '../../events/commands.ts';
import { parsePort } from './port-values.ts';
import { type Call, type Option, UsageError } from './spec.ts';
import { interfaceOf, parseGc, parsePairs } from './values.ts';

type EndpointInput = CommandInput<'CreateEndpoint'>;
/** What an endpoint may be given beside its name and its network. */
export type EndpointFields = Omit<EndpointInput, 'network' | 'name'>;

/** A whole number, negative ones too. */
export const parseInteger = (text: string, what: string): number => {
  if (!/^-?\d{1,9}$/.test(text)) throw new UsageError(`${what} ${text}: write a whole number`);
  return Number(text);
};

/** `10.9.0.0/16=10.200.0.7`, or `10.9.0.0/16` for what is on the link. */
export const parseRoute = (text: string): NonNullable<EndpointFields['routes']>[number] => {
  const [destination = '', gateway, more] = text.split('=');
  if (destination === '' || gateway === '' || more !== undefined) {
    throw new UsageError(`route ${text}: write CIDR=GATEWAY, or CIDR alone for what is on the link`);
  }
  return gateway === undefined ? { destination } : { destination, gateway };
};

/** `http:80` or `dns:53/udp`: a named port, for SRV records. */
export const parseService = (text: string): NonNullable<EndpointFields['services']>[number] => {
  const groups = /^(?<name>[^:/]+):(?<port>\d{1,5})(?:\/(?<proto>\w+))?$/.exec(text)?.groups;
  if (!groups) throw new UsageError(`service ${text}: write NAME:PORT[/tcp|udp|sctp], such as http:80`);
  const { name = '', port, proto } = groups;
  return { name, port: Number(port), ...(proto === undefined ? {} : { protocol: proto as 'tcp' }) };
};

/** `ENDPOINT:ALIAS`s, or `ENDPOINT` for one under its own name, as alias to endpoint name. */
export const parseLinks = (texts: readonly string[]): Record<string, string> =>
  Object.fromEntries(
    texts.map((text) => {
      const [name = '', alias = name, more] = text.split(':');
      if (name === '' || alias === '' || more !== undefined) throw new UsageError(`link ${text}: write ENDPOINT:ALIAS`);
      return [alias, name];
    }),
  );

/** `NAME:IP` or `NAME:host-gateway`; `=` does as well, and an IPv6 address may stand in brackets. */
export const parseExtraHost = (text: string): { name: string; address: string } => {
  const groups = /^(?<name>[^:=]+)[:=](?:\[(?<v6>[^\]]+)\]|(?<address>.+))$/.exec(text)?.groups;
  if (!groups) throw new UsageError(`--add-host ${text}: write NAME:IP or NAME:host-gateway`);
  return { name: groups.name ?? '', address: groups.v6 ?? groups.address ?? '' };
};

const list = <T>(name: string, values: readonly T[]): Record<string, T[]> =>
  values.length === 0 ? {} : { [name]: [...values] };

const pairs = (name: string, values: Readonly<Record<string, string>>): Record<string, object> =>
  Object.keys(values).length === 0 ? {} : { [name]: values };

/** Texts of settings by the names that they have on the command line. */
export interface EndpointTexts {
  one(name: string): string | undefined;
  all(name: string): readonly string[];
}

/** The settings that were given, and no others. */
export const endpointFields = ({ one, all }: EndpointTexts): EndpointFields => {
  const gc = parseGc(one('gc'));
  const priority = one('gw-priority');
  const link = one('ifname');
  return {
    ...list('interfaces', interfaceOf([...all('ip'), ...all('ip6')], one('mac'))),
    ...list('aliases', all('alias')),
    ...list('ports', all('publish').map(parsePort)),
    ...(priority === undefined ? {} : { gatewayPriority: parseInteger(priority, 'gw-priority') }),
    ...(link === undefined ? {} : { interface: link }),
    ...pairs('sysctls', parsePairs(all('sysctl'), 'sysctl')),
    ...list('linkLocal', all('link-local-ip')),
    ...list('routes', all('route').map(parseRoute)),
    ...pairs('links', parseLinks(all('link'))),
    ...list('services', all('service').map(parseService)),
    ...(gc === undefined ? {} : { gc }),
  };
};

const attachmentOptions = [
  ...['name', 'ip', 'ip6', 'mac', 'alias', 'gw-priority', 'ifname', 'publish', 'sysctl', 'link-local-ip', 'route'],
  ...['link', 'service', 'gc'],
];
const severalTimes: ReadonlySet<string> = new Set([
  ...['alias', 'publish', 'sysctl', 'link-local-ip', 'route', 'link', 'service'],
]);

type Attachment = CommandInput<'AttachSandbox'>['networks'][number];

/** `NET[:OPTIONS]`, options `name=`, `ip=`, `alias=` and so on, with commas. */
export const parseAttachment = (text: string, option = '--network'): Attachment => {
  const colon = text.indexOf(':');
  const network = colon < 0 ? text : text.slice(0, colon);
  if (network === '') throw new UsageError(`${option} ${text}: the network is missing in front of the colon`);
  const words = colon < 0 ? [] : text.slice(colon + 1).split(',');
  const given = words.map((word): readonly [string, string] => {
    const at = word.indexOf('=');
    const key = word.slice(0, Math.max(at, 0));
    if (attachmentOptions.includes(key)) return [key, word.slice(at + 1)];
    const known = attachmentOptions.map((name) => `${name}=`).join(' ');
    throw new UsageError(`${option} ${text}: ${word} is none of ${known}`);
  });
  for (const [index, [key]] of given.entries()) {
    const again = !severalTimes.has(key) && given.findIndex(([name]) => name === key) !== index;
    if (again) throw new UsageError(`${option} ${text}: ${key}= is given twice`);
  }
  const all = (key: string) => given.filter(([name]) => name === key).map(([, value]) => value);
  const [name] = all('name');
  const fields = endpointFields({ one: (key) => all(key)[0], all });
  return { network, ...(name === undefined ? {} : { name }), ...fields };
};

export const dnsOptions = {
  dns: { value: 'IP', multiple: true, help: 'a name server to ask; those of the host when left out' },
  'dns-search': { value: 'DOMAIN', multiple: true, help: 'a domain that short names are looked up in' },
  'dns-option': { value: 'OPTION', multiple: true, help: 'an option of resolv.conf, such as ndots:1' },
} as const satisfies Readonly<Record<string, Option>>;

/** The options above as a field of a command; empty when none is given. */
export const dnsFields = (call: Call): Pick<CommandInput<'UpdateNetwork'>, 'dns'> => {
  const dns = {
    ...list('servers', call.texts('dns')),
    ...list('search', call.texts('dns-search')),
    ...list('options', call.texts('dns-option')),
  };
  return Object.keys(dns).length === 0 ? {} : { dns };
};
