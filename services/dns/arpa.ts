/** Names of addresses: `2.0.200.10.in-addr.arpa` (RFC 1035 3.5) and the 32 nibbles of `ip6.arpa` (RFC 3596 2.5). */
import { formatIp, ipv4ToNumber, numberToIpv4, parseIp } from '../../events/ip.ts';

/** The address that a name in lower case stands for, canonical; null when it is no whole address. */
export const arpaAddress = (name: string): string | null => {
  if (name.endsWith('.in-addr.arpa')) {
    const number = ipv4ToNumber(name.slice(0, -'.in-addr.arpa'.length));
    if (number < 0) return null;
    const octets = numberToIpv4(number).split('.');
    return octets.reverse().join('.');
  }
  if (!/^([0-9a-f]\.){32}ip6\.arpa$/.test(name)) return null;
  const nibbles = name.slice(0, 64).split('.').reverse().join('');
  return formatIp(6, BigInt(`0x${nibbles}`));
};

/** The reverse of `arpaAddress`; null when the text is no address. */
export const arpaName = (address: string): string | null => {
  const ip = parseIp(address);
  if (!ip) return null;
  if (ip.family === 4) return `${formatIp(4, ip.value).split('.').reverse().join('.')}.in-addr.arpa`;
  return `${[...ip.value.toString(16).padStart(32, '0')].reverse().join('.')}.ip6.arpa`;
};
