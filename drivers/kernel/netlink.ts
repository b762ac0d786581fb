/** One netlink socket, which for all its life speaks to the namespace it was made in. */
import { constants } from 'node:os';
import { batchName } from './batch-name.ts';
import { AF, NL, SOCK } from './constants.ts';
import { around, blows, isWatched } from './failpoint.ts';
import { check, close, errno, errnoName, getsockname, recv, SystemError, send, setsockopt, socket } from './libc.ts';
import { type Message, MessageReader, type NetlinkError, readError } from './reader.ts';
import type { MessageWriter } from './writer.ts';

const one = Uint8Array.of(1, 0, 0, 0);
const bufferBytes = new Uint8Array(new Uint32Array([8 << 20]).buffer);

/** Large enough for the largest answer to a dump (NLMSG_GOODSIZE is at most 32 KB). */
const inbox = new MessageReader(new Uint8Array(65536));

/** Dumps that a change interrupted are taken again, this often. */
const dumpRetriesMax = 5;

/** A message of a batch that the kernel refused; `index` counts messages from 0. */
export interface Refusal {
  readonly index: number;
  readonly errno: string;
  readonly text: string;
}

/** Thrown when an answer did not come (overflow), or a dump stayed inconsistent: what is there is then not known. */
export class AnswerLost extends Error {
  override name = 'AnswerLost';
}

export type Visit = (reader: MessageReader, message: Message) => void;

/** Receives one datagram; -1 when there is none. */
const receiveSome = (fd: number): number => {
  for (;;) {
    const length = recv(fd, inbox.bytes, inbox.bytes.length, SOCK.MSG_DONTWAIT);
    if (length >= 0) return length;
    const code = errnoName(errno());
    if (code === 'EAGAIN') return -1;
    if (code === 'ENOBUFS') throw new AnswerLost('netlink answer lost (ENOBUFS)');
    if (code !== 'EINTR') throw new SystemError('recv(netlink)', errno());
  }
};

/** The kernel answers before send() returns: nothing there means that the answer was dropped. */
const receive = (fd: number): number => {
  const length = receiveSome(fd);
  if (length < 0) throw new AnswerLost('netlink answer lost (EAGAIN)');
  return length;
};

/** All of it, or a SystemError. */
const sendWhole = (fd: number, writer: MessageWriter): void => {
  while (send(fd, writer.bytes, writer.length, 0) < 0) {
    if (errnoName(errno()) !== 'EINTR') throw new SystemError('send(netlink)', errno());
  }
};

type Send = (fd: number, writer: MessageWriter, protocol: number) => void;

const sendNamed: Send = (fd, writer, protocol) => {
  const name = batchName(protocol, writer);
  if (name === null) {
    sendWhole(fd, writer);
    return;
  }
  const refuse = (): never => {
    throw new SystemError('send(netlink)', constants.errno.EIO);
  };
  around(name, sendWhole, refuse)(fd, writer);
  // It may also have been done, and nobody hears of it.
  if (blows?.()) throw new AnswerLost('netlink answer lost (ENOBUFS)');
};

/** With failpoints, if there are any. */
const sendBatch: Send = isWatched ? sendNamed : sendWhole;

export class NetlinkSocket {
  readonly fd: number;
  readonly #protocol: number;

  /** @param fd of a socket that another thread has made the same way */
  constructor(protocol: number, fd: number | null = null) {
    this.#protocol = protocol;
    if (fd !== null) {
      this.fd = fd;
      return;
    }
    this.fd = check(socket(AF.NETLINK, SOCK.RAW | SOCK.CLOEXEC, protocol), 'socket(netlink)');
    setsockopt(this.fd, NL.SOL, NL.CAP_ACK, one, 4);
    setsockopt(this.fd, NL.SOL, NL.EXT_ACK, one, 4);
  }

  /** For sockets that live long: room for the answers to a large batch. Needs CAP_NET_ADMIN; refused is fine. */
  widen(): this {
    setsockopt(this.fd, SOCK.SOL_SOCKET, SOCK.SNDBUFFORCE, bufferBytes, 4);
    setsockopt(this.fd, SOCK.SOL_SOCKET, SOCK.RCVBUFFORCE, bufferBytes, 4);
    return this;
  }

  /** What messages of the kernel name it by: struct sockaddr_nl, u32 at 4. 0 before anything was sent. */
  get port(): number {
    const [address, bytes] = [new Uint8Array(12), Uint8Array.of(12, 0, 0, 0)];
    check(getsockname(this.fd, address, bytes), 'getsockname(netlink)');
    return new DataView(address.buffer).getUint32(4, true);
  }

  #send(writer: MessageWriter): void {
    sendBatch(this.fd, writer, this.#protocol);
  }

  /**
   * Sends a batch and reads until its last message is acknowledged. Batches of rtnetlink are not atomic and do not stop at an
   * error, so every refusal is answered, in order. `visit` sees the answers of GET messages.
   */
  request(writer: MessageWriter, visit?: Visit): readonly Refusal[] {
    writer.flag(NL.F_ACK);
    const last = writer.sequence;
    this.#send(writer);
    return this.#answers(last, last - writer.count + 1, visit);
  }

  /** As `request`, for an nf_tables batch: `last` is its last message before the end marker, which not every kernel acknowledges. */
  requestBatch(writer: MessageWriter, first: number, last: number): readonly Refusal[] {
    this.#send(writer);
    return this.#answers(last, first, undefined);
  }

  #answers(last: number, first: number, visit: Visit | undefined): readonly Refusal[] {
    const refusals: Refusal[] = [];
    for (;;) {
      // A batch refused as a whole (EPERM) is answered once, for its first message.
      const length = refusals.length === 0 ? receive(this.fd) : receiveSome(this.fd);
      if (length < 0) return refusals;
      for (const message of inbox.messages(length)) {
        const index = (message.sequence - first) >>> 0;
        // Left over from a batch whose answers were lost.
        if (index > (last - first) >>> 0) continue;
        if (message.type !== NL.ERROR) {
          visit?.(inbox, message);
          continue;
        }
        const error = readError(inbox, message);
        if (error.errno !== 0) refusals.push(refusal(error, index));
        if (message.sequence === last) return refusals;
      }
    }
  }

  /** Reads a dump whole. `collect` starts afresh each time; a dump that a change interrupted is taken again. */
  dump<T>(writer: MessageWriter, collect: () => { readonly visit: Visit; readonly result: T }): T {
    for (let attempt = 0; attempt < dumpRetriesMax; attempt++) {
      const { visit, result } = collect();
      this.#send(writer);
      if (this.#readDump(writer.sequence, visit)) return result;
    }
    throw new AnswerLost(`dump interrupted ${dumpRetriesMax} times`);
  }

  /** True when the dump is consistent. */
  #readDump(sequence: number, visit: Visit): boolean {
    let consistent = true;
    for (;;) {
      const length = receive(this.fd);
      for (const message of inbox.messages(length)) {
        if (message.sequence !== sequence) continue;
        if (message.flags & NL.F_DUMP_INTR) consistent = false;
        if (message.type === NL.ERROR) {
          const error = readError(inbox, message);
          if (error.errno !== 0) throw new SystemError('netlink dump', error.errno);
          return consistent;
        }
        if (message.type === NL.DONE) {
          // A dump that failed says so at its end (netlink_dump).
          const failed = message.end - message.start >= 4 && inbox.i32(message.start) < 0;
          if (failed) throw new SystemError('netlink dump', -inbox.i32(message.start));
          return consistent;
        }
        visit(inbox, message);
      }
    }
  }

  close(): void {
    close(this.fd);
  }
}

const refusal = (error: NetlinkError, index: number): Refusal => ({
  index,
  errno: errnoName(error.errno),
  text: error.text,
});
