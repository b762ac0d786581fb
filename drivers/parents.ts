/** What networks of the drivers macvlan and ipvlan stand on: a link of the host, a 802.1q link over one, or a stub. */
import type { DriverRules } from '../events/driver-rules.ts';
import type { EventData, NetworkFacts } from '../events/events.ts';
import { type Refusal, refuse } from '../events/refusals.ts';
import { bridgeOf } from './bridge-options.ts';
import { type HostContext, tagOf } from './driver.ts';
import type { KernelObject } from './objects.ts';
import type { OptionRule } from './options.ts';

type Options = NetworkFacts['options'];

/** Docker's name. */
export const parentOption = 'parent';

/** Names of links that come and go with networks and endpoints: whatever stood on one would go with it, unasked. */
const isOurs = (link: string): boolean => /^c[bnpqvx][0-9a-z]{12}$/.test(link);

/** Any name that the kernel takes (dev_valid_name, net/core/dev.c) but loopback's, which carries nothing, and those that we give. */
export const parentRule: OptionRule = (value) => {
  if (isOurs(value)) return 'an interface of the host, which cnmbus makes none of';
  const isName = value !== 'lo' && /^(?!\.{1,2}$)[!-.0-9;-~]{1,15}$/.test(value);
  return isName ? null : 'the name of an interface of the host other than lo';
};

export const hasParent = (options: Options): boolean => options[parentOption] !== undefined;

/** Endpoints are machines in the parent's own network. */
export const lanOf = (options: Options): string | null => options[parentOption] ?? null;

/** `eth0.50`: VLAN 50 of eth0. Null for any other name. */
const splitName = (link: string): { readonly parent: string; readonly id: number } | null => {
  const match = /^(.+)\.([0-9]+)$/.exec(link);
  return match ? { parent: match[1] ?? '', id: Number(match[2]) } : null;
};

/** 802.1Q: 0 and 4095 are reserved. */
const vlanIds = { first: 1, last: 4094 } as const;

const missingVlan = (driver: string, host: EventData<'HostFacts'> | undefined, link: string): Refusal =>
  refuse('CAPABILITY_MISSING', `host ${host?.host ?? ''} lacks vlan for ${link}, a parent of driver ${driver}`, [
    { kind: 'capability', id: 'vlan' },
    { kind: 'option', id: parentOption, detail: link },
  ]);

/** Values that fail the checks may be given: the checks say what is wrong with them. */
export const parentOf =
  (driver: string): DriverRules['parentOf'] =>
  ({ id, options }, host) => {
    const link = options[parentOption];
    if (link === undefined) return { link: `cp${id}`, make: 'stub' };
    const split = splitName(link);
    if (split === null || host?.vlans.includes(link)) return { link, make: 'nothing' };
    if (split.id < vlanIds.first || split.id > vlanIds.last || link !== `${split.parent}.${split.id}`) {
      const culprits = [{ kind: 'option', id: parentOption, detail: link }];
      const range = `${vlanIds.first} to ${vlanIds.last}`;
      return refuse(
        'OPTION_INVALID',
        `${link} is no interface of the host, and no VLAN from ${range} of one`,
        culprits,
      );
    }
    return host?.capabilities.vlan === true ? { link, make: 'vlan' } : missingVlan(driver, host, link);
  };

/** What has to be made for a network to stand on. */
export const parentObjects = (host: HostContext, network: NetworkFacts): readonly KernelObject[] => {
  const { id, parent, mtu } = network;
  if (parent === null || parent.make === 'nothing') return [];
  const [name, tag] = [parent.link, tagOf(host, 'network', id)];
  if (parent.make === 'stub') return [{ kind: 'stub', name, mtu: mtu ?? 1500, tag }];
  const split = splitName(name);
  return split === null ? [] : [{ kind: 'vlan', name, parent: split.parent, id: split.id, tag }];
};

/** Links of the host that have to be there before anything is done. */
export const neededLinks = ({ parent }: NetworkFacts): readonly string[] => {
  if (parent === null || parent.make === 'stub') return [];
  return parent.make === 'nothing' ? [parent.link] : [splitName(parent.link)?.parent ?? parent.link];
};

/** Drivers whose links cannot be on a parent together: each takes all that comes in there (netdev_rx_handler_register). */
const drivers: ReadonlySet<string> = new Set(['macvlan', 'ipvlan']);

const forbidden = (other: NetworkFacts, why: string, { parent }: NetworkFacts): Refusal =>
  refuse('DRIVER_FORBIDS', why, [
    { kind: 'network', id: other.id, name: other.name },
    { kind: 'option', id: parentOption, detail: parent?.link ?? '' },
  ]);

/**
 * Whether a network can be on its parent beside others.
 * @param fits whether it can be there with one of its own driver; answers why not
 */
export const checkSharing = (
  network: NetworkFacts,
  others: Iterable<NetworkFacts>,
  fits: (other: NetworkFacts) => string | null,
): Refusal | null => {
  for (const other of others) {
    if (other.driver === 'bridge' && neededLinks(network).includes(bridgeOf(other)))
      return forbidden(other, `interface ${bridgeOf(other)} is network ${other.name}, and goes with it`, network);
    if (!drivers.has(other.driver) || other.parent === null || other.parent.link !== network.parent?.link) continue;
    const why =
      other.driver === network.driver ? fits(other) : `the kernel has no ${network.driver} beside ${other.driver}`;
    if (why === null) continue;
    const carries = `interface ${other.parent.link} carries network ${other.name} of driver ${other.driver}`;
    return forbidden(other, `${carries}: ${why}`, network);
  }
  return null;
};
