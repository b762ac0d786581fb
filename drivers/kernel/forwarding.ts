/** Forwarding of the host, which networks with a way out need. It is turned on where it is off, and never off: others may need it too. */
import { type Bridge, parseTag } from '../objects.ts';
import { goHome, type Host, listLinks } from './host.ts';
import { ipv6Interfaces, readSetting, writeSetting } from './sysctl.ts';
import type { Transaction } from './transaction.ts';

const ipv4Forwarding = 'ipv4/ip_forward';
const ipv6Forwarding = 'ipv6/conf/all/forwarding';

const hasIpv6 = ({ addresses }: Pick<Bridge, 'addresses'>): boolean => addresses.some((cidr) => cidr.includes(':'));

/** Writes a setting of the host's namespace, if it says otherwise; where there is none, nothing is needed. */
const set = (transaction: Transaction, path: string, value: string): void => {
  const { host, undo } = transaction;
  goHome(host);
  const before = readSetting(path);
  if (before === null || before === value) return;
  writeSetting(path, value);
  const run = (): void => {
    goHome(host);
    writeSetting(path, before);
  };
  undo.push({ what: `restore net.${path.replaceAll('/', '.')}`, run });
};

/**
 * A host that forwards IPv6 does not listen to router advertisements, unless accept_ra is 2 (ip-sysctl: it would lose its own
 * default route). So what listened goes on listening. Links of ours never did, and must not: on them are guests, any of whom
 * could make itself the host's router.
 */
const keepAdvertisements = (transaction: Transaction): void => {
  const { host } = transaction;
  const links = listLinks(host.route, host.writer);
  const ours = new Set(links.flatMap(({ name, alias }) => (parseTag(alias) ? [name] : [])));
  goHome(host);
  for (const name of ipv6Interfaces()) {
    if (ours.has(name) || readSetting(`ipv6/conf/${name}/forwarding`) !== '0') continue;
    if (readSetting(`ipv6/conf/${name}/accept_ra`) === '1') set(transaction, `ipv6/conf/${name}/accept_ra`, '2');
  }
};

/** Makes the host forward for a bridge that is routed. */
export const ensureForwarding = (transaction: Transaction, bridge: Bridge): void => {
  if (!bridge.routed) return;
  set(transaction, ipv4Forwarding, '1');
  if (!hasIpv6(bridge)) return;
  goHome(transaction.host);
  if (readSetting(ipv6Forwarding) !== '0') return;
  keepAdvertisements(transaction);
  set(transaction, ipv6Forwarding, '1');
};

/** A bridge takes no router advertisements: guests are on it. */
export const refuseAdvertisements = (host: Host, bridge: string): void => {
  goHome(host);
  const path = `ipv6/conf/${bridge}/accept_ra`;
  const found = readSetting(path);
  if (found !== null && found !== '0') writeSetting(path, '0');
};

/** What of the host forwards. */
export interface Forwarding {
  readonly ipv4: boolean;
  readonly ipv6: boolean;
}

export const readForwarding = (host: Host): Forwarding => {
  goHome(host);
  return { ipv4: readSetting(ipv4Forwarding) === '1', ipv6: readSetting(ipv6Forwarding) === '1' };
};

/** Whether the host forwards as far as a bridge needs it. */
export const forwards = (forwarding: Forwarding, bridge: Pick<Bridge, 'addresses'>): boolean =>
  forwarding.ipv4 && (forwarding.ipv6 || !hasIpv6(bridge));
