/** Links that speak one 802.1Q tag of their parent. */
import type { Tag, Vlan } from '../objects.ts';
import { KernelFailure } from './failure.ts';
import type { LinkRecord } from './records.ts';
import type { Transaction } from './transaction.ts';

/** Makes a vlan be as wanted. One that is there has to carry one of the tags. */
export const ensureVlan = (_transaction: Transaction, _vlan: Vlan, _tags: readonly Tag[]): void => {
  throw new KernelFailure('KERNEL_ERROR', 'vlans: not yet');
};

export const removeVlan = (_transaction: Transaction, _vlan: Vlan): void => {
  throw new KernelFailure('KERNEL_ERROR', 'vlans: not yet');
};

/** A vlan as it is; `names` are those of the host's links, by index. */
export const describeVlan = (_link: LinkRecord, _names: ReadonlyMap<number, string>, _tag: Tag): Vlan => {
  throw new KernelFailure('KERNEL_ERROR', 'vlans: not yet');
};
