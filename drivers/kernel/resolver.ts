/**
 * The way to the resolver of a sandbox: queries to 127.0.0.11 port 53 are led to the port where this host's worker listens inside.
 * A program in the sandbox may thus have port 53 for itself. One constant table, which goes with the namespace: whose it is, the record
 * of the namespace says, so it can be made before that is known.
 */
import type { Netns, Resolver } from '../objects.ts';
import { NL } from './constants.ts';
import type { Expression } from './expressions.ts';
import { expectNone, KernelFailure } from './failure.ts';
import type { Host } from './host.ts';
import { close, SystemError } from './libc.ts';
import { dropListeners, resolverAddress } from './listener.ts';
import { NetlinkSocket, type Refusal } from './netlink.ts';
import { openNamespace, within } from './netns.ts';
import {
  beginBatch,
  decodeRule,
  delTable,
  dumpRules,
  endBatch,
  type Hook,
  newChain,
  newRule,
  newTable,
} from './nftables.ts';
import { tableName } from './ruleset.ts';
import type { Transaction } from './transaction.ts';

/** Not that of the host: a sandbox may have a host of its own in it. */
type Owner = Pick<Host, 'realm' | 'host' | 'writer'>;

const nameOf = (host: Owner): string => `${tableName(host.realm, host.host)}_resolver`;

const chain = 'output';

/** NF_INET_LOCAL_OUT at the priority of destination translation (NF_IP_PRI_NAT_DST). */
const hook: Hook = { type: 'nat', number: 3, priority: -100 };

/** Keys of `meta` and numbers of protocols: linux/netfilter/nf_tables.h, linux/in.h, linux/socket.h. */
const [nfproto, l4proto] = [15, 16];
const [tcp, udp] = [6, 17];
const ipv4 = 2;

const bytesOf = (port: number): readonly number[] => [port >> 8, port & 255];

/** Packets of a protocol to 127.0.0.11 port 53: to the same address, another port. */
const steps = (protocol: number, port: number): readonly Expression[] => [
  { name: 'meta', key: nfproto, to: 0 },
  { name: 'compare', equal: true, value: [ipv4] },
  { name: 'meta', key: l4proto, to: 0 },
  { name: 'compare', equal: true, value: [protocol] },
  { name: 'payload', base: 2, offset: 2, bytes: 2, to: 0 },
  { name: 'compare', equal: true, value: bytesOf(53) },
  { name: 'payload', base: 1, offset: 16, bytes: 4, to: 0 },
  { name: 'compare', equal: true, value: [...resolverAddress] },
  { name: 'value', value: bytesOf(port), to: 1 },
  { name: 'nat', change: 'destination', family: ipv4, port: 1 },
];

/** A rule says where it leads. */
const commentOf = (port: number): string => `cnm resolver ${port}`;

const protocols = [udp, tcp];

const encode = (host: Owner, port: number): void => {
  const name = nameOf(host);
  newTable(host.writer, name, 0, null);
  newChain(host.writer, name, chain, hook);
  for (const protocol of protocols) {
    newRule(host.writer, name, chain, steps(protocol, port), commentOf(port));
  }
};

const commit = (host: Owner, socket: NetlinkSocket, write: () => void): readonly Refusal[] => {
  const first = beginBatch(host.writer);
  write();
  return socket.requestBatch(host.writer, first, endBatch(host.writer));
};

/** In the namespace where the thread stands, where nothing is yet. @throws SystemError, KernelFailure */
export const equipResolver = (host: Owner, port: number): void => {
  const socket = new NetlinkSocket(NL.NETFILTER);
  try {
    expectNone(commit(host, socket, () => encode(host, port)));
  } finally {
    socket.close();
  }
};

/** The comments of the rules in our table; none where there is no table. */
const listComments = (host: Host, socket: NetlinkSocket): readonly string[] => {
  dumpRules(host.writer, nameOf(host));
  return socket.dump(host.writer, () => {
    const result: string[] = [];
    return { result, visit: (reader, message) => result.push(decodeRule(reader, message)) };
  });
};

/** Where our table leads; null when there is none. */
const findPort = (host: Host, socket: NetlinkSocket): number | null => {
  const [first, ...others] = listComments(host, socket);
  const port = /^cnm resolver (\d+)$/.exec(first ?? '')?.[1];
  // Anything else than both rules as we make them is as good as nothing: it is made anew.
  const isWhole = others.length === protocols.length - 1 && others.every((other) => other === first);
  return port === undefined || !isWhole ? null : Number(port);
};

/** The resolver of the namespace where the thread stands. A kernel without nfnetlink has none. */
export const readResolver = (host: Host, { path, tag }: Netns): Resolver | null => {
  let socket: NetlinkSocket;
  try {
    socket = new NetlinkSocket(NL.NETFILTER);
  } catch (error) {
    if (error instanceof SystemError) return null;
    throw error;
  }
  try {
    const port = findPort(host, socket);
    return port === null ? null : { kind: 'resolver', netns: path, port, tag };
  } finally {
    socket.close();
  }
};

/** Runs `work` with a socket to the packet filter of a namespace; null when there is no namespace. */
const inside = <T>(host: Host, path: string, work: (socket: NetlinkSocket) => T): T | null => {
  const descriptor = openNamespace(path);
  if (typeof descriptor !== 'number') return null;
  try {
    return within(host, descriptor, work, NL.NETFILTER);
  } finally {
    close(descriptor);
  }
};

/** Makes the table, instead of the one that is there; without a port, removes it. */
const replace = (host: Host, socket: NetlinkSocket, port: number | null): void => {
  const name = nameOf(host);
  const refusals = commit(host, socket, () => {
    // Made first, so that there is one to delete.
    newTable(host.writer, name, 0, null);
    delTable(host.writer, name);
    if (port !== null) encode(host, port);
  });
  expectNone(refusals);
};

const change = (transaction: Transaction, netns: string, wanted: number | null): boolean => {
  const { host, undo } = transaction;
  const done = inside(host, netns, (socket): true => {
    const before = findPort(host, socket);
    if (wanted !== null && before === wanted) return true;
    const run = (): void => {
      inside(host, netns, (again) => replace(host, again, before));
    };
    undo.push({ what: `restore resolver in ${netns}`, run });
    replace(host, socket, wanted);
    return true;
  });
  return done !== null;
};

export const ensureResolver = (transaction: Transaction, { netns, port }: Resolver): void => {
  if (!change(transaction, netns, port)) {
    throw new KernelFailure('NETNS_UNUSABLE', `${netns} is no network namespace`);
  }
};

export const removeResolver = (transaction: Transaction, { netns }: Resolver): void => {
  dropListeners(transaction.host, netns);
  change(transaction, netns, null);
};
