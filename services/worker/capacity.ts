/**
 * What a host has left: ports of bridges, addresses and subnets by what the log adds up to, neighbours, connections and descriptors by
 * what the kernel says. Said on the log when the worker starts, and whenever a band of `bands` is passed upward or left downward.
 */
import type { Kernel, KernelUse } from '../../drivers/port.ts';
import { bandOf, bands, capacityKey, percentOf } from '../../events/capacity.ts';
import type { DriverRules } from '../../events/driver-rules.ts';
import type { Fact } from '../../events/events.ts';
import { containsCidr, parseSubnet } from '../../events/ip.ts';
import type { SubnetPool } from '../../events/ipam.ts';
import type { CapacityUse } from '../../events/load-events.ts';
import { type BoundaryState, cellOf } from '../../events/state.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Report } from './reports.ts';

export type Use = Omit<CapacityUse, 'host'>;

/** Design value: what fills a table of thousands in less than this is seen by whoever is refused. */
export const capacityEveryMs = 5_000;
/** Subnets with more addresses are never used up. */
const countedMost = 1e9;

const useOf = (what: string, ofNetwork: string | null, used: number, limit: number): Use => ({
  what,
  ofNetwork,
  used,
  limit,
  percent: percentOf(used, limit),
});

/** Of each network that the host has of its own, what belongs to it alone. */
const networkUses = (state: BoundaryState, drivers: ReadonlyMap<string, DriverRules>): readonly Use[] =>
  [...state.networks.values()].flatMap(({ facts }) => {
    const cell = cellOf(state, facts.id);
    if (!cell || facts.configOnly) return [];
    const most = drivers.get(facts.driver)?.endpointsMax ?? Number.POSITIVE_INFINITY;
    const ports = Number.isFinite(most) ? [useOf('ports', facts.id, cell.endpoints.size, most)] : [];
    const addresses = cell.pools.flatMap(({ range, held }) => {
      const size = Number(range.last - range.first) + 1;
      return size < 1 || size > countedMost ? [] : [useOf('addresses', facts.id, Math.min(held.size, size), size)];
    });
    return [...ports, ...addresses];
  });

/** Subnets that networks hold of the pools that automatic ones are cut from; routes of others may take some as well. */
const poolUse = (state: BoundaryState, pools: readonly SubnetPool[]): readonly Use[] => {
  const cut = pools.flatMap(({ base, size }) => {
    const cidr = parseSubnet(base);
    return cidr === null ? [] : [{ cidr, count: 2 ** (size - cidr.prefix) }];
  });
  const limit = cut.reduce((sum, { count }) => sum + count, 0);
  const held = [...state.networks.values(), ...state.shared.networks.values()]
    .flatMap(({ facts }) => facts.subnets)
    .filter(({ subnet }) => {
      const own = parseSubnet(subnet);
      return own !== null && cut.some(({ cidr }) => cidr.family === own.family && containsCidr(cidr, own));
    });
  return limit === 0 ? [] : [useOf('subnets', null, Math.min(held.length, limit), limit)];
};

/** All that is counted. Complexity: linear in the networks. */
export const usesOf = (
  state: BoundaryState,
  drivers: ReadonlyMap<string, DriverRules>,
  pools: readonly SubnetPool[],
  kernel: readonly KernelUse[],
): readonly Use[] => [
  ...kernel.map(({ what, used, limit }) => useOf(what, null, used, limit)),
  ...poolUse(state, pools),
  ...networkUses(state, drivers),
];

/** What is to be said of the uses now, and the bands that hold then. Pure. @param before bands by `capacityKey`; none has no entry */
export const changesOf = (
  host: string,
  uses: readonly Use[],
  before: ReadonlyMap<string, Use & { readonly band: number }>,
): readonly Fact[] => {
  const seen = new Set<string>();
  const facts = uses.flatMap((use): readonly Fact[] => {
    const key = capacityKey(use);
    seen.add(key);
    const was = before.get(key)?.band ?? 0;
    const band = bandOf(use.percent, was);
    if (band === was) return [];
    return [{ type: band > was ? 'CapacityPressure' : 'CapacityRelieved', data: { host, ...use, band } }];
  });
  const gone = [...before].filter(([key]) => !seen.has(key));
  return [
    ...facts,
    ...gone.map(([, { what, ofNetwork, limit }]): Fact => {
      return { type: 'CapacityRelieved', data: { host, what, ofNetwork, used: 0, limit, percent: 0, band: 0 } };
    }),
  ];
};

export interface CapacityOptions {
  readonly host: string;
  readonly kernel: Pick<Kernel, 'capacity'>;
  readonly state: BoundaryState;
  readonly drivers: ReadonlyMap<string, DriverRules>;
  readonly pools: readonly SubnetPool[];
  readonly clock: Clock;
  readonly logger: Logger;
  readonly report: (reports: readonly Report[]) => void;
  readonly onFault: (error: unknown) => void;
}

export class Capacity {
  readonly #options: CapacityOptions;
  #said = new Map<string, Use & { readonly band: number }>();
  #seen: readonly Use[] = [];
  #isStopped = false;
  #cancel: () => void = () => undefined;

  constructor(options: CapacityOptions) {
    this.#options = options;
  }

  /** Says what there is, and goes on looking. Of networks only what is nearly used up: there may be thousands. */
  async begin(): Promise<void> {
    const { host, report } = this.#options;
    const uses = await this.#uses();
    const stated = uses.filter(({ ofNetwork, percent }) => ofNetwork === null || percent >= bands[0]);
    const fact: Fact = { type: 'CapacityStated', data: { host, uses: [...stated] } };
    report([{ fact, intent: null }, ...this.#changes(uses)]);
    this.#later();
  }

  /** What the last look has found. */
  get uses(): readonly Use[] {
    return this.#seen;
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel();
  }

  async #uses(): Promise<readonly Use[]> {
    const { state, drivers, pools, kernel } = this.#options;
    this.#seen = usesOf(state, drivers, pools, await kernel.capacity());
    return this.#seen;
  }

  #changes(uses: readonly Use[]): readonly Report[] {
    const { host, logger } = this.#options;
    return changesOf(host, uses, this.#said).map((fact) => {
      if (fact.type !== 'CapacityPressure' && fact.type !== 'CapacityRelieved') return { fact, intent: null };
      const { what, ofNetwork, used, limit, percent, band } = fact.data;
      if (band === 0) this.#said.delete(capacityKey(fact.data));
      else this.#said.set(capacityKey(fact.data), { what, ofNetwork, used, limit, percent, band });
      if (fact.type === 'CapacityPressure') logger.warn({ what, ofNetwork, used, limit }, 'nearly used up');
      return { fact, intent: null };
    });
  }

  #later(): void {
    const { clock, report, onFault } = this.#options;
    const look = async (): Promise<void> => {
      const uses = await this.#uses();
      if (this.#isStopped) return;
      report(this.#changes(uses));
      this.#later();
    };
    if (this.#isStopped) return;
    this.#cancel = clock.after(capacityEveryMs, () => {
      look().catch((error) => {
        if (!this.#isStopped) onFault(error);
      });
    });
  }
}
