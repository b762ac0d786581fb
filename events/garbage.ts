/**
 * When an endpoint without a sandbox is garbage. One pure rule for the `garbage` view, which says what will be collected, and for the
 * decider, which checks it anew before anything is. It holds for endpoints in state `created` alone: in every other state something is
 * still to happen to them.
 */
import type { z } from 'zod';
import type { Gc } from './commands.ts';

/** Grace periods where neither endpoint nor network says otherwise. */
export const gcPeriods = { leftMs: 5 * 60_000, neverJoinedMs: 24 * 60 * 60_000 } as const;

export interface IdleEndpoint {
  /** False until it has been in a sandbox: such an endpoint was prepared for one that may still come. */
  readonly everJoined: boolean;
  /** Since when it is without a sandbox, RFC 3339. */
  readonly idleSince: string;
  /** It has an address that someone asked for. */
  readonly static: boolean;
  readonly endpointGc: z.infer<typeof Gc> | null;
  readonly networkGc: z.infer<typeof Gc> | null;
}

export interface Verdict {
  readonly since: string;
  /** When it is due, RFC 3339; null for never. */
  readonly dueAt: string | null;
  /** Why it is garbage; where it never is, why not. */
  readonly reason: string;
}

/**
 * The endpoint's own setting counts before its network's, and that before the default. Only its own number makes an endpoint with a
 * static address garbage, since someone wants to find that address again.
 */
export const garbageOf = (endpoint: IdleEndpoint): Verdict => {
  const { everJoined, idleSince: since, endpointGc, networkGc } = endpoint;
  const never = (reason: string): Verdict => ({ since, dueAt: null, reason });
  if (endpointGc === 'off') return never('collection is off for it');
  if (endpointGc === null && endpoint.static) return never('its address was asked for');
  if (endpointGc === null && networkGc === 'off') return never('collection is off for its network');
  const standard = everJoined ? gcPeriods.leftMs : gcPeriods.neverJoinedMs;
  const graceMs = endpointGc ?? (networkGc === 'off' ? null : networkGc) ?? standard;
  const dueAt = new Date(Date.parse(since) + graceMs).toISOString();
  return { since, dueAt, reason: everJoined ? 'left its last sandbox' : 'never joined a sandbox' };
};
