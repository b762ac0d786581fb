/**
 * Flows that no longer go where the rules lead: the kernel translates a flow once, when it begins, and keeps to that. They are
 * deleted after each change of what is published, so that their next packet goes by the rules. For udp these are all flows to the
 * port; connections of tcp and sctp last until their port leads elsewhere.
 */
import { type Element, objectKey } from '../objects.ts';
import { formatAddress, parseAddress } from './address.ts';
import { countFlows, deleteFlows, deleteMatching, type Flow, type FlowFilter, listFlows } from './conntrack.ts';
import { NL } from './constants.ts';
import { protocols } from './fields.ts';
import { goHome, type Host } from './host.ts';
import { listAddresses } from './inside.ts';
import { NetlinkSocket } from './netlink.ts';
import { type Mapping, mappingOf } from './ports.ts';
import { isWildcard } from './sockdiag.ts';
import type { Exchange, Table } from './table.ts';

/** A port whose flows may be stale: those to where it led before (null: nowhere), and those that began while it led nowhere. */
interface Suspect {
  readonly mapping: Mapping;
  readonly before: readonly string[] | null;
  readonly fresh: boolean;
}

const everywhere = { 4: 'dnat4', 6: 'dnat6' } as const;
const atOne = { 4: 'dnat4ip', 6: 'dnat6ip' } as const;

/** Ports that are remembered: all of two protocols. */
const formerMax = 1 << 17;

/** Walks times flows: from here on, one look at all flows costs less (conntrack.ts has the figures). */
const walksMax = 30_000;

const isTranslated = ({ destination, port, target, targetPort }: Flow): boolean =>
  port !== targetPort || destination.some((byte, at) => byte !== target[at]);

/** What the kernel itself can tell apart; null where only a look at the flows does. */
const filtersOf = ({ mapping, before, fresh }: Suspect): readonly FlowFilter[] | null => {
  const { family, protocol, address, port } = mapping;
  // Linux (6.18 too) takes just those with other addresses of IPv6 (ctnetlink_filter_match_tuple).
  if (family === 6) return null;
  // Flows through the host to the same port of somebody else are not to be touched.
  if (fresh && isWildcard(address)) return null;
  const destination = isWildcard(address) ? null : parseAddress(address);
  const filter = { protocol: protocols[protocol] ?? 0, port, destination, target: null };
  if (fresh) return [filter];
  if (before === null) return [];
  return [{ ...filter, target: { address: parseAddress(before[0] ?? ''), port: Number(before[1]) } }];
};

export class Flows {
  readonly #host: Host;
  readonly #table: Table;
  #socket: NetlinkSocket | null = null;
  /**
   * Where ports of tcp and sctp led that are not published any more. What is connected there goes on, as long as they lead nowhere
   * else. An earlier process's are not known.
   */
  readonly #former = new Map<string, readonly string[]>();

  constructor(host: Host, table: Table) {
    this.#host = host;
    this.#table = table;
  }

  /** Where a connected port led before. Remembers and forgets it. */
  #ledTo(key: string, removed: Element | undefined, added: Element | undefined): readonly string[] | null {
    const before = removed?.data ?? this.#former.get(key) ?? null;
    this.#former.delete(key);
    if (added !== undefined) return before;
    if (before !== null) this.#former.set(key, before);
    const [oldest] = this.#former.keys();
    if (oldest !== undefined && this.#former.size > formerMax) this.#former.delete(oldest);
    return null;
  }

  #suspectOf(key: string, removed: Element | undefined, added: Element | undefined): Suspect | null {
    const element = added ?? removed;
    const mapping = element && mappingOf(element);
    if (!mapping) return null;
    const udp = mapping.protocol === 'udp';
    const fresh = udp && removed === undefined;
    const before = udp ? (removed?.data ?? null) : this.#ledTo(key, removed, added);
    const moved = before !== null && before.join() !== added?.data.join();
    return fresh || moved ? { mapping, before, fresh } : null;
  }

  #suspects(exchanges: readonly Exchange[]): readonly Suspect[] {
    return exchanges.flatMap(({ removed, added }) => {
      const [before, after] = [removed, added].map(
        (elements) => new Map(elements.map((element) => [objectKey(element), element])),
      );
      return [...new Map([...(before ?? []), ...(after ?? [])]).keys()].flatMap(
        (key) => this.#suspectOf(key, before?.get(key), after?.get(key)) ?? [],
      );
    });
  }

  /** Where the rules lead what is sent to a port of the host; null: nowhere else. */
  #translation(protocol: string, { family, destination, port }: Flow): readonly string[] | null {
    const service = [protocol, String(port)];
    const one = this.#table.find(atOne[family], [formatAddress(destination), ...service]);
    return (one ?? this.#table.find(everywhere[family], service))?.data ?? null;
  }

  #isStale(protocol: string, flow: Flow): boolean {
    const wanted = this.#translation(protocol, flow);
    const translated = isTranslated(flow);
    if (wanted === null) return translated && protocol === 'udp';
    // Connected to a process of the host, before that stopped to listen.
    if (!translated && protocol !== 'udp') return false;
    return wanted[0] !== formatAddress(flow.target) || wanted[1] !== String(flow.targetPort);
  }

  /** Addresses of the host: what is sent elsewhere is none of our business, whatever the port. */
  #ownAddresses(): (address: Uint8Array) => boolean {
    const own = new Set(
      listAddresses(this.#host.route, this.#host.writer).map(({ address }) => formatAddress(address)),
    );
    return (address) => (address.length === 4 && address[0] === 127) || own.has(formatAddress(address));
  }

  /** Looks at all flows to the ports, in one walk for each family and protocol. */
  #inspect(socket: NetlinkSocket, suspects: readonly Suspect[]): void {
    const { writer } = this.#host;
    const isOwn = this.#ownAddresses();
    const groups = Map.groupBy(suspects, ({ mapping: { family, protocol } }) => `${family} ${protocol}`);
    for (const group of groups.values()) {
      const [
        {
          mapping: { family, protocol },
        },
      ] = group as [Suspect];
      const ports = new Set(group.map(({ mapping }) => mapping.port));
      const flows = listFlows(socket, writer, { family, protocol: protocols[protocol] ?? 0 }, ports);
      deleteFlows(
        socket,
        writer,
        flows.filter((flow) => isOwn(flow.destination) && this.#isStale(protocol, flow)),
      );
    }
  }

  /**
   * Deletes what the exchanges of the table have made stale.
   * @throws KernelFailure, SystemError, AnswerLost
   */
  settle(): void {
    const suspects = this.#suspects(this.#table.takeExchanges());
    if (suspects.length === 0) return;
    goHome(this.#host);
    this.#socket ??= new NetlinkSocket(NL.NETFILTER).widen();
    const count = countFlows(this.#socket, this.#host.writer);
    if (count === 0) return;
    const filters = suspects.map(filtersOf);
    const known = filters.filter((each) => each !== null).flat();
    if (filters.includes(null) || known.length * count > walksMax) this.#inspect(this.#socket, suspects);
    else deleteMatching(this.#socket, this.#host.writer, known);
  }

  close(): void {
    this.#socket?.close();
  }
}
