/** VXLAN network identifiers: one for each realm network (RFC 7348: 24 bits). */
import type { SharedState } from './state.ts';

/** Below it are the identifiers that people give by hand; libnetwork begins here too. */
const first = 4096;
const last = 2 ** 24 - 1;

/**
 * The next identifier behind the one that was given last, so that none is used again soon; null where all are held.
 * Complexity: those that are held in a row.
 */
export const nextVni = ({ vnis, vniCursor }: Pick<SharedState, 'vnis' | 'vniCursor'>): number | null => {
  const start = Math.max(first, (vniCursor.get('last') ?? 0) + 1);
  for (let step = 0; step <= last - first; step++) {
    const vni = first + ((start - first + step) % (last - first + 1));
    if (!vnis.has(vni)) return vni;
  }
  return null;
};
