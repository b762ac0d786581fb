/** Plugins of addresses that want to be told after a start what they have given: RequiresRequestReplay. */
import type { Fault } from '../../events/events.ts';
import { type BoundaryState, cellOf, type NetworkRow } from '../../events/state.ts';
import { bareAddress } from '../../projections/projection.ts';
import type { Logger } from '../lib/logger.ts';
import { faults } from '../plugins/fault.ts';
import type { Called, CallOptions, IpamPlugin, Plugins } from '../plugins/plugins.ts';

export interface ReplayingOptions {
  readonly state: BoundaryState;
  readonly plugins: Plugins;
  readonly logger: Logger;
  /** Aborted when the worker ends. */
  readonly signal: AbortSignal;
}

/** What the promise answers, or null when the caller gives up first. */
const unless = <T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T | null> =>
  new Promise((resolve, reject) => {
    if (signal?.aborted) return resolve(null);
    const over = (): void => resolve(null);
    signal?.addEventListener('abort', over, { once: true });
    promise.then(resolve, reject).finally(() => signal?.removeEventListener('abort', over));
  });

const isAux = (address: string) => [address, 'aux'] as const;

export class Replaying {
  readonly #options: ReplayingOptions;
  /** By plugin: once in the life of a worker. */
  readonly #done = new Map<string, Promise<Fault | null>>();

  constructor(options: ReplayingOptions) {
    this.#options = options;
  }

  /**
   * Waits until the plugin knows what it has given, for as long as the caller does. It is everybody's, so it does not end with the time
   * of whoever was first: each call has the time that a call has.
   * @returns why it must not be asked for more; to be tried again with the next call
   */
  async replayed(name: string, { signal }: CallOptions): Promise<Fault | null> {
    let done = this.#done.get(name);
    if (done === undefined) {
      done = this.#replay(this.#options.plugins.ipam(name), { signal: this.#options.signal });
      this.#done.set(name, done);
    }
    const own = done;
    const told = own.then((fault) => {
      if (fault && this.#done.get(name) === own) this.#done.delete(name);
      return { fault };
    });
    const ended = await unless(told, signal);
    return ended === null
      ? faults.unreachable(`what plugin ${name} has given`, 'was not told again in time')
      : ended.fault;
  }

  /** @returns what it could not be told for; null: that is all */
  async #replay(ipam: IpamPlugin, options: CallOptions): Promise<Fault | null> {
    const capabilities = await ipam.capabilities(options);
    if (!capabilities.ok) return capabilities.fault;
    if (!capabilities.value.requiresReplay) return null;
    for (const row of this.#options.state.networks.values()) {
      if (row.facts.ipam.driver !== ipam.name) continue;
      const fault = await this.#network(ipam, row, capabilities.value.requiresMac, options);
      if (fault) return fault;
    }
    return null;
  }

  async #network(
    ipam: IpamPlugin,
    { facts }: NetworkRow,
    withMac: boolean,
    options: CallOptions,
  ): Promise<Fault | null> {
    for (const { family, subnet, range, pool: id, gateway, aux } of facts.subnets) {
      if (id === null) continue;
      const spaces = await ipam.defaultAddressSpaces(options);
      const untold = this.#untold(ipam, facts.name, spaces);
      if (untold) return untold;
      if (!spaces.ok) continue;
      const ipv6 = family === 6;
      const request = { space: spaces.value.local, pool: subnet, range, options: facts.ipam.options, ipv6 };
      const kept = this.#untold(ipam, facts.name, await ipam.requestPool(request, options));
      if (kept) return kept;
      const pool = { id, subnet };
      const ask = async (address: string, purpose: 'gateway' | 'aux' | 'endpoint', mac: string | null) =>
        this.#untold(ipam, facts.name, await ipam.requestAddress({ pool, address, purpose, mac }, options));
      const own = [...(gateway === null ? [] : [[gateway, 'gateway'] as const]), ...Object.values(aux).map(isAux)];
      for (const [address, purpose] of own) {
        const fault = await ask(address, purpose, null);
        if (fault) return fault;
      }
      for (const endpointId of cellOf(this.#options.state, facts.id)?.endpoints.keys() ?? []) {
        const endpoint = this.#options.state.endpoints.get(endpointId)?.facts;
        const address = endpoint?.[`ipv${family}`] ?? null;
        const mac = withMac ? (endpoint?.mac ?? null) : null;
        const fault = address === null ? null : await ask(bareAddress(address), 'endpoint', mac);
        if (fault) return fault;
      }
    }
    return null;
  }

  /** Why it has not been told; null: it has. What it complains of is logged, and stays as it is. */
  #untold(ipam: IpamPlugin, network: string, called: Called<unknown>): Fault | null {
    if (called.ok) return null;
    const { logger } = this.#options;
    logger.warn(
      { plugin: ipam.name, network, fault: called.fault },
      'plugin was told again what it has given, in vain',
    );
    return called.fault.code === 'PLUGIN_UNREACHABLE' ? called.fault : null;
  }
}
