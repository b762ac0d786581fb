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

const openBoth = (host: Host, netns: string, port: number): { readonly udp: number; readonly tcp: number } => {
  const namespace = openOrFail(netns);
  try {
    enter(host, namespace);
    const udp = openListener(SOCK.DGRAM, port);
    try {
      return { udp, tcp: openListener(SOCK.STREAM, port) };
    } catch (error) {
      close(udp);
      throw error;
    }
  } finally {
    close(namespace);
    goHome(host);
  }
};

/** The sockets of the resolver of a sandbox; they keep its namespace until they are closed. */
export const openResolver = (host: Host, netns: string, port: number): Awaited<ReturnType<Kernel['openResolver']>> => {
  try {
    return { ok: true, ...openBoth(host, netns, port) };
  } catch (error) {
    return { ok: false, fault: faultOf(error, `open resolver in ${netns}`, []) };
  }
};
