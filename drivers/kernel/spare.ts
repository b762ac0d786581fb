/**
 * New network namespaces. To make one is half of what a sandbox costs, and nothing in it depends on whose it will be: some are made
 * ahead, while the thread has nothing else to do. They have no path, so they go with the process whatever ends it.
 */
import { NL } from './constants.ts';
import { goHome, type Host, threadNamespace } from './host.ts';
import { C, check, close, open, SystemError, unshare } from './libc.ts';
import { NetlinkSocket } from './netlink.ts';
import { loopbackUp } from './netns.ts';

/** A namespace with loopback up. Whoever holds it closes it; it lives on where it was pinned. */
export interface Space {
  readonly descriptor: number;
  /** Speaks to it, wherever the thread is. */
  readonly socket: NetlinkSocket;
  /** Speaks to its packet filter; null where the kernel has none. */
  readonly filter: NetlinkSocket | null;
}

/** Enough for what a scheduler places at once on one host; each takes some 200 KB of the kernel's memory. */
const sparesMax = 8;

/** Moves the thread into a new namespace. */
export const leave = (host: Host): void => {
  check(unshare(C.CLONE_NEWNET), 'unshare(CLONE_NEWNET)');
  host.away = true;
};

/** A kernel without nfnetlink knows no such socket. */
const openFilter = (): NetlinkSocket | null => {
  try {
    return new NetlinkSocket(NL.NETFILTER);
  } catch (error) {
    if (error instanceof SystemError) return null;
    throw error;
  }
};

const make = (host: Host): Space => {
  leave(host);
  const descriptor = check(open(threadNamespace, C.O_RDONLY | C.O_CLOEXEC, 0), `open ${threadNamespace}`);
  try {
    const socket = new NetlinkSocket(NL.ROUTE);
    try {
      loopbackUp(host, socket);
    } catch (error) {
      socket.close();
      throw error;
    }
    return { descriptor, socket, filter: openFilter() };
  } catch (error) {
    close(descriptor);
    throw error;
  } finally {
    goHome(host);
  }
};

/** @throws SystemError, KernelFailure */
export const takeSpace = (host: Host): Space => host.spares.pop() ?? make(host);

/** Makes one ahead. @returns whether there is room for more */
export const spareSpace = (host: Host): boolean => {
  if (host.spares.length < sparesMax) host.spares.push(make(host));
  return host.spares.length < sparesMax;
};

/** Lets go of a namespace: an open socket would keep it. */
export const closeSpace = ({ descriptor, socket, filter }: Space): void => {
  socket.close();
  filter?.close();
  close(descriptor);
};

export const closeSpares = (host: Host): void => {
  for (const space of host.spares.splice(0)) closeSpace(space);
};
