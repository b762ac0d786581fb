/**
 * Keeps the kernel and the names of this host in step with who is in its networks on other hosts: changes at once, whole tables whenever a
 * network's tunnel is made, and a look at everything soon after changes, after a reconnect, and every few seconds.
 */
import type { Logger } from 'pino';
import type { Bridge, KernelObject, Vxlan } from '../../drivers/objects.ts';
import type { Kernel, Peer, PeerChange, PeerResult, PeerTable } from '../../drivers/port.ts';
import type { Event } from '../../events/envelope.ts';
import type { NetworkFacts } from '../../events/events.ts';
import { type PeerRow, PeerView } from '../../projections/peers.ts';
import { bareAddress } from '../../projections/projection.ts';
import type { Dns } from '../dns/dns.ts';
import type { Clock } from '../lib/clock.ts';
import type { Present } from './present.ts';

export interface PeersOptions {
  readonly host: string;
  readonly kernel: Pick<Kernel, 'setPeers' | 'changePeers' | 'checkPeers'>;
  readonly present: Present;
  readonly dns: Pick<Dns, 'met' | 'left'>;
  /** A network of any host, as far as the log is folded in. */
  readonly network: (id: string) => NetworkFacts | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A look at the table of a network has found so many entries that were not as they had been told. */
  readonly checked: (networkId: string, tunnel: string, wrong: number) => void;
  /** Tables could not be made as they should be: everything is to be looked at. */
  readonly repair: () => void;
  readonly onFault: (error: unknown) => void;
}

/** After a change, so that a burst of them is looked at once. */
const soonMs = 500;
/** Between looks at whole tables while nothing changes. */
const everyMs = 2_000;
/**
 * A look is a fiftieth of the time at most: where it takes long, the next one is later. The shortest of the last three counts: that one took long
 * may say no more than that the kernel's thread had a burst before it, or the machine others to serve.
 */
const everyShare = 50;
const looksKept = 3;
/** And no later than this, so that what nobody tells of is right again within half a minute, as all else is (worker-options.ts). */
const mostMs = 20_000;

/** Of a tunnel, by hardware address. One that is in both has changed: what it had goes, what it has comes. */
interface Untold {
  readonly tunnel: string;
  readonly put: Map<string, Peer>;
  readonly drop: Map<string, Peer>;
}

interface Tunnel {
  readonly device: string;
  readonly bridge: string;
}

const isVxlan = (object: KernelObject): object is Vxlan => object.kind === 'vxlan';
const isBridge = (object: KernelObject): object is Bridge => object.kind === 'bridge';

export class Peers {
  readonly #options: PeersOptions;
  readonly #view: PeerView;
  /** Networks whose tables the kernel's thread has: others are told as a whole when their tunnel is made. */
  readonly #kept = new Set<string>();
  /** By network: what the kernel is to be told next, while it is being told. */
  readonly #untold = new Map<string, Untold>();
  #telling = false;
  #begun = false;
  #closed = false;
  /** When the next look is due, in monotonic milliseconds. */
  #dueMs = Number.POSITIVE_INFINITY;
  /** How long the last ones took, milliseconds: what only one of them took says nothing of the tables. */
  #tookMs: readonly number[] = [0];
  #cancel: () => void = () => undefined;

  constructor(options: PeersOptions) {
    this.#options = options;
    this.#view = new PeerView(options.host);
  }

  /** Where a host is reached, as a segment carries it over. */
  state(host: string, facts: Parameters<PeerView['state']>[1]): void {
    this.#view.state(host, facts);
  }

  /** A peer as a segment carries it over. */
  carry(row: PeerRow): void {
    this.#view.carry(row);
  }

  /** An outcome of any host, or what is to be forgotten of one, in log order. */
  note(host: string, event: Event): void {
    this.#view.apply(host, event);
  }

  /** Everybody is known and the kernel's objects are in place: from here on tables are kept. */
  async begin(): Promise<void> {
    this.#begun = true;
    this.tell();
    await this.set(this.#tunnels());
    this.#lookIn(everyMs);
  }

  /** Hands on what has changed since the last time; costs nothing when nothing has. */
  tell(): void {
    if (!this.#begun) return;
    const { dns, network } = this.#options;
    for (const { networkId, gone, come } of this.#view.takeChanges()) {
      const stays = new Set(come.map(({ endpointId }) => endpointId));
      for (const { endpointId } of gone) if (!stays.has(endpointId)) dns.left(endpointId);
      const facts = network(networkId);
      for (const row of facts ? come : []) dns.met(namesOf(row, facts as NetworkFacts));
      const tunnel = this.#tunnelOf(networkId);
      if (!tunnel || !this.#kept.has(networkId)) continue;
      const untold = this.#untold.get(networkId) ?? { tunnel: tunnel.device, put: new Map(), drop: new Map() };
      this.#untold.set(networkId, untold);
      for (const peer of gone.flatMap((row) => this.#peerOf(row))) {
        untold.put.delete(peer.mac);
        // The first one is what the kernel has.
        if (!untold.drop.has(peer.mac)) untold.drop.set(peer.mac, peer);
      }
      for (const peer of come.flatMap((row) => this.#peerOf(row))) untold.put.set(peer.mac, peer);
    }
    if (this.#untold.size === 0) return;
    this.#tellKernel();
    this.#lookIn(this.#pauseOf(soonMs));
  }

  /** One batch at a time: each waits for a lock of the kernel's that all set-up needs, so a burst is told in few. */
  #tellKernel(): void {
    if (this.#telling || this.#untold.size === 0) return;
    this.#telling = true;
    const changes = [...this.#untold.values()].map(
      ({ tunnel, put, drop }): PeerChange => ({ tunnel, put: [...put.values()], drop: [...drop.values()] }),
    );
    this.#untold.clear();
    this.#options.kernel.changePeers(changes).then((results) => {
      this.#telling = false;
      this.#judge(results);
      if (!this.#closed) this.#tellKernel();
    }, this.#options.onFault);
  }

  /** Whole tables of these networks: their tunnels have just been made, or are there since before this process. */
  async set(networkIds: Iterable<string>): Promise<void> {
    const tables = [...networkIds].flatMap((id): readonly PeerTable[] => {
      const tunnel = this.#tunnelOf(id);
      if (!tunnel) return [];
      const peers = [...this.#view.of(id).values()].flatMap((row) => this.#peerOf(row));
      this.#kept.add(id);
      this.#untold.delete(id);
      return [{ tunnel: tunnel.device, bridge: tunnel.bridge, peers }];
    });
    if (tables.length > 0) this.#judge(await this.#options.kernel.setPeers(tables));
  }

  /** The tunnel of a network is gone, and its table with it. */
  forget(networkId: string): void {
    this.#kept.delete(networkId);
    this.#untold.delete(networkId);
  }

  /** The log was out of reach: others may have touched what nobody watched meanwhile. */
  look(): void {
    this.#lookIn(0);
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
  }

  #pauseOf(leastMs: number): number {
    return Math.min(mostMs, Math.max(leastMs, everyShare * Math.min(...this.#tookMs)));
  }

  /** One that is due earlier stays, so that changes without end do not put it off for ever. */
  #lookIn(delayMs: number): void {
    const { clock, onFault } = this.#options;
    const dueMs = clock.monotonicMs() + delayMs;
    if (this.#closed || dueMs >= this.#dueMs) return;
    this.#cancel();
    this.#dueMs = dueMs;
    this.#cancel = clock.after(delayMs, () => {
      this.#dueMs = Number.POSITIVE_INFINITY;
      this.#check().catch((error) => {
        if (!this.#closed) onFault(error);
      });
    });
  }

  async #check(): Promise<void> {
    const { clock, kernel } = this.#options;
    const startMs = clock.monotonicMs();
    const results = await kernel.checkPeers(this.#left());
    this.#judge(results);
    for (const result of results) if (result.ok) this.#checked(result.tunnel, result.corrected);
    this.#tookMs = [clock.monotonicMs() - startMs, ...this.#tookMs].slice(0, looksKept);
    this.#lookIn(this.#pauseOf(everyMs));
  }

  #judge(results: readonly PeerResult[]): void {
    const { logger, repair } = this.#options;
    for (const result of results) {
      if (!result.ok) {
        logger.warn({ fault: result.fault }, 'peers could not be told to the kernel');
        repair();
      } else if (result.corrected > 0) {
        logger.info({ corrected: result.corrected }, 'the kernel had other peers than the log');
      }
    }
  }

  /** Tunnels of networks that are only told of when others change them. */
  #left(): readonly string[] {
    const { present, network } = this.#options;
    return present.tunnels().flatMap(({ name, tag }) => (network(tag.id)?.drift === 'report' ? [name] : []));
  }

  #checked(tunnel: string, wrong: number): void {
    const { present, checked } = this.#options;
    const object = present.get(`link ${tunnel}`);
    if (object) checked(object.tag.id, tunnel, wrong);
  }

  #tunnelOf(networkId: string): Tunnel | null {
    const objects = this.#options.present.of('network', networkId);
    const [device, bridge] = [objects.find(isVxlan), objects.find(isBridge)];
    return device && bridge ? { device: device.name, bridge: bridge.name } : null;
  }

  #tunnels(): readonly string[] {
    return this.#options.present.tunnels().map(({ tag }) => tag.id);
  }

  /** Nothing for a host that has never taken packets. */
  #peerOf({ host, mac, ipv4, ipv6 }: PeerRow): readonly Peer[] {
    const vtep = this.#view.underlayOf(host);
    if (vtep === null) return [];
    return [{ mac, addresses: [ipv4, ipv6].flatMap((cidr) => (cidr === null ? [] : [bareAddress(cidr)])), vtep }];
  }
}

const namesOf = ({ endpointId, names, services, ipv4, ipv6 }: PeerRow, network: NetworkFacts) => ({
  endpointId,
  network,
  names,
  services,
  ipv4: ipv4 === null ? null : bareAddress(ipv4),
  ipv6: ipv6 === null ? null : bareAddress(ipv6),
});
