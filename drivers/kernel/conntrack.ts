/** Flows that the kernel tracks (ctnetlink, linux/netfilter/nfnetlink_conntrack.h): which there are to a port, and their deletion. */
import { AF, NL } from './constants.ts';
import { expectNone } from './failure.ts';
import type { NetlinkSocket } from './netlink.ts';
import type { Message, MessageReader } from './reader.ts';
import type { MessageWriter } from './writer.ts';

/** A flow, as its first packet had it and as answers come. */
export interface Flow {
  readonly family: 4 | 6;
  /** Where it was sent. */
  readonly destination: Uint8Array;
  readonly port: number;
  /** Who answers: another one where the destination was translated. */
  readonly target: Uint8Array;
  readonly targetPort: number;
  /** Attributes that name this very flow, as they are in the kernel's message. */
  readonly name: readonly { readonly type: number; readonly bytes: Uint8Array }[];
}

/** NFNL_SUBSYS_CTNETLINK << 8, and IPCTNL_MSG_CT_* */
const [GET, DELETE, STATS] = [(1 << 8) | 1, (1 << 8) | 2, (1 << 8) | 5];
/** CTA_STATS_GLOBAL_ENTRIES */
const STATS_ENTRIES = 1;
const CTA = { ORIGINAL: 1, REPLY: 2, ID: 12, ZONE: 18, FILTER: 25, IP: 1, PROTO: 2 } as const;
const IP = { V4_SRC: 1, V4_DST: 2, V6_SRC: 3, V6_DST: 4 } as const;
const PROTO = { NUMBER: 1, SOURCE: 2, DESTINATION: 3 } as const;
/** Attributes of CTA_FILTER, and the bits that say which parts of a tuple count. */
const FILTER = {
  ORIGINAL_FLAGS: 1,
  REPLY_FLAGS: 2,
  IP_SOURCE: 1 << 0,
  IP_DESTINATION: 1 << 1,
  NUMBER: 1 << 3,
  SOURCE: 1 << 4,
  DESTINATION: 1 << 5,
} as const;

const familyOf = (family: 4 | 6): number => (family === 4 ? AF.INET : AF.INET6);

const begin = (w: MessageWriter, type: number, flags: number, family: number): void => {
  w.poke8(w.begin(type, flags, 4), family);
};

const be16 = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 255);

export interface FlowKind {
  readonly family: 4 | 6;
  /** IPPROTO_* */
  readonly protocol: number;
}

/** Flows of IPv4 to a port: those sent to one address, answered by one address and port, or whichever of both is null. */
export interface FlowFilter {
  /** IPPROTO_* */
  readonly protocol: number;
  readonly port: number;
  readonly destination: Uint8Array | null;
  readonly target: { readonly address: Uint8Array; readonly port: number } | null;
}

const putTuple = (
  w: MessageWriter,
  type: number,
  ip: readonly [type: number, address: Uint8Array | null],
  service: { readonly protocol: number; readonly at: number; readonly port: number | null },
): void => {
  w.openNest(type);
  if (ip[1] !== null) {
    w.openNest(CTA.IP);
    w.data(...(ip as [number, Uint8Array]));
    w.closeNest();
  }
  w.openNest(CTA.PROTO);
  w.data(PROTO.NUMBER, Uint8Array.of(service.protocol));
  if (service.port !== null) w.data(service.at, be16(service.port));
  w.closeNest();
  w.closeNest();
};

const putFlags = (w: MessageWriter, original: number, reply: number): void => {
  w.openNest(CTA.FILTER);
  w.u32(FILTER.ORIGINAL_FLAGS, original);
  w.u32(FILTER.REPLY_FLAGS, reply);
  w.closeNest();
};

/** CTA_FILTER came with Linux 5.8. */
const encodeDelete = (w: MessageWriter, { protocol, port, destination, target }: FlowFilter): void => {
  begin(w, DELETE, 0, AF.INET);
  putTuple(w, CTA.ORIGINAL, [IP.V4_DST, destination], { protocol, at: PROTO.DESTINATION, port });
  const original = FILTER.NUMBER | FILTER.DESTINATION | (destination === null ? 0 : FILTER.IP_DESTINATION);
  if (target === null) putFlags(w, original, 0);
  else {
    putTuple(w, CTA.REPLY, [IP.V4_SRC, target.address], { protocol, at: PROTO.SOURCE, port: target.port });
    putFlags(w, original, FILTER.NUMBER | FILTER.SOURCE | FILTER.IP_SOURCE);
  }
  w.end();
};

/** Flows to one port, or if it is null to any. A filter is of one family. */
const encodeDump = (w: MessageWriter, { family, protocol }: FlowKind, port: number | null): void => {
  begin(w.reset(), GET, NL.F_DUMP, familyOf(family));
  putTuple(w, CTA.ORIGINAL, [0, null], { protocol, at: PROTO.DESTINATION, port });
  putFlags(w, FILTER.NUMBER | (port === null ? 0 : FILTER.DESTINATION), 0);
  w.end();
};

interface Tuple {
  source: Uint8Array;
  destination: Uint8Array;
  sourcePort: number;
  port: number;
}

const none: Uint8Array = new Uint8Array(0);

const readTuple = (reader: MessageReader, start: number, end: number): Tuple => {
  const tuple: Tuple = { source: none, destination: none, sourcePort: 0, port: 0 };
  const number = (at: number): number => (reader.u8(at) << 8) | reader.u8(at + 1);
  reader.attributes(start, end, (part, from, to) => {
    reader.attributes(from, to, (type, at, until) => {
      if (part === CTA.IP) {
        if (type === IP.V4_SRC || type === IP.V6_SRC) tuple.source = reader.slice(at, until);
        else if (type === IP.V4_DST || type === IP.V6_DST) tuple.destination = reader.slice(at, until);
      } else if (part === CTA.PROTO) {
        if (type === PROTO.SOURCE && until - at === 2) tuple.sourcePort = number(at);
        else if (type === PROTO.DESTINATION && until - at === 2) tuple.port = number(at);
      }
    });
  });
  return tuple;
};

/** Where the attributes of a tuple are. */
type Span = readonly [start: number, end: number];

/** Null for a flow to another port. */
export const decodeFlow = (reader: MessageReader, { start, end }: Message, ports: ReadonlySet<number>): Flow | null => {
  let [original, reply]: [Span | null, Span | null] = [null, null];
  const name: Flow['name'][number][] = [];
  reader.attributes(start + 4, end, (type, from, to) => {
    if (type === CTA.ORIGINAL) original = [from, to];
    else if (type === CTA.REPLY) reply = [from, to];
    if (type === CTA.ORIGINAL || type === CTA.ID || type === CTA.ZONE) {
      name.push({ type: type === CTA.ORIGINAL ? type | NL.NESTED : type, bytes: reader.slice(from, to) });
    }
  });
  const [sent, answered] = [original as Span | null, reply as Span | null];
  if (sent === null || answered === null) return null;
  const { destination, port } = readTuple(reader, ...sent);
  if (!ports.has(port)) return null;
  const { source, sourcePort } = readTuple(reader, ...answered);
  const family = destination.length === 4 ? 4 : 6;
  return { family, destination, port, target: source, targetPort: sourcePort, name };
};

/**
 * The flows to some ports. The kernel locks every bucket of its table on the way: 10 to 15 ms for 262,144 of them, which is its
 * default beyond 4 GB of memory, and 5 us more for each flow that is told (Linux 6.18, two cores).
 * @throws SystemError, AnswerLost
 */
export const listFlows = (
  socket: NetlinkSocket,
  writer: MessageWriter,
  kind: FlowKind,
  ports: ReadonlySet<number>,
): readonly Flow[] => {
  const [only = null] = ports.size === 1 ? ports : [];
  encodeDump(writer, kind, only);
  return socket.dump(writer, () => {
    const result: Flow[] = [];
    return {
      result,
      visit: (reader, message) => {
        const flow = decodeFlow(reader, message, ports);
        if (flow !== null) result.push(flow);
      },
    };
  });
};

/** How many flows the kernel tracks in the namespace of the socket: 20 us. */
export const countFlows = (socket: NetlinkSocket, writer: MessageWriter): number => {
  begin(writer.reset(), STATS, 0, AF.UNSPEC);
  writer.end();
  let count = 0;
  const refusals = socket.request(writer, (reader, { start, end }) =>
    reader.attributes(start + 4, end, (type, from, to) => {
      if (type === STATS_ENTRIES && to - from === 4) count = reader.be32(from);
    }),
  );
  expectNone(refusals);
  return count;
};

/** Flows or filters per batch: some 150 bytes each. */
const chunk = 200;

/**
 * Deletes what the filters take, one walk each. The kernel passes over empty buckets here: 0.15 ms for a few flows, and 0.35 us more for
 * each that there is, whether it is taken or not.
 */
export const deleteMatching = (socket: NetlinkSocket, writer: MessageWriter, filters: readonly FlowFilter[]): void => {
  for (let at = 0; at < filters.length; at += chunk) {
    writer.reset();
    for (const filter of filters.slice(at, at + chunk)) encodeDelete(writer, filter);
    expectNone(socket.request(writer));
  }
};

/** Deletes just these; one that has ended meanwhile is fine. */
export const deleteFlows = (socket: NetlinkSocket, writer: MessageWriter, flows: readonly Flow[]): void => {
  for (let at = 0; at < flows.length; at += chunk) {
    writer.reset();
    for (const { family, name } of flows.slice(at, at + chunk)) {
      begin(writer, DELETE, 0, familyOf(family));
      for (const { type, bytes } of name) writer.data(type, bytes);
      writer.end();
    }
    expectNone(socket.request(writer).filter((refusal) => refusal.errno !== 'ENOENT'));
  }
};
