/** Brings up the loopback interface of a network namespace that was just made around this process. */
import { NL } from '../../drivers/kernel/constants.ts';
import { NetlinkSocket } from '../../drivers/kernel/netlink.ts';
import { setLink } from '../../drivers/kernel/rtnetlink.ts';
import { MessageWriter } from '../../drivers/kernel/writer.ts';

/** Loopback is index 1 in every namespace. */
const LOOPBACK = 1;
const BYTES = 4096;

export const loopbackUp = (): void => {
  const socket = new NetlinkSocket(NL.ROUTE);
  try {
    const writer = new MessageWriter(BYTES);
    setLink(writer.reset(), LOOPBACK, { up: true });
    const [refusal] = socket.request(writer);
    if (refusal) throw new Error(`loopback stays down: ${refusal.errno} ${refusal.text}`);
  } finally {
    socket.close();
  }
};
