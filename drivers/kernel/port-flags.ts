/**
 * Flags of a bridge port. They depend on whether iptables sees bridged packets (br_netfilter): then a packet that was led to a
 * neighbour, or back to its sender, leaves through the bridge again, which isolation would forbid and which only hairpin mode
 * lets out where it came in; the ruleset then sees and stops what isolation would (kernel.md, section 3). Read at the start and at
 * each census.
 */
import type { Veth } from '../objects.ts';
import { type PortFlags, plainPort } from './records.ts';
import { readSetting } from './sysctl.ts';

/** Which bridged packets iptables and nftables see. */
export interface Netfilter {
  readonly ipv4: boolean;
  readonly ipv6: boolean;
}

/** Of the namespace where the thread stands; without br_netfilter there is no such setting. */
export const readNetfilter = (): Netfilter => ({
  ipv4: readSetting('bridge/bridge-nf-call-iptables') === '1',
  ipv6: readSetting('bridge/bridge-nf-call-ip6tables') === '1',
});

/** What else they may see. */
export const otherNetfilters = ({ ipv4, ipv6 }: Netfilter): readonly Netfilter[] =>
  [
    { ipv4: false, ipv6: false },
    { ipv4: true, ipv6: false },
    { ipv4: false, ipv6: true },
    { ipv4: true, ipv6: true },
  ].filter((other) => other.ipv4 !== ipv4 || other.ipv6 !== ipv6);

/** Where the ruleset sees one family only, isolation stays: rather a published port that a neighbour cannot use than a leak. */
export const portFlags = ({ isolated }: Pick<Veth, 'isolated'>, { ipv4, ipv6 }: Netfilter): PortFlags => {
  const byRules = ipv4 && ipv6;
  const marks = { hairpin: ipv4 || ipv6, isolated: isolated && !byRules, fastLeave: isolated && byRules };
  return { ...plainPort, ...marks };
};

export const samePort = (a: PortFlags, b: PortFlags): boolean =>
  a.hairpin === b.hairpin &&
  a.isolated === b.isolated &&
  a.fastLeave === b.fastLeave &&
  a.learning === b.learning &&
  a.unicastFlood === b.unicastFlood;

export { plainPort };

/** Whether a port is isolated; null when its flags are not ours. Where the ruleset does it, the mark says so. */
export const isolationOf = (port: PortFlags, netfilter: Netfilter): boolean | null => {
  const isolated = port.isolated || port.fastLeave;
  return samePort(port, portFlags({ isolated }, netfilter)) ? isolated : null;
};
