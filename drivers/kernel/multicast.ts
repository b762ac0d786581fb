/** A netlink socket that hears what others do in a kernel, in the host's namespace and in those that the host has numbers for. */
import { AF, NL, SOCK } from './constants.ts';
import { addressOf, bind, check, close, errno, errnoName, recvmsg, SystemError, setsockopt, socket } from './libc.ts';
import { MessageReader } from './reader.ts';
import { hearOnly, type Wanted } from './socket-filter.ts';

const word = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);

/** A notification has at most NLMSG_GOODSIZE bytes; several never share a datagram but those of a dump. */
const inboxBytes = 65536;
const controlBytes = 64;
/** struct msghdr of 64-bit machines. */
const headerBytes = 56;
/** struct cmsghdr: length, level, type; then the number of the namespace, where it is not the socket's own. */
const cmsgLevelAt = 8;
const cmsgTypeAt = 12;
const cmsgDataAt = 16;

export interface Heard {
  readonly reader: MessageReader;
  readonly length: number;
  /** Number that the host's namespace has for the one that it happened in; null for its own. */
  readonly namespace: number | null;
}

export class MulticastSocket {
  readonly fd: number;
  readonly #inbox = new MessageReader(new Uint8Array(inboxBytes));
  readonly #control = new Uint8Array(controlBytes);
  readonly #vector = new Uint8Array(16);
  readonly #header = new Uint8Array(headerBytes);
  readonly #headerView = new DataView(this.#header.buffer);
  readonly #controlView = new DataView(this.#control.buffer);

  /**
   * @param bytes room for what is not read yet: what does not fit is lost, and that something is, is heard
   * @param heard null: all that these groups send
   */
  constructor(protocol: number, groups: readonly number[], bytes: number, heard: Wanted | null) {
    this.fd = check(socket(AF.NETLINK, SOCK.RAW | SOCK.CLOEXEC | SOCK.NONBLOCK, protocol), 'socket(netlink)');
    setsockopt(this.fd, SOCK.SOL_SOCKET, SOCK.RCVBUFFORCE, word(bytes), 4);
    setsockopt(this.fd, NL.SOL, NL.LISTEN_ALL_NSID, word(1), 4);
    if (heard !== null) hearOnly(this.fd, heard);
    // One without a port of its own hears nothing. struct sockaddr_nl: family u16, port u32 at 4, groups u32 at 8.
    const address = new Uint8Array(12);
    address[0] = AF.NETLINK;
    check(bind(this.fd, address, address.length), 'bind(netlink)');
    for (const group of groups) check(setsockopt(this.fd, NL.SOL, NL.ADD_MEMBERSHIP, word(group), 4), 'join group');
    const vector = new DataView(this.#vector.buffer);
    vector.setBigUint64(0, addressOf(this.#inbox.bytes), true);
    vector.setBigUint64(8, BigInt(inboxBytes), true);
    this.#headerView.setBigUint64(16, addressOf(this.#vector), true);
    this.#headerView.setBigUint64(24, 1n, true);
    this.#headerView.setBigUint64(32, addressOf(this.#control), true);
  }

  /** What comes next; null: nothing is there; `lost`: some that came was not read in time. */
  receive(): Heard | 'lost' | null {
    for (;;) {
      this.#headerView.setBigUint64(40, BigInt(controlBytes), true);
      const length = recvmsg(this.fd, this.#header, SOCK.MSG_DONTWAIT);
      if (length >= 0) return { reader: this.#inbox, length, namespace: this.#namespace() };
      const code = errnoName(errno());
      if (code === 'EAGAIN') return null;
      if (code === 'ENOBUFS') return 'lost';
      if (code !== 'EINTR') throw new SystemError('recvmsg(netlink)', errno());
    }
  }

  #namespace(): number | null {
    if (this.#headerView.getBigUint64(40, true) < BigInt(cmsgDataAt + 4)) return null;
    const view = this.#controlView;
    const isOther =
      view.getInt32(cmsgLevelAt, true) === NL.SOL && view.getInt32(cmsgTypeAt, true) === NL.LISTEN_ALL_NSID;
    const number = isOther ? view.getInt32(cmsgDataAt, true) : -1;
    return number < 0 ? null : number;
  }

  close(): void {
    close(this.fd);
  }
}
