/**
 * Somebody else who changes what a plan has just made, before the plan is done: the kernel then refuses a later step, with words that fit
 * any reason. What was made is looked at once more, so that the fault says what became of it.
 */
import { isFailure, KernelFailure } from './failure.ts';
import { listLinks, readLinkAt } from './host.ts';
import { close } from './libc.ts';
import { openNamespace, within } from './netns.ts';

import { peerOf } from './pair.ts';
import type { Made, Transaction } from './transaction.ts';

/** The inner end of a pair whose host end is as it was made. */
const innerTrouble = ({ host }: Transaction, { index, name, inner }: Made): string | null => {
  const end = inner && readLinkAt(host.route, host.writer, index);
  if (!inner || !end) return null;
  const descriptor = openNamespace(inner.netns);
  if (typeof descriptor !== 'number') return `${inner.netns} is no network namespace any more`;
  try {
    const peer = within(host, descriptor, (socket) => peerOf(listLinks(socket, host.writer), end));
    if (peer === undefined) return `the other end of interface ${name} is not in ${inner.netns} any more`;
    return peer.name === inner.name ? null : `interface ${inner.name} in ${inner.netns} is called ${peer.name} now`;
  } finally {
    close(descriptor);
  }
};

/** What is not as it was made; null: nothing that can be seen. */
const troubleWith = (transaction: Transaction, made: Made): string | null => {
  const { route, writer } = transaction.host;
  const { index, name, alias, isThere, on } = made;
  const link = readLinkAt(route, writer, index);
  if (link === null) return isThere ? `interface ${name} is not there any more` : null;
  if (link.name !== name) return link.alias === alias ? `interface ${name} is called ${link.name} now` : null;
  if (on && readLinkAt(route, writer, on.index)?.name !== on.name) return `bridge ${on.name} is not there any more`;
  if (on && isThere && link.master !== on.index) return `interface ${name} is no port of bridge ${on.name} any more`;
  return innerTrouble(transaction, made);
};

/** The failure of a plan that is not taken back yet, with what others have done to what it had made. */
export const withInterference = (transaction: Transaction, error: unknown): unknown => {
  if (!(error instanceof KernelFailure) || (error.code !== 'KERNEL_ERROR' && error.code !== 'SYSCTL_INVALID'))
    return error;
  try {
    for (const made of transaction.made.toReversed()) {
      const trouble = troubleWith(transaction, made);
      if (trouble !== null)
        return new KernelFailure('INTERFERED', `${error.message}: ${trouble}; somebody else changed it`, error.errno);
    }
  } catch (unreadable) {
    if (!isFailure(unreadable)) throw unreadable;
  }
  return error;
};
