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
/** Of 64-bit machines. */
const programBytes = 16;
const instructionBytes = 8;

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
  // struct sock_fprog: count u16, address of the instructions at 8; they stand behind it.
  const program = new Uint8Array(programBytes + instructionBytes * instructions.length);
  const view = new DataView(program.buffer);
  view.setUint16(0, instructions.length, isLittleEndian);
  view.setBigUint64(8, addressOf(program) + BigInt(programBytes), isLittleEndian);
  // struct sock_filter: code u16, skip when true u8, skip when false u8, value u32.
  for (const [index, { code, value, skip }] of instructions.entries()) {
    const at = programBytes + instructionBytes * index;
    view.setUint16(at, code, isLittleEndian);
    view.setUint8(at + 2, skip);
    view.setUint32(at + 4, value, isLittleEndian);
  }
  check(setsockopt(fd, SOCK.SOL_SOCKET, SOCK.ATTACH_FILTER, program, programBytes), 'setsockopt(SO_ATTACH_FILTER)');
};
