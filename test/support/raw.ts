/** Packets that no ordinary socket sends. Run by itself: sends one, or waits for one, in the namespace that it is started in. */
import { execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { check, close, errno, errnoName, recv, sendto, socket } from '../../drivers/kernel/libc.ts';

const AF_INET = 2;
const [SOCK_RAW, MSG_DONTWAIT] = [3, 0x40];

const dotted = (address: string): Uint8Array => Uint8Array.from(address.split('.'), Number);

/** struct sockaddr_in */
const socketAddress = (address: string): Uint8Array =>
  Uint8Array.of(AF_INET, 0, 0, 0, ...dotted(address), 0, 0, 0, 0, 0, 0, 0, 0);

/** Protocols of IPv4; the packet is what comes after the header of IPv4, in hexadecimal. */
const send = (address: string, protocol: number, packet: string): void => {
  const descriptor = check(socket(AF_INET, SOCK_RAW, protocol), 'socket');
  const bytes = Buffer.from(packet, 'hex');
  check(sendto(descriptor, bytes, bytes.length, 0, socketAddress(address), 16), 'sendto');
  close(descriptor);
};

/** Prints that it listens, and then the first packet that comes, from the source address on. */
const receive = async (protocol: number): Promise<void> => {
  const descriptor = check(socket(AF_INET, SOCK_RAW, protocol), 'socket');
  console.log('listening');
  const bytes = new Uint8Array(2048);
  for (;;) {
    const length = recv(descriptor, bytes, bytes.length, MSG_DONTWAIT);
    if (length > 0) return console.log(Buffer.from(bytes.subarray(12, length)).toString('hex'));
    if (errnoName(errno()) !== 'EAGAIN') throw new Error(errnoName(errno()));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

const argvOf = (netns: string, ...argv: readonly string[]): readonly string[] => [
  `--net=${netns}`,
  process.execPath,
  import.meta.filename,
  ...argv,
];

export const sendRaw = async (netns: string, address: string, protocol: number, packet: string): Promise<void> => {
  await promisify(execFile)('nsenter', [...argvOf(netns, 'send', address, String(protocol), packet)]);
};

/** Resolves when somebody listens there, to the first packet that comes: in hexadecimal, from its source address on. */
export const receiveRaw = async (netns: string, protocol: number): Promise<{ readonly packet: Promise<string> }> => {
  const child = spawn('nsenter', [...argvOf(netns, 'receive', String(protocol))], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  await lines.next();
  return { packet: lines.next().then(({ value }) => String(value)) };
};

/** CRC32c (RFC 9260, appendix A), bit by bit. */
const crc32c = (bytes: Uint8Array): number => {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
};

/** A packet of sctp with the chunk that asks for an association (type 1), or takes it (type 2). */
export const sctp = (from: number, to: number, verification: number, type: 1 | 2): string => {
  const packet = Buffer.alloc(32);
  packet.writeUInt16BE(from, 0);
  packet.writeUInt16BE(to, 2);
  packet.writeUInt32BE(verification, 4);
  packet.set([type, 0, 0, 20], 12);
  // Tag, window, streams out and in, first sequence number.
  packet.writeUInt32BE(0x1234, 16);
  packet.writeUInt32BE(0x10000, 20);
  packet.set([0, 1, 0, 1, 0, 0, 0, 1], 24);
  packet.writeUInt32LE(crc32c(packet), 8);
  return packet.toString('hex');
};

/** ICMP: type 0, code 0, checksum, id and sequence number. */
export const echoReply = '0000edca12340001';

if (import.meta.main) {
  const [what, ...argv] = process.argv.slice(2);
  const [first = '', second = '', third = ''] = argv;
  if (what === 'send') send(first, Number(second), third);
  else await receive(Number(first));
}
