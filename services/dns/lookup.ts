/** Answers questions out of a zone. Pure but for chance, which the caller brings: it decides in which order round robin answers stand. */
import { arpaAddress } from './arpa.ts';
import type { Sight, Zone, ZoneEntry, ZoneSandbox } from './zone.ts';

export interface Question {
  /** As it was asked, without a last dot; null where it is no text, and so the name of nothing here. */
  readonly name: string | null;
  /** `A`, `AAAA`, ..., `UNKNOWN_65`. */
  readonly type: string;
  readonly class: string;
}

export type Resource =
  | { readonly type: 'A' | 'AAAA' | 'PTR' | 'TXT'; readonly name: string; readonly data: string }
  | {
      readonly type: 'SRV';
      readonly name: string;
      readonly data: { readonly priority: 0; readonly weight: 0; readonly port: number; readonly target: string };
    };

export interface LocalAnswer {
  readonly rcode: 'NOERROR' | 'NXDOMAIN' | 'SERVFAIL' | 'REFUSED';
  readonly answers: readonly Resource[];
  readonly additionals: readonly Resource[];
  /** The name is one of ours. */
  readonly authoritative: boolean;
}

/** A whole number from 0 to below the limit. */
export type Random = (limit: number) => number;

/** Answers, as TXT, at which position of the log the names are. */
const positionName = 'position.cnm';

/** Of single labels, that is the top of the tree, only these are asked of others: what a validating resolver needs to begin. */
const treeTypes: ReadonlySet<string> = new Set(['NS', 'SOA', 'DS', 'DNSKEY']);

const refused = (rcode: LocalAnswer['rcode']): LocalAnswer => ({
  rcode,
  answers: [],
  additionals: [],
  authoritative: false,
});
const found = (answers: readonly Resource[], additionals: readonly Resource[] = []): LocalAnswer => ({
  rcode: 'NOERROR',
  answers,
  additionals,
  authoritative: true,
});

const shuffled = <T>(items: readonly T[], random: Random): readonly T[] => {
  const mixed = [...items];
  for (let last = mixed.length - 1; last > 0; last--) {
    const other = random(last + 1);
    [mixed[last], mixed[other]] = [mixed[other] as T, mixed[last] as T];
  }
  return mixed;
};

// ---------------------------------------------------------------- names

type Bearers = ReadonlySet<ZoneEntry>;

const inSight = ({ entry, network }: Sight, name: string): Bearers | undefined =>
  network.names.get(entry.links.get(name) ?? name);

/** Who bears a name, network by network in the order of the sandbox's gateways: links and names first, then NAME.NETWORK. */
const bearersOf = (sandbox: ZoneSandbox, name: string): readonly Bearers[] => {
  const linked = sandbox.sights.filter(({ entry }) => entry.links.has(name));
  const plain = [...linked, ...sandbox.sights].flatMap((sight) => inSight(sight, name) ?? []);
  // Names and networks may both have dots in them, so each network is looked for at the end.
  const qualified = sandbox.sights.flatMap((sight) => {
    const ending = `.${sight.network.name}`;
    if (!name.endsWith(ending)) return [];
    return inSight(sight, name.slice(0, -ending.length)) ?? [];
  });
  return [...plain, ...qualified];
};

/** Its addresses of a family, of the first network where it has any. */
const addressesOf = (bearers: readonly Bearers[], family: 'ipv4' | 'ipv6'): readonly string[] => {
  for (const entries of bearers) {
    const addresses = [...entries].flatMap((entry) => entry[family] ?? []);
    if (addresses.length > 0) return addresses;
  }
  return [];
};

const addressRecords = (
  name: string,
  bearers: readonly Bearers[],
  type: string,
  random: Random,
): readonly Resource[] => {
  const records = (family: 'ipv4' | 'ipv6', record: 'A' | 'AAAA'): readonly Resource[] =>
    type === record || type === 'ANY'
      ? shuffled(addressesOf(bearers, family), random).map((data) => ({ type: record, name, data }))
      : [];
  return [...records('ipv4', 'A'), ...records('ipv6', 'AAAA')];
};

// ---------------------------------------------------------------- services and addresses

/** Labels have at most 63 bytes and names 253 (RFC 1035 2.3.4): names of endpoints may be longer. */
const isEncodable = (name: string): boolean =>
  Buffer.byteLength(name) <= 253 &&
  name.split('.').every((label) => label.length > 0 && Buffer.byteLength(label) <= 63);

/** A name by which an endpoint is found from wherever its network is; undefined when none fits into a message. */
const fullName = ({ names, network }: ZoneEntry): string | undefined =>
  names.map((name) => `${name}.${network.name.toLowerCase()}`).find(isEncodable);

const serviceRecords = (
  question: { readonly name: string; readonly service: string; readonly protocol: string },
  bearers: readonly Bearers[],
  random: Random,
): LocalAnswer => {
  const answers: Resource[] = [];
  const additionals: Resource[] = [];
  for (const entry of shuffled([...(bearers[0] ?? [])], random)) {
    const target = fullName(entry);
    for (const { name, protocol, port } of entry.services) {
      if (name !== question.service || protocol !== question.protocol || target === undefined) continue;
      answers.push({ type: 'SRV', name: question.name, data: { priority: 0, weight: 0, port, target } });
      if (entry.ipv4 !== null) additionals.push({ type: 'A', name: target, data: entry.ipv4 });
      if (entry.ipv6 !== null) additionals.push({ type: 'AAAA', name: target, data: entry.ipv6 });
    }
  }
  return found(answers, additionals);
};

const reverse = (sandbox: ZoneSandbox, name: string, address: string, type: string): LocalAnswer | undefined => {
  for (const { network } of sandbox.sights) {
    const entry = network.addresses.get(address);
    if (!entry) continue;
    if (type !== 'PTR' && type !== 'ANY') return found([]);
    const data = fullName(entry);
    return data === undefined ? refused('SERVFAIL') : found([{ type: 'PTR', name, data }]);
  }
  return undefined;
};

/** What is known here about a name; undefined when it is no name of ours. */
const local = (
  zone: Zone,
  sandbox: ZoneSandbox,
  asked: string,
  type: string,
  random: Random,
): LocalAnswer | undefined => {
  const name = asked.toLowerCase();
  if (name === positionName) {
    const data = `position=${zone.position}`;
    return found(type === 'TXT' || type === 'ANY' ? [{ type: 'TXT', name: asked, data }] : []);
  }
  const address = arpaAddress(name);
  if (address !== null) return reverse(sandbox, asked, address, type);
  const bearers = bearersOf(sandbox, name);
  if (bearers.length > 0) return found(addressRecords(asked, bearers, type, random));
  const [, service = '', protocol = '', rest = ''] = /^_([^.]+)\._([^.]+)\.(.+)$/.exec(name) ?? [];
  const offering = rest === '' ? [] : bearersOf(sandbox, rest);
  if (offering.length === 0) return undefined;
  return type === 'SRV' || type === 'ANY'
    ? serviceRecords({ name: asked, service, protocol }, offering, random)
    : found([]);
};

/**
 * The answer to a sandbox's question, or that others are to be asked. A name of ours is answered here whatever the type: with nothing
 * where there is nothing of that type, since nobody else knows it.
 */
export const answer = (
  zone: Zone,
  incarnation: string,
  question: Question,
  random: Random,
): LocalAnswer | 'forward' => {
  const sandbox = zone.of(incarnation);
  if (!sandbox || (question.class !== 'IN' && question.class !== 'ANY')) return refused('REFUSED');
  const { name, type } = question;
  if (type === 'AXFR' || type === 'IXFR') return refused('REFUSED');
  const known = name === null ? undefined : local(zone, sandbox, name, type, random);
  if (known) return known;
  if (!sandbox.forwards) return refused('NXDOMAIN');
  const isSingle = name !== null && name !== '' && !name.includes('.');
  return isSingle && !treeTypes.has(type) ? refused('NXDOMAIN') : 'forward';
};
