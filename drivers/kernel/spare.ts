/**
 * New network namespaces. To make one is half of what a sandbox costs, and nothing in it depends on whose it will be: some are made
 * ahead, with the resolver that most of them are to have, while the thread has nothing else to do. They have no path, so they go with
 * the process whatever ends it.
 */
import { NL } from './constants.ts';
import { goHome, type Host, threadNamespace } from './host.ts';
import { C, check, close, open, unshare } from './libc.ts';
import { closeListeners, keepListeners, type Listeners, openListeners } from './listener.ts';
import { NetlinkSocket } from './netlink.ts';
import { loopbackUp } from './netns.ts';
import { equipResolver } from './resolver.ts';

/** A namespace with loopback up. Whoever holds it closes it; it lives on where it was pinned. */
export interface Space {
  readonly descriptor: number;
  /** Speaks to it, wherever the thread is. */
  readonly socket: NetlinkSocket;
  /** Of the resolver that it has; null for none, and once they are handed over. */
  listeners: Listeners | null;
}

/** Enough for what a scheduler places at once on one host; each takes some 200 KB of the kernel's memory. */
const sparesMax = 8;

/** Moves the thread into a new namespace. */
export const leave = (host: Host): void => {
  check(unshare(C.CLONE_NEWNET), 'unshare(CLONE_NEWNET)');
  host.away = true;
};

/** `port` is that of the resolver; null for none. */
const make = (host: Host, port: number | null): Space => {
  leave(host);
  const descriptor = check(open(threadNamespace, C.O_RDONLY | C.O_CLOEXEC, 0), `open ${threadNamespace}`);
  try {
    const socket = new NetlinkSocket(NL.ROUTE);
    try {
      loopbackUp(host, socket);
      if (port !== null) equipResolver(host, port);
      return { descriptor, socket, listeners: port === null ? null : openListeners(port) };
    } catch (error) {
      socket.close();
      throw error;
    }
  } catch (error) {
    close(descriptor);
    throw error;
  } finally {
    goHome(host);
  }
};

/**
 * One with a resolver at `port`, or with none. Those made ahead are all alike: who wants it otherwise, which is rare, has one made.
 * @throws SystemError, KernelFailure
 */
export const takeSpace = (host: Host, port: number | null): Space =>
  (port === host.resolverPort ? host.spares.pop() : undefined) ?? make(host, port);

/** Makes one ahead. @returns whether there is room for more */
export const spareSpace = (host: Host): boolean => {
  if (host.spares.length < sparesMax) host.spares.push(make(host, host.resolverPort));
  return host.spares.length < sparesMax;
};

/** Keeps the sockets of its resolver for whoever asks for them at the path where the namespace is now. */
export const handOver = (host: Host, space: Space, path: string): void => {
  if (space.listeners === null) return;
  keepListeners(host, path, space.listeners);
  space.listeners = null;
};

/** Lets go of a namespace: an open socket would keep it. */
export const closeSpace = ({ descriptor, socket, listeners }: Space): void => {
  socket.close();
  if (listeners !== null) closeListeners(listeners);
  close(descriptor);
};

export const closeSpares = (host: Host): void => {
  for (const space of host.spares.splice(0)) closeSpace(space);
};
