/** What the tunnels of the kernel in memory know of the endpoints of other hosts. */
import type { Peer, PeerChange, PeerResult, PeerTable } from '../../drivers/port.ts';

const same = (a: Peer | undefined, b: Peer | undefined): boolean => JSON.stringify(a) === JSON.stringify(b);

const byMac = (peers: readonly Peer[]): Map<string, Peer> => new Map(peers.map((peer) => [peer.mac, peer]));

/** The entries of a machine, by tunnel and MAC: they go with their tunnel. */
export class MemoryTunnels {
  readonly #tunnels = new Map<string, Map<string, Peer>>();

  add(tunnel: string): void {
    if (!this.#tunnels.has(tunnel)) this.#tunnels.set(tunnel, new Map());
  }

  remove(tunnel: string): void {
    this.#tunnels.delete(tunnel);
  }

  /** All entries, to be put back by `restore`. */
  save(): ReadonlyMap<string, ReadonlyMap<string, Peer>> {
    return new Map([...this.#tunnels].map(([tunnel, entries]) => [tunnel, new Map(entries)]));
  }

  restore(saved: ReadonlyMap<string, ReadonlyMap<string, Peer>>): void {
    this.#tunnels.clear();
    for (const [tunnel, entries] of saved) this.#tunnels.set(tunnel, new Map(entries));
  }

  /** Entries of a tunnel that is there. */
  entries(tunnel: string): Map<string, Peer> | undefined {
    return this.#tunnels.get(tunnel);
  }

  /** What a tunnel leads to, in the order of MACs. */
  of(tunnel: string): readonly Peer[] {
    return [...(this.#tunnels.get(tunnel)?.values() ?? [])].sort((a, b) => (a.mac < b.mac ? -1 : 1));
  }

  /** Changes an entry behind everybody's back; null removes it. */
  tamper(tunnel: string, mac: string, peer: Peer | null): void {
    if (peer === null) this.#tunnels.get(tunnel)?.delete(mac);
    else this.#tunnels.get(tunnel)?.set(mac, peer);
  }
}

/** The tables that one kernel was told. */
export class MemoryPeers {
  readonly #tables = new Map<string, Map<string, Peer>>();
  readonly #tunnels: MemoryTunnels;

  constructor(tunnels: MemoryTunnels) {
    this.#tunnels = tunnels;
  }

  /** A tunnel is removed by us. */
  forget(tunnel: string): void {
    this.#tables.delete(tunnel);
  }

  /** A tunnel was made anew. */
  restore(tunnel: string): void {
    if (this.#tables.has(tunnel)) this.#correct(tunnel);
  }

  set({ tunnel, peers }: PeerTable): PeerResult {
    this.#tables.set(tunnel, byMac(peers));
    return this.#correct(tunnel);
  }

  change({ tunnel, put, drop }: PeerChange): PeerResult {
    const [wanted, present] = [this.#tables.get(tunnel), this.#tunnels.entries(tunnel)];
    for (const table of [wanted, wanted && present]) {
      for (const { mac } of drop) table?.delete(mac);
      for (const peer of put) table?.set(peer.mac, peer);
    }
    return wanted && present ? { ok: true, corrected: 0 } : missing(tunnel);
  }

  check(left: readonly string[] = []): readonly (PeerResult & { readonly tunnel: string })[] {
    return [...this.#tables.keys()].map((tunnel) => ({ ...this.#correct(tunnel, left.includes(tunnel)), tunnel }));
  }

  #correct(tunnel: string, isLeft = false): PeerResult {
    const [wanted = new Map<string, Peer>(), present] = [this.#tables.get(tunnel), this.#tunnels.entries(tunnel)];
    if (present === undefined) return missing(tunnel);
    const macs = new Set([...wanted.keys(), ...present.keys()]);
    const wrong = [...macs].filter((mac) => !same(wanted.get(mac), present.get(mac)));
    for (const mac of isLeft ? [] : wrong) this.#tunnels.tamper(tunnel, mac, wanted.get(mac) ?? null);
    return { ok: true, corrected: wrong.length };
  }
}

const missing = (tunnel: string): PeerResult => {
  const words = { errno: 'ENODEV', text: `no interface ${tunnel}`, step: `set peers of ${tunnel}` };
  return { ok: false, fault: { code: 'KERNEL_ERROR', ...words, retryable: false, undoFaults: [] } };
};
