/** Links that lead nowhere: veth pairs of ours with both ends on the host. */
import type { Stub, Tag } from '../objects.ts';
import { KernelFailure } from './failure.ts';
import type { LinkRecord } from './records.ts';
import type { Transaction } from './transaction.ts';

/** Makes a stub be as wanted. One that is there has to carry one of the tags. */
export const ensureStub = (_transaction: Transaction, _stub: Stub, _tags: readonly Tag[]): void => {
  throw new KernelFailure('KERNEL_ERROR', 'stubs: not yet');
};

export const removeStub = (_transaction: Transaction, _stub: Stub): void => {
  throw new KernelFailure('KERNEL_ERROR', 'stubs: not yet');
};

/** The stub that a link is an end of, when it is the end with its name; `links` are all of the host's. */
export const describeStub = (_link: LinkRecord, _links: readonly LinkRecord[], _tag: Tag): readonly Stub[] => {
  throw new KernelFailure('KERNEL_ERROR', 'stubs: not yet');
};
