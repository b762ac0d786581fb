/**
 * The third thread: it listens to what happens in the kernel, and says where somebody may have changed what is ours. It changes nothing and
 * enters no namespace. It waits for nothing but the kernel and the descriptor by which it is told to end, and
 * for neither for long.
 */
import { getPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { Attention, namespaceOf } from './attention.ts';
import { AF, GROUP, NL, RTM } from './constants.ts';
import { batchBytes } from './host.ts';
import { C, check, close, errno, errnoName, eventfd, poll, SystemError } from './libc.ts';
import { type Heard, MulticastSocket } from './multicast.ts';
import { AnswerLost, NetlinkSocket } from './netlink.ts';
import type { ThreadOptions } from './protocol.ts';
import type { Message } from './reader.ts';
import { decodeLink } from './records.ts';
import { dumpLinks } from './rtnetlink.ts';
import { tableName } from './ruleset.ts';
import { schedule } from './scheduling.ts';
import { MessageWriter } from './writer.ts';

const { options } = workerData as { readonly options: ThreadOptions };
const shared = new Int32Array(options.pending);

schedule({ nice: Math.max(5, getPriority()), sliceMs: null });

/** What a burst of some ten thousand changes takes. */
const defaultBytes = 32 << 20;
/** Changes that come together are read together, and told so: of a change of ours nothing is read while it is being made. */
const gatherMs = 20;
const POLLIN = 1;
/** A process that exits waits for its threads, and this one can be ended between two calls only: nobody tells it when a bug ends the process. */
const waitMs = 200;

const bytes = options.watchBytes ?? defaultBytes;
const { LINK, IPV4_ADDRESS, IPV4_ROUTE, IPV6_ADDRESS, IPV6_ROUTE, NFTABLES } = GROUP;
/** New addresses and routes take nothing away. Bridges tell of their ports once more, with less. */
const wanted = { types: [RTM.NEWLINK, RTM.DELLINK, RTM.DELADDR, RTM.DELROUTE], exceptFamily: AF.BRIDGE };
const route = new MulticastSocket(NL.ROUTE, [LINK, IPV4_ADDRESS, IPV4_ROUTE, IPV6_ADDRESS, IPV6_ROUTE], bytes, wanted);

/** A kernel without nfnetlink has no table of ours either. */
const openFilter = (): MulticastSocket | null => {
  try {
    return new MulticastSocket(NL.NETFILTER, [NFTABLES], bytes, null);
  } catch (error) {
    if (error instanceof SystemError) return null;
    throw error;
  }
};

const filter = openFilter();
const ending = check(eventfd(0, C.O_CLOEXEC), 'eventfd');
const attention = new Attention({
  ...options,
  table: tableName(options.realm, options.host),
  // A port is a number without a sign.
  tablePort: () => (shared[1] ?? 0) >>> 0,
});

const asking = new NetlinkSocket(NL.ROUTE).widen();
const writer = new MessageWriter(batchBytes);

type Found = { readonly link: NonNullable<ReturnType<typeof decodeLink>>; readonly namespace: number | null };

/** Never believed when it was interrupted: then it is read again, and until it can be, nothing is known. */
const begin = (): void => {
  try {
    dumpLinks(writer.reset());
    const found = asking.dump(writer, () => {
      const result: Found[] = [];
      return {
        result,
        visit: (reader, message) => {
          const link = decodeLink(reader, message);
          if (link) result.push({ link, namespace: namespaceOf(reader, message) });
        },
      };
    });
    attention.begin(found);
  } catch (error) {
    if (!(error instanceof AnswerLost)) throw error;
    attention.begin([]);
    attention.lost();
  }
};

const take = (socket: MulticastSocket, tell: (heard: Heard, message: Message) => void): void => {
  for (;;) {
    const heard = socket.receive();
    if (heard === null) return;
    if (heard === 'lost') {
      attention.lost();
      if (socket === route) begin();
      continue;
    }
    for (const message of heard.reader.messages(heard.length)) tell(heard, message);
  }
};

const sockets = [ending, route.fd, ...(filter ? [filter.fd] : [])];
const descriptors = new Uint8Array(8 * sockets.length);
const view = new DataView(descriptors.buffer);

/** @returns whether it is to go on */
const wait = (): boolean => {
  for (const [at, fd] of sockets.entries()) {
    view.setInt32(8 * at, fd, true);
    view.setInt16(8 * at + 4, POLLIN, true);
    view.setInt16(8 * at + 6, 0, true);
  }
  if (poll(descriptors, sockets.length, waitMs) < 0 && errnoName(errno()) !== 'EINTR')
    throw new SystemError('poll', errno());
  return view.getInt16(6, true) === 0;
};

const pause = new Int32Array(new SharedArrayBuffer(4));

begin();
parentPort?.postMessage({ ending });
while (wait()) {
  Atomics.wait(pause, 0, 0, gatherMs);
  take(route, ({ reader, namespace }, message) => attention.route(reader, message, namespace));
  if (filter) take(filter, ({ reader, namespace }, message) => attention.filter(reader, message, namespace));
  const notices = attention.take();
  if (notices.length > 0) parentPort?.postMessage({ notices });
}
for (const socket of [route, filter, asking]) socket?.close();
close(ending);
process.exit(0);
