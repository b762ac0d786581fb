/** Leases of sandboxes and networks: how long they last unless somebody renews them. Pure; all times are those of events. */
import type { Meta } from './envelope.ts';

export interface Lease {
  /** Who made what it is of: nobody else renews it. */
  readonly actor: string;
  readonly leaseMs: number;
  /** When it began last, RFC 3339. */
  readonly renewedAt: string;
  /** How often it was renewed: both steps of an expiry name it, so that a renewal between them wins. */
  readonly renewals: number;
  /** When step one was taken, RFC 3339; null while it was not. */
  readonly suspectedAt: string | null;
}

/** The lease of something that is made by an event; null where none was asked for. */
export const leaseOf = (
  { leaseMs }: { readonly leaseMs: number | null },
  { actor, time: renewedAt }: Pick<Meta, 'actor' | 'time'>,
): Lease | null => (leaseMs === null ? null : { actor, leaseMs, renewedAt, renewals: 0, suspectedAt: null });

/** Milliseconds since 1970. */
export const expiresMs = ({ renewedAt, leaseMs }: Pick<Lease, 'renewedAt' | 'leaseMs'>): number =>
  Date.parse(renewedAt) + leaseMs;

/** Why a lease is not at its end although somebody has thought so; null where it is. */
export const stillRuns = (lease: Lease | null | undefined, renewals: number, nowMs: number): string | null => {
  if (!lease) return 'has no end: it has none';
  if (lease.renewals !== renewals) return `was renewed at ${lease.renewedAt}`;
  return expiresMs(lease) > nowMs ? `runs until ${new Date(expiresMs(lease)).toISOString()}` : null;
};
