/** Automatic IPv6 subnets of networks that are on all hosts. Pure. */
import { hash } from 'node:crypto';

/** The /48 of automatic IPv6 subnets of realm networks (RFC 4193): the same for every controller of the realm. */
export const realmUlaOf = (realm: string): string => {
  const hex = hash('sha256', `cnm-ula ${realm}`, 'hex');
  const group = (at: number): string => Number.parseInt(hex.slice(at, at + 4), 16).toString(16);
  return `fd${hex.slice(0, 2)}:${group(2)}:${group(6)}::/48`;
};
