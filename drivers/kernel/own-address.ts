/** Whether an address is one of the host's: asked of bind(2), which knows of every way that an address can be local. */
import { parseAddress } from './address.ts';
import { AF, SOCK } from './constants.ts';
import { bind, check, close, SystemError, socket } from './libc.ts';

/** sockaddr_in, sockaddr_in6 (netinet/in.h) with port 0: family u16, port be16, then for IPv6 flow information, address, scope. */
const sockaddr = (family: 4 | 6, address: string): Uint8Array => {
  const bytes = new Uint8Array(family === 4 ? 16 : 28);
  bytes[0] = family === 4 ? AF.INET : AF.INET6;
  bytes.set(parseAddress(address), family === 4 ? 4 : 8);
  return bytes;
};

/** In the namespace where the thread stands. @throws SystemError */
export const canBind = (family: 4 | 6, address: string): boolean => {
  const name = sockaddr(family, address);
  const descriptor = check(socket(family === 4 ? AF.INET : AF.INET6, SOCK.DGRAM | SOCK.CLOEXEC, 0), 'socket');
  try {
    check(bind(descriptor, name, name.length), `bind ${address}`);
    return true;
  } catch (error) {
    if (error instanceof SystemError && error.code === 'EADDRNOTAVAIL') return false;
    throw error;
  } finally {
    close(descriptor);
  }
};
