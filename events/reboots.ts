/**
 * What a boot of its host means for a sandbox: everything of it in the kernel is gone, and nothing of it on the log. One pure rule for
 * deciders, workers, collectors and views.
 */
import type { SandboxFacts } from './events.ts';
import type { BoundaryState, SandboxRow } from './state.ts';

/** That a sandbox was not made again after a boot. */
export interface Lost {
  /** Of the boot since which it is not there. */
  readonly bootId: string;
  /** Since when that is known, RFC 3339. */
  readonly since: string;
  /** `policy`: as was asked for. `namespace`: it was in a namespace that its caller had made, and that is gone. */
  readonly reason: 'policy' | 'namespace';
  /** Somebody wants it back: it is to be made again. */
  readonly reclaimed: boolean;
}

/** The boot that the host is in, as far as it has said so. */
export const bootOf = ({ facts }: Pick<BoundaryState, 'facts'>): string | null => facts.get('host')?.bootId ?? null;

/** Whether it was made in an earlier boot, and not again since. */
export const isOfBefore = (state: BoundaryState, { boot, status }: SandboxRow): boolean =>
  status === 'ready' && boot !== undefined && boot !== null && boot !== bootOf(state);

/** Whether nothing of it is to be in the kernel: it was lost with a boot, and is not to be made again by itself. */
export const isAway = (state: BoundaryState, row: SandboxRow): boolean => {
  if (row.status !== 'ready') return false;
  if (row.lost) return !row.lost.reclaimed;
  return isOfBefore(state, row) && row.facts.afterReboot !== 'recreate';
};

/** When one that is lost ends, unless somebody wants it back before: RFC 3339. */
export const releasedAt = (
  { afterReboot }: Pick<SandboxFacts, 'afterReboot'>,
  { since }: Pick<Lost, 'since'>,
): string => new Date(Date.parse(since) + (typeof afterReboot === 'number' ? afterReboot : 0)).toISOString();
