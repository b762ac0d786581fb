/** What subnets (ipam-subnets.ts) and the addresses of one subnet (ipam-addresses.ts) share. */
import type { Code, Refusal } from './refusals.ts';

/** What a choice answers with. */
export type Choice<T> = { readonly ok: true; readonly value: T } | Refusal;

export const chosen = <T>(value: T): Choice<T> => ({ ok: true, value });

/** The refusals that this folder's address management may answer with; what they mean is in the table of refusals.ts. */
export const ipamCodes = [
  'SUBNET_INVALID',
  'SUBNET_OVERLAPS',
  'SUBNET_POOL_EXHAUSTED',
  'RANGE_INVALID',
  'ADDRESS_INVALID',
  'ADDRESS_OUTSIDE_SUBNET',
  'ADDRESS_RESERVED',
  'ADDRESS_IN_USE',
  'ADDRESS_POOL_EXHAUSTED',
] as const satisfies readonly Code[];

/** How long what was released should rest before it is given to somebody else, by the clock of the command. */
export interface Quarantine {
  readonly nowMs: number;
  readonly quarantineMs: number;
}

/** Whether something released at `atMs` has rested long enough. */
export function hasRested(atMs: number, { nowMs, quarantineMs }: Quarantine): boolean {
  return nowMs - atMs >= quarantineMs;
}

/** Whose something is, in the words of a culprit. `kind`: network or route; endpoint, gateway or aux. */
export interface Holder {
  readonly kind: string;
  readonly id: string;
  readonly name?: string | undefined;
}

/** How many culprits a refusal lists. */
export const CULPRITS_MAX = 10;
