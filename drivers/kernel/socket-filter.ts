/** What the kernel drops of a netlink socket's messages before they wake anybody (socket(7), SO_ATTACH_FILTER; linux/filter.h). */
import { SOCK } from './constants.ts';
import { addressOf, check, setsockopt } from './libc.ts';

export interface Wanted {
  /** nlmsg_type of those that are heard. */
  readonly types: readonly number[];
  /** Address family, first byte behind the header, of those that are not heard all the same. */
  readonly exceptFamily: number;
}

/** Classic BPF. */
const BPF = { LOAD_U16: 0x28, LOAD_U8: 0x30, JUMP_EQUAL: 0x15, RETURN: 0x06 } as const;
const everything = 0xffffffff;

/** struct nlmsghdr: type u16 at 4; 16 bytes. */
const typeAt = 4;
const familyAt = 16;

const isLittleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
/** A filter loads in network order what netlink writes in the machine's. */
const asLoaded = (type: number): number => (isLittleEndian ? ((type & 0xff) << 8) | (type >> 8) : type);

interface Instruction {
  readonly code: number;
  readonly value: number;
  /** How many instructions are skipped when it is equal. */
  readonly skip: number;
}

/** The filter reads the first message of each datagram: notifications of rtnetlink come alone. */
const instructionsOf = ({ types, exceptFamily }: Wanted): readonly Instruction[] => [
  { code: BPF.LOAD_U8, value: familyAt, skip: 0 },
  { code: BPF.JUMP_EQUAL, value: exceptFamily, skip: types.length + 1 },
  { code: BPF.LOAD_U16, value: typeAt, skip: 0 },
  ...types.map((type, at) => ({ code: BPF.JUMP_EQUAL, value: asLoaded(type), skip: types.length - at })),
  { code: BPF.RETURN, value: 0, skip: 0 },
  { code: BPF.RETURN, value: everything, skip: 0 },
];

/** @throws SystemError */
export const hearOnly = (fd: number, wanted: Wanted): void => {
  const instructions = instructionsOf(wanted);
  // struct sock_filter: code u16, skip when true u8, skip when false u8, value u32.
  const bytes = new Uint8Array(8 * instructions.length);
  const view = new DataView(bytes.buffer);
  for (const [at, { code, value, skip }] of instructions.entries()) {
    view.setUint16(8 * at, code, isLittleEndian);
    view.setUint8(8 * at + 2, skip);
    view.setUint32(8 * at + 4, value, isLittleEndian);
  }
  // struct sock_fprog: count u16, address of the instructions at 8.
  const program = new Uint8Array(16);
  const fields = new DataView(program.buffer);
  fields.setUint16(0, instructions.length, isLittleEndian);
  fields.setBigUint64(8, addressOf(bytes), isLittleEndian);
  check(setsockopt(fd, SOCK.SOL_SOCKET, SOCK.ATTACH_FILTER, program, program.length), 'setsockopt(SO_ATTACH_FILTER)');
};
