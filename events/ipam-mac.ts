/** MAC addresses: their one text, and the ones that are derived from an IP address so that they survive a re-created link. */
import { parseIp } from './ip.ts';

/** The canonical text (lower case, colons), or null. Hyphens and Cisco's dots are read too. */
export function parseMac(text: string): string | null {
  const isKnownForm =
    /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text) ||
    /^[0-9a-f]{2}(-[0-9a-f]{2}){5}$/i.test(text) ||
    /^[0-9a-f]{4}(\.[0-9a-f]{4}){2}$/i.test(text);
  if (!isKnownForm) return null;
  const digits = text.toLowerCase().replaceAll(/[^0-9a-f]/g, '');
  return digits.match(/../g)?.join(':') ?? null;
}

/** Whether an interface may have this canonical MAC (the kernel's is_valid_ether_addr: not multicast, not zero). */
export function isUnicastMac(mac: string): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 0 && mac !== '00:00:00:00:00:00';
}

/** 02:42 and the four octets of an IPv4 address: Docker's rule, which tools and people know. Null when it is none. */
export function macFromIpv4(address: string): string | null {
  const ip = parseIp(address);
  return ip?.family === 4 ? `02:42:${octets(Number(ip.value))}` : null;
}

/** 02:43 and a 32-bit FNV-1a hash of the 16 bytes of an IPv6 address, for endpoints without IPv4. Null when it is none. */
export function macFromIpv6(address: string): string | null {
  const ip = parseIp(address);
  if (ip?.family !== 6) return null;
  let hash = 0x811c9dc5;
  for (let shift = 120n; shift >= 0n; shift -= 8n) {
    hash = Math.imul(hash ^ Number((ip.value >> shift) & 0xffn), 0x01000193);
  }
  return `02:43:${octets(hash >>> 0)}`;
}

function octets(word: number): string {
  return word.toString(16).padStart(8, '0').match(/../g)?.join(':') ?? '';
}
