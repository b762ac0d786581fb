/**
 * What encrypts the packets of encrypted tunnels, in the host's namespace: states, and two policies that guard the port of those tunnels
 * whoever it is that sends. All of them bear a number of the realm (reqid), by which those of a worker that is no more are known.
 */
import { encryptedPort } from '../objects.ts';
import type { AssociationChange, Kernel, PlanResult } from '../port.ts';
import { parseAddress } from './address.ts';
import { NL } from './constants.ts';
import { expectNone, faultOf, isFailure, KernelFailure } from './failure.ts';
import { goHome, type Host, hash, listLinks } from './host.ts';
import { NetlinkSocket } from './netlink.ts';
import {
  type Direction,
  decodePolicy,
  decodeState,
  deletePolicy,
  deleteState,
  dumpPolicies,
  dumpStates,
  newPolicy,
  newState,
  type PolicyRecord,
  type StateRecord,
} from './xfrm.ts';

/** Above those that key daemons count up from 1, or from 16384 (linux/ipsec.h). */
export const reqidOf = ({ realm }: Pick<Host, 'realm'>): number => 0x0c000000 + (hash(realm) & 0xffffff);

const directions: readonly Direction[] = ['out', 'in'];

/** What a removal may find: that it is done. */
const absent: ReadonlySet<string> = new Set(['ENOENT', 'ESRCH']);

const withSocket = <T>(host: Host, use: (socket: NetlinkSocket) => T): T => {
  goHome(host);
  const socket = new NetlinkSocket(NL.XFRM);
  try {
    return use(socket);
  } finally {
    socket.close();
  }
};

const dump = <T>(
  host: Host,
  socket: NetlinkSocket,
  ask: typeof dumpStates,
  decode: (...message: Parameters<typeof decodeState>) => T | null,
): readonly T[] => {
  ask(host.writer.reset());
  return socket.dump(host.writer, () => {
    const result: T[] = [];
    return {
      result,
      visit: (...message) => {
        const record = decode(...message);
        if (record !== null) result.push(record);
      },
    };
  });
};

const readGuards = (host: Host, socket: NetlinkSocket): readonly PolicyRecord[] =>
  dump<PolicyRecord>(host, socket, dumpPolicies, decodePolicy).filter(({ port }) => port === encryptedPort);

const addGuards = (host: Host, socket: NetlinkSocket): void => {
  const present = readGuards(host, socket);
  const reqid = reqidOf(host);
  if (present.some((policy) => policy.reqid !== reqid)) {
    const text = `an IPsec policy for UDP port ${encryptedPort} is there and not ours`;
    throw new KernelFailure('FOREIGN_OBJECT', text, 'EEXIST');
  }
  host.writer.reset();
  for (const direction of directions) {
    if (!present.some((policy) => policy.direction === direction)) {
      newPolicy(host.writer, direction, encryptedPort, reqid);
    }
  }
  if (host.writer.count > 0) expectNone(socket.request(host.writer));
};

/** From here on plain packets at the port of encrypted tunnels are dropped, in both directions. */
export const guard = (host: Host): void => withSocket(host, (socket) => addGuards(host, socket));

const hasTunnel = (host: Host): boolean =>
  listLinks(host.route, host.writer).some(({ tunnel }) => tunnel?.port === encryptedPort);

/** Left alone while a tunnel is there that needs it, whosever that is. */
const removeGuards = (host: Host, socket: NetlinkSocket): void => {
  const ours = readGuards(host, socket).filter(({ reqid }) => reqid === reqidOf(host));
  if (ours.length === 0 || hasTunnel(host)) return;
  host.writer.reset();
  for (const { direction } of ours) deletePolicy(host.writer, direction, encryptedPort);
  expectNone(socket.request(host.writer).filter(({ errno }) => !absent.has(errno)));
};

/** A kernel tells the newest first, and when each was added to the second. */
const ownStates = (host: Host, socket: NetlinkSocket): readonly StateRecord[] =>
  dump<StateRecord>(host, socket, dumpStates, decodeState)
    .filter(({ reqid }) => reqid === reqidOf(host))
    .toReversed()
    .toSorted((a, b) => a.addedAt - b.addedAt);

export const readAssociations = (host: Host): Awaited<ReturnType<Kernel['associations']>> => {
  try {
    return withSocket(host, (socket) => {
      const present = ownStates(host, socket).map(({ source, destination, spi }) => ({ source, destination, spi }));
      const guards = readGuards(host, socket).filter(({ reqid }) => reqid === reqidOf(host));
      return { ok: true, found: { present, guarded: guards.length === directions.length } };
    });
  } catch (error) {
    if (!isFailure(error)) throw error;
    return { ok: false, fault: faultOf(error, 'read associations', []) };
  }
};

const change = (host: Host, socket: NetlinkSocket, { guard: guarded, add, remove }: AssociationChange): void => {
  if (guarded) addGuards(host, socket);
  const reqid = reqidOf(host);
  // One at a time: they are few, and long.
  for (const { source, destination, spi, key } of add) {
    const ends = { source: parseAddress(source), destination: parseAddress(destination) };
    newState(host.writer.reset(), { ...ends, spi, reqid, key: Buffer.from(key, 'hex') });
    const refusals = socket.request(host.writer);
    // Not left in a buffer that serves everybody.
    host.writer.bytes.fill(0, 0, host.writer.length);
    expectNone(refusals);
  }
  for (const { source, destination, spi } of remove) {
    deleteState(host.writer.reset(), { source: parseAddress(source), destination: parseAddress(destination), spi });
    expectNone(socket.request(host.writer).filter(({ errno }) => !absent.has(errno)));
  }
  if (!guarded) removeGuards(host, socket);
};

export const changeAssociations = (host: Host, wanted: AssociationChange): PlanResult => {
  try {
    withSocket(host, (socket) => change(host, socket, wanted));
    return { ok: true };
  } catch (error) {
    if (!isFailure(error)) throw error;
    return { ok: false, fault: faultOf(error, 'change associations', []) };
  }
};
