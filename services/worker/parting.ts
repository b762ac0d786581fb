/**
 * What plugins are told when something of ours goes: it is gone whatever they say. What could not be delivered is kept in memory,
 * and told again when the plugin is back.
 */
import type { Fault } from '../../events/events.ts';
import type { Logger } from '../lib/logger.ts';
import { pluginId } from '../plugins/options.ts';
import type { Called, CallOptions, Plugins } from '../plugins/plugins.ts';

/** Ids are ours. */
export type Parting =
  | {
      readonly kind: 'revoke' | 'leave' | 'endpoint';
      readonly plugin: string;
      readonly networkId: string;
      readonly endpointId: string;
    }
  | { readonly kind: 'network'; readonly plugin: string; readonly networkId: string }
  /** Without prefix length. */
  | { readonly kind: 'address'; readonly plugin: string; readonly pool: string; readonly address: string }
  | { readonly kind: 'pool'; readonly plugin: string; readonly pool: string };

export interface PartingsOptions {
  readonly realm: string;
  readonly plugins: Plugins;
  readonly logger: Logger;
  /** Whether it is not so any more: an address that was given again since, an endpoint that has joined again. */
  readonly isOver: (parting: Parting) => boolean;
}

/** Each of them once, in the order in which they came first. */
export const once = (partings: readonly Parting[]): readonly Parting[] => [
  ...new Map(partings.map((parting) => [JSON.stringify(parting), parting])).values(),
];

/** Of a plugin that stays away for good; Docker forgets all of them with its process. */
const keptMax = 10_000;

type OfEndpoint = Extract<Parting, { endpointId: string }>;
const isOf =
  (endpointId: string) =>
  (parting: Parting): parting is OfEndpoint =>
    'endpointId' in parting && parting.endpointId === endpointId;

const call = (
  { realm, plugins }: PartingsOptions,
  parting: Parting,
  options: CallOptions,
): Promise<Called<unknown>> => {
  const refOf = ({ networkId, endpointId }: OfEndpoint) => ({
    networkId: pluginId(realm, networkId),
    endpointId: pluginId(realm, endpointId),
  });
  switch (parting.kind) {
    case 'revoke':
      return plugins.network(parting.plugin).revokeExternal(refOf(parting), options);
    case 'leave':
      return plugins.network(parting.plugin).leave(refOf(parting), options);
    case 'endpoint':
      return plugins.network(parting.plugin).deleteEndpoint(refOf(parting), options);
    case 'network':
      return plugins.network(parting.plugin).deleteNetwork(pluginId(realm, parting.networkId), options);
    case 'address':
      return plugins.ipam(parting.plugin).releaseAddress(parting.pool, parting.address, options);
    case 'pool':
      return plugins.ipam(parting.plugin).releasePool(parting.pool, options);
    default:
      return parting satisfies never;
  }
};

export class Partings {
  readonly #options: PartingsOptions;
  /** In the order in which they came, by plugin. */
  readonly #kept = new Map<string, Parting[]>();
  #count = 0;

  constructor(options: PartingsOptions) {
    this.#options = options;
  }

  /** How many are kept. */
  get size(): number {
    return this.#count;
  }

  /** Tells one behind the other, and keeps what cannot be told. Never rejects. */
  async tell(partings: readonly Parting[], options: CallOptions = {}): Promise<void> {
    for (const parting of partings) if ((await this.tellNow(parting, options)) !== null) this.#keep(parting);
  }

  /** Tells one of them now or not at all. @returns why the plugin does not know it; null also where it only complained */
  async tellNow(parting: Parting, options: CallOptions): Promise<Fault | null> {
    const called = await call(this.#options, parting, options);
    if (called.ok) return null;
    this.#options.logger.warn({ parting, fault: called.fault }, 'plugin was told that something is gone, in vain');
    return called.fault.code === 'PLUGIN_UNREACHABLE' ? called.fault : null;
  }

  /** A plugin is there, perhaps again: what it has missed. */
  async activated(plugin: string): Promise<void> {
    // One at a time off those that are kept: an endpoint that joins meanwhile finds its own among them. What fails is kept behind them.
    for (let left = this.#kept.get(plugin)?.length ?? 0; left > 0; left--) {
      const parting = this.#kept.get(plugin)?.shift();
      if (parting === undefined) return;
      this.#count -= 1;
      if (!this.#options.isOver(parting)) await this.tell([parting]);
    }
  }

  /** What the plugin has missed of an endpoint that is about to join again. */
  async rejoining(plugin: string, endpointId: string, options: CallOptions): Promise<void> {
    const kept = this.#kept.get(plugin) ?? [];
    const own = kept.filter(isOf(endpointId));
    if (own.length === 0) return;
    this.#kept.set(
      plugin,
      kept.filter((parting) => !isOf(endpointId)(parting)),
    );
    this.#count -= own.length;
    await this.tell(own, options);
  }

  #keep(parting: Parting): void {
    if (this.#count >= keptMax) return;
    this.#count += 1;
    const kept = this.#kept.get(parting.plugin);
    if (kept) kept.push(parting);
    else this.#kept.set(parting.plugin, [parting]);
  }
}
