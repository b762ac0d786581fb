/** What a plugin may say of addresses, links and routes: zod schemas that read one text each and answer it in its canonical form. */
import { z } from 'zod';
import { classOf, contains, type Family, formatCidr, formatIp, type Ip, parseCidr, parseIp } from '../../events/ip.ts';
import { isUnicastMac, parseMac } from '../../events/ipam-mac.ts';
import { goStruct, goText } from './go-json.ts';

/** Of what no interface can have as its address and no packet can be sent through. */
const unusable: ReadonlySet<string | null> = new Set([
  'unspecified',
  'loopback',
  'multicast',
  'broadcast',
  'v4-mapped',
]);
const isUsable = (address: Ip): boolean => !unusable.has(classOf(address));

/** A text of the plugin: '' is null, what `read` cannot read is a problem `TEXT is not WHAT`. */
const orNothing = (what: string, read: (text: string) => string | null) =>
  goText.transform((text, context): string | null => {
    if (text === '') return null;
    const value = read(text);
    if (value === null) context.addIssue({ code: 'custom', message: `${JSON.stringify(text)} is not ${what}` });
    return value;
  });

/** Address with prefix length, canonical; null where it is not one of this family, or none that an interface can have. */
export const readAddress = (text: string, family?: Family): string | null => {
  const parsed = parseCidr(text);
  if (parsed === null || (family !== undefined && parsed.address.family !== family)) return null;
  if (!isUsable(parsed.address)) return null;
  return `${formatIp(parsed.address.family, parsed.address.value)}/${parsed.cidr.prefix}`;
};

const readHost = (text: string, family: Family): string | null => {
  const ip = parseIp(text);
  return ip?.family === family && isUsable(ip) ? formatIp(ip.family, ip.value) : null;
};

/** A subnet without host bits, canonical. `0.0.0.0/0` and `::/0` are subnets: they stand for "no subnet". */
export const readSubnet = (text: string): string | null => {
  const parsed = parseCidr(text);
  return parsed === null || parsed.hasHostBits ? null : formatCidr(parsed.cidr);
};

export const familyOf = (text: string): Family => (text.includes(':') ? 6 : 4);

/** Whether an address, with prefix length or without, lies in a subnet; both canonical. */
export const liesIn = (address: string, subnet: string): boolean => {
  const outer = parseCidr(subnet);
  const inner = address.includes('/') ? parseCidr(address)?.address : parseIp(address);
  return outer !== null && inner !== null && inner !== undefined && contains(outer.cidr, inner);
};

export const Ipv4Address = orNothing('an IPv4 address with its prefix length', (text) => readAddress(text, 4));
export const Ipv6Address = orNothing('an IPv6 address with its prefix length', (text) => readAddress(text, 6));
export const Gateway4 = orNothing('an IPv4 address', (text) => readHost(text, 4));
export const Gateway6 = orNothing('an IPv6 address', (text) => readHost(text, 6));

export const MacText = orNothing('a unicast MAC address', (text) => {
  const mac = parseMac(text);
  return mac !== null && isUnicastMac(mac) ? mac : null;
});

/** The kernel's dev_valid_name: 15 bytes at most, no slash, colon or white space. */
export const LinkName = orNothing('the name of a link', (text) =>
  /^(?!\.{1,2}$)[^\s/:\p{Cc}\p{Cs}]{1,15}$/u.test(text) && Buffer.byteLength(text) <= 15 ? text : null,
);
/** In front of a number of up to three digits. */
export const LinkPrefix = orNothing('the beginning of an interface name', (text) =>
  /^[A-Za-z0-9][A-Za-z0-9_.-]{0,11}$/.test(text) ? text : null,
);

/** More routes than these no join can have (SettleIntent). */
const ROUTES_MAX = 64;
/** RouteType of a route by way of a next hop; every other one is on the link. */
const BY_NEXT_HOP = 0;

export interface PluginRoute {
  readonly destination: string;
  /** Null: on the link. */
  readonly gateway: string | null;
}

const Route = goStruct({ Destination: goText, RouteType: z.int().default(0), NextHop: goText }).transform(
  ({ Destination, RouteType, NextHop }, context): PluginRoute => {
    const destination = readSubnet(Destination);
    if (destination === null) {
      const message = `${JSON.stringify(Destination)} is not a destination without host bits`;
      context.addIssue({ code: 'custom', message, path: ['Destination'] });
      return { destination: '', gateway: null };
    }
    if (RouteType !== BY_NEXT_HOP) return { destination, gateway: null };
    const gateway = readHost(NextHop, familyOf(destination));
    if (gateway === null) {
      const message = `${JSON.stringify(NextHop)} is not an address of the family of ${destination}, as RouteType 0 needs it`;
      context.addIssue({ code: 'custom', message, path: ['NextHop'] });
    }
    return { destination, gateway };
  },
);
export const Routes = z.array(Route).max(ROUTES_MAX).default([]);

/** What zod found wrong, in one line: `Interface.Address: "10.0.0.1" is not …; Gateway: …`. */
export const problemsOf = (error: z.ZodError): string =>
  error.issues
    .map(({ path, message }) => (path.length === 0 ? message : `${path.map(String).join('.')}: ${message}`))
    .join('; ');
