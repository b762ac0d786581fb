/**
 * Who is in the networks that span hosts, apart from those on one's own: a fold of what hosts report. What a worker tells the kernel
 * of a network (addresses, hardware addresses, where they are) and its sandboxes (names) is this and nothing else.
 */
import type { Event } from '../events/envelope.ts';
import type { EndpointFacts, EventData } from '../events/events.ts';
import type { Held } from '../events/held.ts';
import { bareAddress } from './projection.ts';

/** An endpoint on another host. Addresses with their prefix lengths. */
export interface PeerRow {
  readonly endpointId: string;
  readonly networkId: string;
  readonly host: string;
  readonly ipv4: string | null;
  readonly ipv6: string | null;
  readonly mac: string;
  /** Its own name first, in lower case; none where nobody knows it (docs/adr/0029). */
  readonly names: readonly string[];
  readonly services: EndpointFacts['services'];
}

/** What has become of the peers of one network. An endpoint stands in both lists where something of it has changed. */
export interface PeerChange {
  readonly networkId: string;
  /** As they were. */
  readonly gone: readonly PeerRow[];
  /** As they are. */
  readonly come: readonly PeerRow[];
}

type Before = Map<string, PeerRow | null>;

const none: ReadonlyMap<string, PeerRow> = new Map();

const addressesOf = ({ ipv4, ipv6 }: PeerRow): readonly string[] =>
  [ipv4, ipv6].flatMap((address) => (address === null ? [] : [bareAddress(address)]));

/** Whether two endpoints cannot both be reached. */
const collide = (a: PeerRow, b: PeerRow): boolean =>
  a.networkId === b.networkId &&
  a.endpointId !== b.endpointId &&
  (a.mac === b.mac || addressesOf(a).some((address) => addressesOf(b).includes(address)));

export class PeerView {
  readonly #own: string;
  readonly #rows = new Map<string, PeerRow>();
  readonly #networks = new Map<string, Map<string, PeerRow>>();
  readonly #underlays = new Map<string, string>();
  /** As hosts have stated it last. */
  readonly #epochs = new Map<string, number>();
  /** Hosts that are declared lost and have not come back: what their workers say who do not know it yet counts for nothing. */
  readonly #lost = new Set<string>();
  /** Endpoints that a host's kernel holds and the log does not know: they are reached until somebody else has what they have. */
  readonly #held = new Set<string>();
  /** By network: what was there of the endpoints that have changed since the changes were taken. */
  #changed = new Map<string, Before>();

  /** @param own the host whose endpoints are no peers */
  constructor(own: string) {
    this.#own = own;
  }

  /** An outcome of any host, or what is to be forgotten of one, in log order. */
  apply(host: string, { type, data }: Event): void {
    if (host === this.#own) {
      if (type === 'EndpointJoined' && data.mac !== null)
        this.#yieldTo({ ...data, host, mac: data.mac, names: [], services: [] });
      return;
    }
    switch (type) {
      case 'HostFacts':
        this.state(host, data);
        return;
      case 'PeersForgotten':
        this.#lose(host, data.epoch);
        return;
      case 'EndpointJoined': {
        if (this.#lost.has(host)) return;
        const { endpointId, networkId, ipv4, ipv6, mac, peer } = data;
        if (peer !== null && mac !== null) this.#put({ endpointId, networkId, host, ipv4, ipv6, mac, ...peer });
        return;
      }
      case 'EndpointUpdated': {
        const row = this.#rows.get(data.endpointId);
        if (row && data.peer) this.#put({ ...row, ...data.peer });
        return;
      }
      case 'LogRegressed':
        this.#hold(host, data.held);
        return;
      case 'HostResumed':
        if (data.held === 'remove') this.#hold(host, []);
        return;
      case 'EndpointJoinFailed':
      case 'EndpointLeft':
      case 'EndpointCreateFailed':
      case 'EndpointDeleted':
        this.#drop(data.endpointId);
        return;
      default:
    }
  }

  /** A row as another view had it; of one's own host none is taken. */
  carry(row: PeerRow): void {
    if (row.host !== this.#own) this.#put(row);
  }

  /** Where a host's endpoints are reached, as it has stated it. */
  state(host: string, { underlay, epoch }: Pick<EventData<'HostFacts'>, 'underlay' | 'epoch'>): void {
    if (host === this.#own) return;
    if (this.#epochs.get(host) !== epoch) this.#lost.delete(host);
    this.#epochs.set(host, epoch);
    if (underlay !== null) this.#settle(host, underlay.address);
  }

  /** One that has stated another epoch by then was not lost. */
  #lose(host: string, epoch: number): void {
    if (this.#epochs.get(host) !== epoch) return;
    this.#lost.add(host);
    for (const row of [...this.#rows.values()]) if (row.host === host) this.#drop(row.endpointId);
  }

  #hold(host: string, held: readonly Held[]): void {
    for (const id of [...this.#held]) if (this.#rows.get(id)?.host === host) this.#drop(id);
    for (const { entity, id: endpointId, networkId, addresses, macs } of held) {
      const [mac] = macs;
      if (entity !== 'endpoint' || networkId === null || mac === undefined || this.#rows.has(endpointId)) continue;
      const [ipv4 = null] = addresses.filter((address) => !address.includes(':'));
      const [ipv6 = null] = addresses.filter((address) => address.includes(':'));
      const row = { endpointId, networkId, host, ipv4, ipv6, mac, names: [], services: [] };
      if (![...this.of(networkId).values()].some((other) => collide(row, other))) this.#put(row);
    }
  }

  all(): Iterable<PeerRow> {
    return this.#rows.values();
  }

  /** By endpoint; of other hosts only. */
  of(networkId: string): ReadonlyMap<string, PeerRow> {
    return this.#networks.get(networkId) ?? none;
  }

  /**
   * The address under which a host takes packets for its endpoints, or took them: while it has none, what leads there may stay. Null for one
   * that has never said any.
   */
  underlayOf(host: string): string | null {
    return this.#underlays.get(host) ?? null;
  }

  /** What has changed since this was last asked. */
  takeChanges(): readonly PeerChange[] {
    const changes = [...this.#changed].map(([networkId, before]): PeerChange => {
      const rows = this.of(networkId);
      return {
        networkId,
        gone: [...before.values()].filter((row) => row !== null),
        come: [...before.keys()].flatMap((id) => rows.get(id) ?? []),
      };
    });
    this.#changed = new Map();
    return changes.filter(({ gone, come }) => gone.length + come.length > 0);
  }

  #yieldTo(row: PeerRow): void {
    for (const id of [...this.#held]) if (collide(row, this.#rows.get(id) as PeerRow)) this.#drop(id);
  }

  #put(row: PeerRow): void {
    this.#yieldTo(row);
    if (row.names.length === 0) this.#held.add(row.endpointId);
    else this.#held.delete(row.endpointId);
    this.#remember(row.networkId, row.endpointId);
    this.#rows.set(row.endpointId, row);
    const network = this.#networks.get(row.networkId) ?? new Map<string, PeerRow>();
    this.#networks.set(row.networkId, network.set(row.endpointId, row));
  }

  #drop(endpointId: string): void {
    const row = this.#rows.get(endpointId);
    if (!row) return;
    this.#remember(row.networkId, endpointId);
    this.#held.delete(endpointId);
    this.#rows.delete(endpointId);
    const network = this.#networks.get(row.networkId);
    network?.delete(endpointId);
    if (network?.size === 0) this.#networks.delete(row.networkId);
  }

  /** Its endpoints are reached elsewhere from now on. Seldom, so all rows are looked at. */
  #settle(host: string, underlay: string): void {
    if (this.underlayOf(host) === underlay) return;
    for (const row of this.#rows.values()) if (row.host === host) this.#remember(row.networkId, row.endpointId);
    this.#underlays.set(host, underlay);
  }

  #remember(networkId: string, endpointId: string): void {
    const before: Before = this.#changed.get(networkId) ?? new Map();
    if (!before.has(endpointId)) before.set(endpointId, this.#rows.get(endpointId) ?? null);
    this.#changed.set(networkId, before);
  }
}
