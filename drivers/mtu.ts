/** MTUs of networks: the option that sets one, and what it may be. */
import type { NetworkFacts } from '../events/events.ts';
import { type Refusal, refuse } from '../events/refusals.ts';
import { type OptionRule, wholeNumber } from './options.ts';

/** Docker's name. */
export const mtuOption = 'com.docker.network.driver.mtu';

/** 68 is the least MTU of IPv4 (RFC 791). */
export const mtuRule: OptionRule = wholeNumber(68, 65_535);

/** RFC 8200 section 5: below it the kernel takes no IPv6 address. */
const ipv6MtuMin = 1280;

/** @param code whose fault it is: an option's, or that of the links between hosts */
export const checkMtu = (
  { ipv6, mtu }: Pick<NetworkFacts, 'ipv6' | 'mtu'>,
  code: 'OPTION_INVALID' | 'MTU_UNFIT' = 'OPTION_INVALID',
): Refusal | null => {
  if (!ipv6 || mtu === null || mtu >= ipv6MtuMin) return null;
  const culprits = [{ kind: 'option', id: mtuOption, detail: String(mtu) }];
  return refuse(code, `IPv6 needs an MTU of at least ${ipv6MtuMin}, not ${mtu}`, culprits);
};
