/**
 * The way to the resolver of a sandbox: queries to 127.0.0.11 port 53 are led to the port where this host's worker listens inside.
 * A program in the sandbox may thus have port 53 for itself. One constant table, which goes with the namespace.
 */
import { formatTag, type Netns, parseTag, type Resolver } from '../objects.ts';
import { NL } from './constants.ts';
import type { Expression } from './expressions.ts';
import { expectNone, KernelFailure } from './failure.ts';
import type { Host } from './host.ts';
import { close, SystemError } from './libc.ts';
import { resolverAddress } from './listener.ts';
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
import type { Space } from './spare.ts';
import type { Transaction } from './transaction.ts';

/** Not that of the host: a sandbox may have a host of its own in it. */
const nameOf = (host: Host): string => `${tableName(host.realm, host.host)}_resolver`;

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

/** A rule says whose it is and where it leads. */
const commentOf = ({ tag, port }: Resolver): string => `${formatTag(tag)} ${port}`;

const protocols = [udp, tcp];

const encode = (host: Host, resolver: Resolver): void => {
  const name = nameOf(host);
  newTable(host.writer, name, 0, null);
  newChain(host.writer, name, chain, hook);
  for (const protocol of protocols) {
    newRule(host.writer, name, chain, steps(protocol, resolver.port), commentOf(resolver));
  }
};

const commit = (host: Host, socket: NetlinkSocket, write: () => void): readonly Refusal[] => {
  const first = beginBatch(host.writer);
  write();
  return socket.requestBatch(host.writer, first, endBatch(host.writer));
};

/** In a namespace where nothing is yet. False when the kernel refuses. */
export const equipResolver = (host: Host, space: Space, resolver: Resolver): boolean =>
  space.filter !== null && commit(host, space.filter, () => encode(host, resolver)).length === 0;

/** The comments of the rules in our table; none where there is no table. */
const listComments = (host: Host, socket: NetlinkSocket): readonly string[] => {
  dumpRules(host.writer, nameOf(host));
  return socket.dump(host.writer, () => {
    const result: string[] = [];
    return { result, visit: (reader, message) => result.push(decodeRule(reader, message)) };
  });
};

const find = (host: Host, socket: NetlinkSocket, netns: string): Resolver | null => {
  const [first, ...others] = listComments(host, socket);
  const [, label = '', port = ''] = /^(\S+) (\d+)$/.exec(first ?? '') ?? [];
  const tag = parseTag(label);
  // Anything else than both rules as we make them is as good as nothing: it is made anew.
  if (!tag || others.length !== protocols.length - 1 || others.some((other) => other !== first)) return null;
  return { kind: 'resolver', netns, port: Number(port), tag };
};

/** The resolver of the namespace where the thread stands. A kernel without nfnetlink has none. */
export const readResolver = (host: Host, { path }: Netns): Resolver | null => {
  let socket: NetlinkSocket;
  try {
    socket = new NetlinkSocket(NL.NETFILTER);
  } catch (error) {
    if (error instanceof SystemError) return null;
    throw error;
  }
  try {
    return find(host, socket, path);
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

/** Makes the table, instead of the one that is there; without a resolver, removes it. */
const replace = (host: Host, socket: NetlinkSocket, resolver: Resolver | null): void => {
  const name = nameOf(host);
  const refusals = commit(host, socket, () => {
    // Made first, so that there is one to delete.
    newTable(host.writer, name, 0, null);
    delTable(host.writer, name);
    if (resolver !== null) encode(host, resolver);
  });
  expectNone(refusals);
};

const change = (transaction: Transaction, netns: string, wanted: Resolver | null): boolean => {
  const { host, undo } = transaction;
  const done = inside(host, netns, (socket): true => {
    const before = find(host, socket, netns);
    const label = (resolver: Resolver | null): string => (resolver === null ? '' : commentOf(resolver));
    if (wanted !== null && label(before) === label(wanted)) return true;
    const run = (): void => {
      inside(host, netns, (again) => replace(host, again, before));
    };
    undo.push({ what: `restore resolver in ${netns}`, run });
    replace(host, socket, wanted);
    return true;
  });
  return done !== null;
};

export const ensureResolver = (transaction: Transaction, resolver: Resolver): void => {
  if (!change(transaction, resolver.netns, resolver)) {
    throw new KernelFailure('NETNS_UNUSABLE', `${resolver.netns} is no network namespace`);
  }
};

export const removeResolver = (transaction: Transaction, { netns }: Resolver): void => {
  change(transaction, netns, null);
};
