/**
 * Names of all sandboxes of a host: what a worker starts, tells of joins and leaves, and stops. A name is told before its join is reported,
 * and taken away before its leave is, so whoever reads the log finds what it says. Nothing that is told here touches a socket: those are
 * opened once for a sandbox and closed with it.
 *
 *     await kernel.apply(plan of a join)
 *     const fault = await dns.open(sandbox)     first join: its sockets
 *     dns.joined({ network, endpoint, sandbox })
 *     report EndpointJoined
 *
 *     await dns.release(incarnation)            the last leave, before the plan: open sockets keep a namespace alive
 *     await kernel.apply(plan of a leave)
 *     dns.left(endpointId)
 *     report EndpointLeft
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Kernel, KernelFault } from '../../drivers/port.ts';
import type { EndpointFacts, NetworkFacts, SandboxFacts } from '../../events/events.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import { RESOLVER_PORT } from './address.ts';
import { createForwarder, type ForwarderOptions } from './forwarder.ts';
import { createServer } from './server.ts';
import type { HostServers } from './upstreams.ts';
import { createZone, type ZoneMember, type ZonePeer } from './zone.ts';

export interface DnsOptions {
  readonly kernel: Pick<Kernel, 'openResolver'>;
  readonly logger: Logger;
  readonly clock: Clock;
  /** The host's own servers, for sandboxes whose user and networks name none (upstreams.ts). */
  readonly upstreams: HostServers;
  /** Design values unless given: limits and patience of forwarding. */
  readonly forwarding?: Partial<ForwarderOptions>;
  /** The sockets of a sandbox could not be taken over (no descriptor left, for one): it is to be opened again later. */
  readonly onUnserved?: (incarnation: string) => void;
}

type Sockets = Awaited<ReturnType<Kernel['openResolver']>>;

interface Opening {
  /** Whether there are sockets. */
  readonly bound: Promise<KernelFault | null>;
  /** Resolves when they are taken over, or given up. */
  readonly served: Promise<void>;
}

export interface Dns {
  /**
   * Opens the sockets of a sandbox, if they are not open. The namespace and its resolver object must be there.
   * @returns why there are none; null when they take questions, which are answered from the next turn of the loop on
   */
  open(sandbox: SandboxFacts): Promise<KernelFault | null>;
  /** Whether a sandbox has sockets, or is about to have them. */
  has(incarnation: string): boolean;
  /** Closes the sockets of a sandbox for good, if it has any: resolves when they no longer keep the namespace. Its names stay. */
  release(incarnation: string): Promise<void>;
  /** An endpoint is in a sandbox. Told again, it changes to what is told, in its old place among the sandbox's endpoints. */
  joined(member: ZoneMember): void;
  /** An endpoint on another host is in a sandbox there: it has names here too, for the sandboxes on its network. */
  met(peer: ZonePeer): void;
  /** An endpoint, here or on another host, is in no sandbox any more. One that is not known changes nothing. */
  left(endpointId: string): void;
  /** Other aliases or priority of an endpoint. One that is in no sandbox changes nothing. */
  endpointChanged(endpoint: EndpointFacts): void;
  /** Other servers of a network. */
  networkChanged(network: NetworkFacts): void;
  /** All names are these, in the order in which the endpoints joined (members.ts): at the start, and after a look at everything. */
  reset(members: Iterable<ZoneMember>): void;
  /** The log is folded in up to here: what `position.cnm.` answers. */
  reached(position: number): void;
  /** Closes every socket, and gives up on what is being forwarded. */
  close(): Promise<void>;
  /** What has happened since the start, and what is open now. */
  readonly counts: DnsCounts;
}

export interface DnsCounts {
  readonly sandboxes: number;
  readonly endpoints: number;
  /** Queries answered from the names of the host's networks, or forwarded, refused for being too many, or answered as malformed. */
  readonly answered: number;
  readonly forwarded: number;
  readonly shed: number;
  readonly malformed: number;
  /** Dropped unread, since one sandbox asked faster than its turn came. */
  readonly dropped: number;
}

export const createDns = (options: DnsOptions): Dns => {
  const { kernel, logger, clock, upstreams, forwarding = {}, onUnserved = () => undefined } = options;
  const zone = createZone();
  const forwarder = createForwarder({ logger, clock, ...forwarding });
  const server = createServer({ zone, forwarder, logger, hostServers: () => upstreams.servers() });
  const opening = new Map<string, Opening>();

  /** Not before what was waiting for the sockets has gone on: meanwhile they keep what they are asked. */
  const serve = async ({ incarnation, id }: SandboxFacts, sockets: Sockets): Promise<void> => {
    if (!sockets.ok) return;
    await nextTurn();
    try {
      await server.open(incarnation, sockets.udp, sockets.tcp);
    } catch (error) {
      logger.error({ sandbox: id, err: error }, 'names are not answered');
      onUnserved(incarnation);
    }
  };

  return {
    open: (sandbox) => {
      const { incarnation } = sandbox;
      if (server.isOpen(incarnation)) return Promise.resolve(null);
      const known = opening.get(incarnation);
      if (known) return known.bound;
      const sockets = kernel.openResolver(sandbox.key, RESOLVER_PORT);
      const bound = sockets.then((found) => (found.ok ? null : found.fault));
      const served = sockets
        .then((found) => serve(sandbox, found))
        .catch(() => undefined)
        .finally(() => opening.delete(incarnation));
      opening.set(incarnation, { bound, served });
      return bound;
    },
    has: (incarnation) => opening.has(incarnation) || server.isOpen(incarnation),
    release: async (incarnation) => {
      await opening.get(incarnation)?.served;
      await server.close(incarnation);
      forwarder.forget(incarnation);
    },
    joined: (member) => zone.joined(member),
    met: (peer) => zone.met(peer),
    left: (endpointId) => zone.left(endpointId),
    endpointChanged: (endpoint) => zone.endpointChanged(endpoint),
    networkChanged: (network) => zone.networkChanged(network),
    reset: (members) => zone.reset(members),
    reached: (position) => zone.reached(position),
    close: async () => {
      await Promise.all([...opening.values()].map(({ served }) => served));
      await server.closeAll();
      forwarder.close();
    },
    get counts() {
      return { ...server.counts, endpoints: zone.endpoints, ...forwarder.counts };
    },
  };
};
