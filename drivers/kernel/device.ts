/** Interfaces inside sandboxes that have no end of ours on the host. */
import type { Device, Tag } from '../objects.ts';
import { KernelFailure } from './failure.ts';
import type { Snapshot } from './inside.ts';
import type { LinkRecord } from './records.ts';
import type { Transaction } from './transaction.ts';

/** Makes a device be as wanted. One that is there has to carry one of the tags. */
export const ensureDevice = (_transaction: Transaction, _device: Device, _tags: readonly Tag[]): void => {
  throw new KernelFailure('KERNEL_ERROR', 'devices: not yet');
};

export const removeDevice = (_transaction: Transaction, _device: Device): void => {
  throw new KernelFailure('KERNEL_ERROR', 'devices: not yet');
};

/** A device as it is; `names` are those of the host's links, by index. */
export const describeDevice = (
  _link: LinkRecord,
  _netns: string,
  _inside: Pick<Snapshot, 'addresses'>,
  _names: ReadonlyMap<number, string>,
  _tag: Tag,
): Device => {
  throw new KernelFailure('KERNEL_ERROR', 'devices: not yet');
};
