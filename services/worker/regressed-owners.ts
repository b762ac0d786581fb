/** Whose objects stay as they are, since the log has lost what it knew of them (docs/adr/0029). */
import type { BoundaryState } from '../../events/state.ts';
import { ownerOf } from './present.ts';

const nobody: ReadonlySet<string> = new Set();

export const keptOwners = ({ regressed }: Pick<BoundaryState, 'regressed'>): ReadonlySet<string> => {
  const row = regressed.get('log');
  return row ? new Set(row.held.map(ownerOf)) : nobody;
};
