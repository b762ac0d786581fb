/** Values of options, from text. Pure; what cannot be read is a UsageError, what can be read and is not allowed is the service's to refuse. */
import type { CommandInput } from '../../events/commands.ts';
import { type Call, type Options, UsageError } from './spec.ts';

const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * `90s`, `5m`, `24h`, `7d`, `1500ms` as milliseconds.
 * @param what option that it is given to
 */
export const parseDuration = (text: string, what: string): number => {
  const match = /^(\d{1,9}(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  if (!match) throw new UsageError(`${what}: ${text} is no duration: write 30s, 5m, 24h or 7d`);
  return Math.round(Number(match[1]) * units[match[2] as keyof typeof units]);
};

/** `off`, or a duration. */
export const parseGc = (text: string | undefined): number | 'off' | undefined =>
  text === undefined || text === 'off' ? text : parseDuration(text, 'gc');

/** `recreate`, `release`, or `hold:DURATION`. */
export const parseAfterReboot = (text: string): 'recreate' | 'release' | number => {
  if (text === 'recreate' || text === 'release') return text;
  if (!text.startsWith('hold:')) throw new UsageError(`--after-reboot ${text}: write recreate, release, or hold:30m`);
  return parseDuration(text.slice('hold:'.length), '--after-reboot');
};

/** How long something lasts unless it is renewed, and who it is for. */
export const leaseOptions = {
  lease: { value: 'DURATION', help: 'it ends unless `cnm lease renew` comes at least so often' },
  owner: { value: 'NAME', help: 'who it is for: a job, a tenant, a team' },
} as const satisfies Options;

/** The options above as fields of a command. */
export const leaseFields = (call: Call): { readonly leaseMs?: number; readonly owner?: string } => {
  const [lease, owner] = [call.text('lease'), call.text('owner')];
  return {
    ...(lease === undefined ? {} : { leaseMs: parseDuration(lease, '--lease') }),
    ...(owner === undefined ? {} : { owner }),
  };
};

/** `KEY=VALUE`s as an object; the value may hold more of `=`. */
export const parsePairs = (texts: readonly string[], what: string): Record<string, string> =>
  Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf('=');
      if (at < 1) throw new UsageError(`${what} ${text}: write KEY=VALUE`);
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );

const written = /^(\d{4}-\d\d-(\d\d))(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(Z|[+-]\d\d:\d\d)?)?$/;

/** A position of the log, or a time: RFC 3339, or as listings show it, which is in UTC where it names no zone. */
export const parseMoment = (text: string): number | string => {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const [, date = '', day, time = '00:00', zone = 'Z'] = written.exec(text.toUpperCase()) ?? [];
  const ms = Date.parse(`${date}T${time}${zone}`);
  // A 30th of February would be read as a day of March.
  const isDay = new Date(`${date}T00:00Z`).getUTCDate() === Number(day);
  if (Number.isNaN(ms) || !isDay)
    throw new UsageError(`${text} is neither a position nor a time such as 2026-01-31T14:03:00Z`);
  return new Date(ms).toISOString();
};

const familyOf = (address: string): 4 | 6 => (address.includes(':') ? 6 : 4);

/** Options of drivers: one without a value has an empty one, as on Docker's command line. */
export const parseDriverOptions = (texts: readonly string[], what: string): Record<string, string> =>
  parsePairs(
    texts.map((text) => (text === '' || text.includes('=') ? text : `${text}=`)),
    what,
  );

export type SubnetInput = NonNullable<NonNullable<CommandInput<'CreateNetwork'>['ipam']>['subnets']>[number];

export interface SubnetTexts {
  readonly subnets: readonly string[];
  readonly ranges: readonly string[];
  readonly gateways: readonly string[];
  readonly aux: Readonly<Record<string, string>>;
}

/** Options of one family belong together: the n-th range and gateway to the n-th subnet, auxiliary addresses to the first. */
export const parseSubnets = ({ subnets, ranges, gateways, aux }: SubnetTexts): readonly SubnetInput[] =>
  ([4, 6] as const).flatMap((family) => {
    const own = (texts: readonly string[]) => texts.filter((text) => familyOf(text) === family);
    const [ownSubnets, ownRanges, ownGateways] = [own(subnets), own(ranges), own(gateways)];
    const ownAux = Object.entries(aux).filter(([, address]) => familyOf(address) === family);
    const count = Math.max(ownSubnets.length, ownRanges.length, ownGateways.length, ownAux.length > 0 ? 1 : 0);
    return Array.from({ length: count }, (_, index): SubnetInput => {
      const [subnet, range, gateway] = [ownSubnets[index], ownRanges[index], ownGateways[index]];
      return {
        family,
        ...(subnet === undefined ? {} : { subnet }),
        ...(range === undefined ? {} : { range }),
        ...(gateway === undefined ? {} : { gateway }),
        ...(index === 0 && ownAux.length > 0 ? { aux: Object.fromEntries(ownAux) } : {}),
      };
    });
  });

export type InterfaceInput = NonNullable<CommandInput<'CreateEndpoint'>['interfaces']>[number];

/** The addresses that someone asks for, as an endpoint's only interface; none when nothing is asked for. */
export const interfaceOf = (ips: readonly string[], mac: string | undefined): InterfaceInput[] => {
  const own = (family: 4 | 6): string | undefined => {
    const [address, second] = ips.filter((ip) => familyOf(ip) === family);
    if (second !== undefined) throw new UsageError(`${address} and ${second}: an endpoint has one address per family`);
    return address;
  };
  const [ipv4, ipv6] = [own(4), own(6)];
  const asked = {
    ...(ipv4 === undefined ? {} : { ipv4 }),
    ...(ipv6 === undefined ? {} : { ipv6 }),
    ...(mac === undefined ? {} : { mac }),
  };
  return Object.keys(asked).length > 0 ? [asked] : [];
};

/**
 * `HOST/NAME` or `NAME`.
 * @param named the host that `--host` names, if it is given
 */
export const splitName = (
  text: string,
  named: string | undefined,
): { readonly host: string | undefined; readonly name: string } => {
  const [host = '', name, ...more] = text.split('/');
  if (name === undefined) return { host: named, name: text };
  if (host === '' || name === '' || more.length > 0) throw new UsageError(`${text}: write HOST/NAME or NAME`);
  if (named !== undefined && named !== host) throw new UsageError(`${text} and --host ${named}: name one host`);
  return { host, name };
};
