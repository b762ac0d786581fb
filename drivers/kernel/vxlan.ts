/** Tunnels in the host's namespace. */
import type { Tag, Vxlan } from '../objects.ts';
import { KernelFailure } from './failure.ts';
import type { LinkRecord } from './records.ts';
import type { Transaction } from './transaction.ts';

/** Makes a vxlan be as wanted. One that is there has to carry one of the tags. */
export const ensureVxlan = (_transaction: Transaction, _vxlan: Vxlan, _tags: readonly Tag[]): void => {
  throw new KernelFailure('KERNEL_ERROR', 'vxlans: not yet');
};

export const removeVxlan = (_transaction: Transaction, _vxlan: Vxlan): void => {
  throw new KernelFailure('KERNEL_ERROR', 'vxlans: not yet');
};

/** A vxlan as it is; `names` are those of the host's links, by index. */
export const describeVxlan = (_link: LinkRecord, _names: ReadonlyMap<number, string>, _tag: Tag): Vxlan => {
  throw new KernelFailure('KERNEL_ERROR', 'vxlans: not yet');
};
