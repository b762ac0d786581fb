/** What this host's kernel says of one interface or one port, for whoever asks what it is for. Needs no privilege, and changes nothing. */
import { NL } from './constants.ts';
import { readLink } from './host.ts';
import { NetlinkSocket } from './netlink.ts';
import { holderOf, listSockets } from './sockdiag.ts';
import { MessageWriter } from './writer.ts';

/** Room for one question. */
const REQUEST_BYTES = 4_096;

const asking = <T>(protocol: number, ask: (socket: NetlinkSocket, writer: MessageWriter) => T): T => {
  const socket = new NetlinkSocket(protocol);
  try {
    return ask(socket, new MessageWriter(REQUEST_BYTES));
  } finally {
    socket.close();
  }
};

/** An interface of the namespace that this thread is in. */
export interface FoundLink {
  /** `bridge`, `veth`, `vxlan`, … or empty for devices without a link type. */
  readonly kind: string;
  /** Empty where nobody has given it one. */
  readonly alias: string;
}

/** One RTM_GETLINK by name; null where no interface has it. @throws KernelFailure */
export const lookUpLink = (name: string): FoundLink | null => {
  const link = asking(NL.ROUTE, (socket, writer) => readLink(socket, writer, name));
  return link === null ? null : { kind: link.kind, alias: link.alias };
};

/** The process that listens on a port of this namespace, `pid 123 (nginx)`; null for none. @throws SystemError */
export const lookUpListener = (protocol: string, port: number): string | null =>
  asking(NL.SOCK_DIAG, (socket, writer) => {
    const found = listSockets(socket, writer, protocol).find((one) => one.port === port && !one.connected);
    return found ? holderOf(found) : null;
  });
