/**
 * New network namespaces. To make one is half of what a sandbox costs, and nothing in it depends on whose it will be: another thread makes
 * some ahead (spare-thread.ts), with the resolver that most of them are to have. They have no path, so they go with the process whatever
 * ends it. Where none is left the thread that needs one makes it itself.
 */
import { NL } from './constants.ts';
import { goHome, type Host, threadNamespace } from './host.ts';
import { C, check, close, open, unshare } from './libc.ts';
import { closeListeners, keepListeners, type Listeners, openListeners } from './listener.ts';
import { NetlinkSocket } from './netlink.ts';
import { loopbackUp } from './netns.ts';
import { equipResolver } from './resolver.ts';
import type { Spare } from './spares.ts';

/** A namespace with loopback up. Whoever holds it closes it; it lives on where it was pinned. */
export interface Space {
  readonly descriptor: number;
  /** Speaks to it, wherever the thread is. */
  readonly socket: NetlinkSocket;
  /** Of the resolver that it has; null for none, and once they are handed over. */
  listeners: Listeners | null;
}

/** A thread that makes namespaces. */
export type Maker = Pick<Host, 'realm' | 'host' | 'writer' | 'home' | 'away'>;

/** Moves the thread into a new namespace. */
export const leave = (maker: Pick<Maker, 'away'>): void => {
  check(unshare(C.CLONE_NEWNET), 'unshare(CLONE_NEWNET)');
  maker.away = true;
};

/** What every namespace has, in the one where the thread stands. */
const equip = (maker: Maker, socket: NetlinkSocket, port: number | null): Listeners | null => {
  loopbackUp(maker, socket);
  if (port === null) return null;
  equipResolver(maker, port);
  return openListeners(port);
};

/** `port` is that of the resolver; null for none. */
const make = (maker: Maker, port: number | null): Space => {
  leave(maker);
  try {
    const descriptor = check(open(threadNamespace, C.O_RDONLY | C.O_CLOEXEC, 0), `open ${threadNamespace}`);
    try {
      const socket = new NetlinkSocket(NL.ROUTE);
      try {
        return { descriptor, socket, listeners: equip(maker, socket, port) };
      } catch (error) {
        socket.close();
        throw error;
      }
    } catch (error) {
      close(descriptor);
      throw error;
    }
  } finally {
    goHome(maker);
  }
};

/** Makes one for another thread. @throws SystemError, KernelFailure */
export const makeSpare = (maker: Maker, port: number | null): Spare => {
  const { descriptor, socket, listeners } = make(maker, port);
  return { descriptor, route: socket.fd, udp: listeners?.udp ?? -1, tcp: listeners?.tcp ?? -1 };
};

/** One that the other thread has made ahead; null when there is none. */
const takeSpare = ({ spares, resolverPort: port }: Host): Space | null => {
  const spare = spares.take();
  if (spares.areFew) spares.call();
  if (spare === null) return null;
  const { descriptor, route, udp, tcp } = spare;
  return {
    descriptor,
    socket: new NetlinkSocket(NL.ROUTE, route),
    listeners: port === null ? null : { port, udp, tcp },
  };
};

/**
 * One with a resolver at `port`, or with none. Those made ahead are all alike: who wants it otherwise, which is rare, has one made.
 * @throws SystemError, KernelFailure
 */
export const takeSpace = (host: Host, port: number | null): Space =>
  (port === host.resolverPort ? takeSpare(host) : null) ?? make(host, port);

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

/** Once no more are made. */
export const closeSpares = (host: Host): void => {
  for (let space = takeSpare(host); space !== null; space = takeSpare(host)) closeSpace(space);
};
