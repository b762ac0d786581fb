/** Plugins that reach over hosts are told which hosts there are: DiscoverNew and DiscoverDelete, as with Docker's swarms. */
import type { Event } from '../../events/envelope.ts';
import type { Logger } from '../lib/logger.ts';
import type { Plugins } from '../plugins/plugins.ts';

export interface DiscoveringOptions {
  readonly host: string;
  readonly plugins: Plugins;
  readonly logger: Logger;
}

export class Discovering {
  readonly #options: DiscoveringOptions;
  /** Address that other hosts reach it at, by host. */
  readonly #hosts = new Map<string, string>();
  /** Plugins that are told, each with what it is being told last: one call of a plugin at a time, in order. */
  readonly #told = new Map<string, Promise<void>>();

  constructor(options: DiscoveringOptions) {
    this.#options = options;
  }

  /** An event of any host, in log order. */
  note(host: string, { type, data }: Event): void {
    if (type === 'HostFacts') this.know(host, data.underlay?.address);
  }

  /** @param now undefined where others do not reach it */
  know(host: string, now: string | undefined): void {
    const before = this.#hosts.get(host);
    if (before === now) return;
    if (now === undefined) this.#hosts.delete(host);
    else this.#hosts.set(host, now);
    for (const plugin of this.#told.keys()) {
      if (before !== undefined) this.#tell(plugin, 'discoverDelete', host, before);
      if (now !== undefined) this.#tell(plugin, 'discoverNew', host, now);
    }
  }

  /** A plugin is there, perhaps again. */
  async activated(plugin: string): Promise<void> {
    // Most plugins of addresses carry no networks: to be asked all the same would have them activated anew, and told of here again.
    const known = await this.#options.plugins.network(plugin).known({});
    if (known?.connectivityScope !== 'global') return;
    if (!this.#told.has(plugin)) this.#told.set(plugin, Promise.resolve());
    for (const [host, address] of this.#hosts) this.#tell(plugin, 'discoverNew', host, address);
  }

  #tell(plugin: string, method: 'discoverNew' | 'discoverDelete', host: string, address: string): void {
    const { plugins, logger } = this.#options;
    const isSelf = host === this.#options.host;
    // Docker names the address that it binds to for itself alone.
    const node = { address, bindAddress: isSelf ? address : '', isSelf };
    const told = (this.#told.get(plugin) ?? Promise.resolve()).then(async () => {
      const called = await plugins.network(plugin)[method](node, {});
      if (!called.ok) logger.warn({ plugin, host, fault: called.fault }, 'plugin could not be told of a host');
    });
    this.#told.set(plugin, told);
  }
}
