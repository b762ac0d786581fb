/** Plugins of addresses that want to be told after a start what they have given: RequiresRequestReplay. */
import { type BoundaryState, cellOf, type NetworkRow } from '../../events/state.ts';
import { bareAddress } from '../../projections/projection.ts';
import type { Logger } from '../lib/logger.ts';
import type { Called, CallOptions, IpamPlugin, Plugins } from '../plugins/plugins.ts';

export interface ReplayingOptions {
  readonly state: BoundaryState;
  readonly plugins: Plugins;
  readonly logger: Logger;
}

export class Replaying {
  readonly #options: ReplayingOptions;
  /** By plugin: once in the life of a worker. */
  readonly #done = new Map<string, Promise<boolean>>();

  constructor(options: ReplayingOptions) {
    this.#options = options;
  }

  /** Resolves when the plugin knows what it has given, or could not be told. Whoever asks it for more waits for this. */
  async replayed(name: string, options: CallOptions): Promise<void> {
    let done = this.#done.get(name);
    if (done === undefined) {
      done = this.#replay(this.#options.plugins.ipam(name), options);
      this.#done.set(name, done);
    }
    if (!(await done) && this.#done.get(name) === done) this.#done.delete(name);
  }

  /** @returns whether that is all: false to be tried again with the next call */
  async #replay(ipam: IpamPlugin, options: CallOptions): Promise<boolean> {
    const capabilities = await ipam.capabilities(options);
    if (!capabilities.ok) return false;
    if (!capabilities.value.requiresReplay) return true;
    for (const row of this.#options.state.networks.values()) {
      if (row.facts.ipam.driver !== ipam.name) continue;
      if (!(await this.#network(ipam, row, capabilities.value.requiresMac, options))) return false;
    }
    return true;
  }

  async #network(ipam: IpamPlugin, { facts }: NetworkRow, withMac: boolean, options: CallOptions): Promise<boolean> {
    for (const { family, subnet, range, pool: id, gateway, aux } of facts.subnets) {
      if (id === null) continue;
      const spaces = await ipam.defaultAddressSpaces(options);
      if (!this.#isTold(ipam, facts.name, spaces)) return false;
      if (!spaces.ok) continue;
      const ipv6 = family === 6;
      const request = { space: spaces.value.local, pool: subnet, range, options: facts.ipam.options, ipv6 };
      const got = await ipam.requestPool(request, options);
      if (!this.#isTold(ipam, facts.name, got)) return false;
      const pool = { id, subnet };
      const ask = async (address: string, purpose: 'gateway' | 'aux' | 'endpoint', mac: string | null) =>
        this.#isTold(ipam, facts.name, await ipam.requestAddress({ pool, address, purpose, mac }, options));
      if (gateway !== null && !(await ask(gateway, 'gateway', null))) return false;
      for (const address of Object.values(aux)) if (!(await ask(address, 'aux', null))) return false;
      for (const endpointId of cellOf(this.#options.state, facts.id)?.endpoints.keys() ?? []) {
        const endpoint = this.#options.state.endpoints.get(endpointId)?.facts;
        const address = endpoint?.[`ipv${family}`] ?? null;
        const mac = withMac ? (endpoint?.mac ?? null) : null;
        if (address !== null && !(await ask(bareAddress(address), 'endpoint', mac))) return false;
      }
    }
    return true;
  }

  /** What it complains of is logged, and stays as it is: it has been told. */
  #isTold(ipam: IpamPlugin, network: string, called: Called<unknown>): boolean {
    if (called.ok) return true;
    const { logger } = this.#options;
    logger.warn(
      { plugin: ipam.name, network, fault: called.fault },
      'plugin was told again what it has given, in vain',
    );
    return called.fault.code !== 'PLUGIN_UNREACHABLE';
  }
}
