/** Sockets on the address where a sandbox looks for names. */

import type { Kernel } from '../port.ts';
import { AF, SOCK } from './constants.ts';
import { faultOf } from './failure.ts';
import { goHome, type Host } from './host.ts';
import { bind, check, close, listen, setsockopt, socket } from './libc.ts';
import { enter } from './netns.ts';
import { openOrFail } from './pair.ts';

/** 127.0.0.11, where containers of Docker have always had their resolver. */
export const resolverAddress = Uint8Array.of(127, 0, 0, 11);

const one = Uint8Array.of(1, 0, 0, 0);

/** Connections that wait to be accepted. */
const backlog = 64;

/** struct sockaddr_in: family u16, port be16, address, 8 bytes of padding. */
const addressOf = (port: number): Uint8Array =>
  Uint8Array.of(AF.INET, 0, port >> 8, port & 255, ...resolverAddress, 0, 0, 0, 0, 0, 0, 0, 0);

/**
 * A socket in the namespace where the thread stands, bound to 127.0.0.11; one of type SOCK.STREAM listens. Port 0: any.
 * The caller owns the descriptor. @throws SystemError
 */
export const openListener = (type: typeof SOCK.DGRAM | typeof SOCK.STREAM, port: number): number => {
  const descriptor = check(socket(AF.INET, type | SOCK.NONBLOCK | SOCK.CLOEXEC, 0), 'socket');
  try {
    // A port that an earlier process served is not to wait for its last connections.
    if (type === SOCK.STREAM)
      check(setsockopt(descriptor, SOCK.SOL_SOCKET, SOCK.REUSEADDR, one, 4), 'setsockopt(SO_REUSEADDR)');
    const address = addressOf(port);
    check(bind(descriptor, address, address.length), `bind 127.0.0.11:${port}`);
    if (type === SOCK.STREAM) check(listen(descriptor, backlog), `listen 127.0.0.11:${port}`);
    return descriptor;
  } catch (error) {
    close(descriptor);
    throw error;
  }
};

/** The two sockets of a resolver; they keep their namespace until they are closed. */
export interface Listeners {
  readonly port: number;
  readonly udp: number;
  readonly tcp: number;
}

/** In the namespace where the thread stands. @throws SystemError */
export const openListeners = (port: number): Listeners => {
  const udp = openListener(SOCK.DGRAM, port);
  try {
    return { port, udp, tcp: openListener(SOCK.STREAM, port) };
  } catch (error) {
    close(udp);
    throw error;
  }
};

export const closeListeners = ({ udp, tcp }: Listeners): void => {
  close(udp);
  close(tcp);
};

/** Closes the sockets that wait for the namespace at a path to be asked for them: it goes, or has its resolver no more. */
export const dropListeners = (host: Host, path: string): void => {
  const kept = host.listeners.get(path);
  if (kept === undefined) return;
  host.listeners.delete(path);
  closeListeners(kept);
};

/** Keeps sockets for whoever asks for those of the namespace at a path. */
export const keepListeners = (host: Host, path: string, listeners: Listeners): void => {
  dropListeners(host, path);
  host.listeners.set(path, listeners);
};

const openInside = (host: Host, netns: string, port: number): Listeners => {
  const namespace = openOrFail(netns);
  try {
    enter(host, namespace);
    return openListeners(port);
  } finally {
    close(namespace);
    goHome(host);
  }
};

/** The sockets of the resolver of a sandbox: those that its namespace came with, else new ones. */
export const openResolver = (host: Host, netns: string, port: number): Awaited<ReturnType<Kernel['openResolver']>> => {
  try {
    const kept = host.listeners.get(netns);
    if (kept?.port === port) host.listeners.delete(netns);
    else dropListeners(host, netns);
    const { udp, tcp } = kept?.port === port ? kept : openInside(host, netns, port);
    return { ok: true, udp, tcp };
  } catch (error) {
    return { ok: false, fault: faultOf(error, `open resolver in ${netns}`, []) };
  }
};
