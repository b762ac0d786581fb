/** The namespaces of sandboxes. */
import { formatTag, type Netns, type Tag } from '../objects.ts';
import { foreign, KernelFailure, ownership } from './failure.ts';
import type { Host } from './host.ts';
import { close, SystemError } from './libc.ts';
import { dropListeners } from './listener.ts';
import { findLost, noteNamespace } from './lost-namespace.ts';
import * as netns from './netns.ts';
import { closeSpace, takeSpace } from './spare.ts';
import type { Transaction } from './transaction.ts';

/** A descriptor of the namespace at a path; -1 when there is none, or when the process has no descriptors left. */
export const holdNamespace = (path: string): number => {
  try {
    const found = netns.openNamespace(path);
    return typeof found === 'number' ? found : -1;
  } catch (error) {
    if (error instanceof SystemError && (error.code === 'EMFILE' || error.code === 'ENFILE')) return -1;
    throw error;
  }
};

/** Puts a namespace back to its path, as far as it is off it. */
const pinAgain = (namespace: number, path: string): void => {
  const found = netns.openNamespace(path);
  if (typeof found === 'number') {
    close(found);
    return;
  }
  netns.createFile(path);
  netns.pin(namespace, path);
};

/** Takes a namespace off its path; the descriptor in the job keeps it, so that it can be put back. */
export const unpinNamespace = (transaction: Transaction, object: Netns, links: readonly number[]): void => {
  const { host } = transaction;
  const namespace = holdNamespace(object.path);
  dropListeners(host, object.path);
  if (namespace >= 0 || links.length > 0) transaction.reaps.push({ links, namespace });
  host.namespaces.delete(object.path);
  const run = (): void => {
    if (namespace >= 0) {
      pinAgain(namespace, object.path);
      noteNamespace(host, object.path, namespace);
    }
    netns.writeRecord(host, object);
  };
  // Before it is off its path: it may come off by half.
  transaction.undo.push({ what: `restore netns ${object.path}`, run });
  netns.unpin(object.path);
  netns.removeRecord(host, object.path);
};

/** Undoes the making of a namespace: final, so what pins it goes straight to the reaper. */
export const discardNamespace = (host: Host, object: Netns, links: readonly number[]): void => {
  const namespace = holdNamespace(object.path);
  dropListeners(host, object.path);
  if (namespace >= 0 || links.length > 0) host.reaps.push({ links, namespace });
  host.namespaces.delete(object.path);
  netns.unpin(object.path);
  netns.removeRecord(host, object.path);
};

const claim = (transaction: Transaction, object: Netns): void => {
  const { host } = transaction;
  if (!netns.writeRecord(host, object)) return;
  transaction.undo.push({ what: `forget netns ${object.path}`, run: () => netns.removeRecord(host, object.path) });
};

/** Replaces the record of a path, for an object whose tag changes. */
const reclaim = (transaction: Transaction, before: Netns, object: Netns): void => {
  const { host } = transaction;
  netns.removeRecord(host, before.path);
  netns.writeRecord(host, object);
  const run = (): void => {
    netns.removeRecord(host, object.path);
    netns.writeRecord(host, before);
  };
  transaction.undo.push({ what: `restore record of ${before.path}`, run });
};

const ensureOwned = (transaction: Transaction, object: Netns, known: boolean): void => {
  const { host } = transaction;
  const found = netns.openNamespace(object.path);
  if (found !== 'absent' && !known) {
    if (typeof found === 'number') close(found);
    throw foreign(found === 'other' ? 'file' : 'netns', object.path, '');
  }
  claim(transaction, object);
  if (typeof found === 'number') {
    try {
      netns.within(host, found, (socket) => netns.loopbackUp(host, socket));
    } finally {
      close(found);
    }
    return;
  }
  transaction.undo.push({ what: `remove netns ${object.path}`, run: () => discardNamespace(host, object, []) });
  dropListeners(host, object.path);
  const lost = findLost(host, object);
  try {
    netns.createFile(object.path);
    if (lost === null) makeAt(host, object.path);
    else netns.pin(lost, object.path);
  } finally {
    if (lost !== null) close(lost);
  }
};

const makeAt = (host: Host, path: string): void => {
  const space = takeSpace(host, null);
  try {
    netns.pin(space.descriptor, path);
    noteNamespace(host, path, space.descriptor);
  } finally {
    closeSpace(space);
  }
};

const ensureBrought = (transaction: Transaction, object: Netns): void => {
  const { host } = transaction;
  const found = netns.openNamespace(object.path);
  if (typeof found !== 'number') {
    const text = found === 'absent' ? `no file ${object.path}` : `${object.path} is no network namespace`;
    throw new KernelFailure('NETNS_UNUSABLE', text);
  }
  try {
    if (netns.isSame(found, host.home)) {
      throw new KernelFailure('NETNS_UNUSABLE', `${object.path} is the host's own namespace`);
    }
    claim(transaction, object);
    netns.within(host, found, (socket) => netns.loopbackUp(host, socket));
  } finally {
    close(found);
  }
};

/** Makes a namespace be there. One that is there already has to be recorded under one of the tags. */
export const ensureNetns = (transaction: Transaction, object: Netns, tags: readonly Tag[]): void => {
  const { host } = transaction;
  const record = netns.readRecord(host, object.path);
  if (record !== null) {
    const label = formatTag(record.tag);
    if (ownership(label, tags) !== 'own') throw foreign('netns', object.path, label);
    if (label !== formatTag(object.tag) || record.owned !== object.owned) reclaim(transaction, record, object);
  }
  if (object.owned) ensureOwned(transaction, object, record !== null);
  else ensureBrought(transaction, object);
};

/** Whether a namespace is recorded under the tag of `object`; a path that is there without a record is foreign. */
export const holdsNetns = (host: Host, object: Netns): boolean => {
  const record = netns.readRecord(host, object.path);
  if (record !== null) return ownership(formatTag(record.tag), [object.tag]) === 'own';
  if (object.owned && netns.exists(object.path)) throw foreign('file', object.path, '');
  return false;
};

/** Removes a namespace of ours; one that was brought is forgotten, and stays. */
export const removeNetns = (transaction: Transaction, object: Netns): void => {
  const { host } = transaction;
  if (!holdsNetns(host, object)) return;
  if (object.owned) {
    unpinNamespace(transaction, object, []);
    return;
  }
  netns.removeRecord(host, object.path);
  const run = (): void => {
    netns.writeRecord(host, object);
  };
  transaction.undo.push({ what: `restore record of ${object.path}`, run });
};
