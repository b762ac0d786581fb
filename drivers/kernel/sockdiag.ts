/** Which sockets of the host hold which ports, by its socket diagnostics (sock_diag(7), linux/inet_diag.h), and whose they are. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { formatAddress, parseAddress } from './address.ts';
import { AF } from './constants.ts';
import { protocols } from './fields.ts';
import { SystemError } from './libc.ts';
import type { NetlinkSocket } from './netlink.ts';
import type { Message, MessageReader } from './reader.ts';
import type { MessageWriter } from './writer.ts';

/** A socket that is bound to a port. */
export interface BoundSocket {
  /** Canonical text; `0.0.0.0` and `::` are all addresses. */
  readonly address: string;
  readonly port: number;
  /** Takes packets of IPv4 too, although it is one of IPv6. */
  readonly dual: boolean;
  /** It has one peer, and what others send is not for it. */
  readonly connected: boolean;
  /** 0: no process holds it. */
  readonly inode: number;
}

const SOCK_DIAG_BY_FAMILY = 20;
/** net/tcp_states.h; those of sctp have the same number for listening. */
const LISTEN = 1 << 10;
const ANY = 0xffffffff;
const INET_DIAG_SKV6ONLY = 11;
const requestBytes = 56;

/** struct inet_diag_req_v2: family u8, protocol u8, extensions u8, padding, states u32, and an empty socket id of 48 bytes. */
const encodeDump = (w: MessageWriter, family: number, protocol: string): void => {
  const at = w.reset().begin(SOCK_DIAG_BY_FAMILY, 0x300, requestBytes);
  w.poke8(at, family);
  w.poke8(at + 1, protocols[protocol] ?? 0);
  // A connection of tcp is no obstacle to publishing its port: the flow is known, and keeps going where it goes.
  w.poke32(at + 4, protocol === 'udp' ? ANY : LISTEN);
  w.end();
};

/** struct inet_diag_msg, 72 bytes: family at 0, source port be16 at 4, destination port at 6, source at 8, inode at 68. */
export const decodeSocket = (reader: MessageReader, { start, end }: Message): BoundSocket | null => {
  if (end - start < 72) return null;
  const ipv6 = reader.u8(start) === AF.INET6;
  const bytes = reader.slice(start + 8, start + 8 + (ipv6 ? 16 : 4));
  const mapped = ipv6 && bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255;
  let only = false;
  reader.attributes(start + 72, end, (type, from, to) => {
    if (type === INET_DIAG_SKV6ONLY && to > from) only = reader.u8(from) === 1;
  });
  const port = (at: number): number => (reader.u8(start + at) << 8) | reader.u8(start + at + 1);
  return {
    address: formatAddress(mapped ? bytes.subarray(12) : bytes),
    port: port(4),
    dual: ipv6 && !only,
    connected: port(6) !== 0,
    inode: reader.u32(start + 68),
  };
};

const listFamily = (
  socket: NetlinkSocket,
  writer: MessageWriter,
  family: number,
  protocol: string,
): readonly BoundSocket[] => {
  encodeDump(writer, family, protocol);
  try {
    return socket.dump(writer, () => {
      const result: BoundSocket[] = [];
      return {
        result,
        visit: (reader, message) => {
          const found = decodeSocket(reader, message);
          if (found) result.push(found);
        },
      };
    });
  } catch (error) {
    // A kernel without the protocol has no sockets of it.
    if (error instanceof SystemError && error.code === 'ENOENT') return [];
    throw error;
  }
};

/** Sockets of both families that hold a port: listening ones of tcp and sctp, all of udp. */
export const listSockets = (socket: NetlinkSocket, writer: MessageWriter, protocol: string): readonly BoundSocket[] =>
  [AF.INET, AF.INET6].flatMap((family) => listFamily(socket, writer, family, protocol));

export const isWildcard = (address: string): boolean => address === '0.0.0.0' || address === '::';

/** Whether two addresses of the host have one in common: a wildcard has all of its family. */
export const overlaps = (a: string, b: string): boolean => {
  if (a.includes(':') !== b.includes(':')) return false;
  return isWildcard(a) || isWildcard(b) || a === b;
};

/** Whether a socket gets what is sent to an address of the host (canonical text). */
export const receives = ({ address, dual }: BoundSocket, host: string): boolean =>
  overlaps(address, host) || (address === '::' && dual && !host.includes(':'));

/** An address in its canonical text. */
export const canonical = (address: string): string => formatAddress(parseAddress(address));

/** Reads something of a process that may end meanwhile, or be out of reach. */
const glance = <T>(read: () => T): T | null => {
  try {
    return read();
  } catch (error) {
    if (error instanceof Error && 'code' in error) return null;
    throw error;
  }
};

/** `pid 123 (nginx)`. Looks through the descriptors of all processes: for the text of a refusal only. */
export const holderOf = ({ inode }: BoundSocket): string => {
  const link = `socket:[${inode}]`;
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const descriptors = glance(() => readdirSync(`/proc/${pid}/fd`)) ?? [];
    if (!descriptors.some((name) => glance(() => readlinkSync(`/proc/${pid}/fd/${name}`)) === link)) continue;
    const command = glance(() => readFileSync(`/proc/${pid}/comm`, 'utf8')) ?? '';
    return `pid ${pid} (${command.trim()})`;
  }
  return `a process that is not seen from here (socket ${inode})`;
};
