/** The host side of Docker's protocol for remote network and IPAM drivers: which plugins there are, and calls of them. */
import { type Clock, systemClock } from '../lib/clock.ts';
import { failingCalls } from '../lib/failpoints.ts';
import { Listeners } from '../lib/listeners.ts';
import type { Logger } from '../lib/logger.ts';
import { CALL_TIMEOUT_MS, SOCKET_DIRECTORIES, SPEC_DIRECTORIES } from './defaults.ts';
import { pluginNames } from './discovery.ts';
import { type IpamPlugin, ipamPlugin } from './ipam-plugin.ts';
import { type NetworkPlugin, networkPlugin } from './network-plugin.ts';
import { Plugin } from './plugin.ts';
import { watchDirectories } from './watch.ts';

export type { CallOptions } from './deadline.ts';
export type { Called } from './fault.ts';
export type { IpamPlugin } from './ipam-plugin.ts';
export type { NetworkPlugin } from './network-plugin.ts';

export interface Plugins {
  /** Names that the directories hold now, sorted; nobody is activated for it. */
  names(): readonly string[];
  /** Told when `names` has changed, until the signal. */
  onChange(run: () => void, signal?: AbortSignal): void;
  /** Told the name of a plugin that has answered the handshake: at first use, and after each time that it was not to be reached. */
  onActivated(run: (name: string) => void, signal?: AbortSignal): void;
  /** A plugin that there is not can be had too: its calls say so. */
  network(name: string): NetworkPlugin;
  ipam(name: string): IpamPlugin;
  /** Gives up what is under way. */
  close(): Promise<void>;
}

export interface PluginsOptions {
  /** Directories of `.sock` files, in order. */
  readonly sockets?: readonly string[];
  /** Directories of `.spec` and `.json` files, in order. */
  readonly specs?: readonly string[];
  /** What a call has at most, whatever its command has left. */
  readonly timeoutMs?: number;
  readonly clock?: Clock;
  readonly logger: Logger;
  /** For tests (drivers/kernel/failpoint.ts); null or left out: none. */
  readonly failpoint?: string | null;
}

export const createPlugins = (options: PluginsOptions): Plugins => {
  const { sockets = SOCKET_DIRECTORIES, specs = SPEC_DIRECTORIES, timeoutMs = CALL_TIMEOUT_MS } = options;
  const { clock = systemClock, logger, failpoint = null } = options;
  const directories = { sockets, specs };
  const plugins = new Map<string, Plugin>();
  const toldOfChanges = new Listeners<[]>();
  const toldOfActivations = new Listeners<[name: string]>();
  const onActivated = (name: string): void => toldOfActivations.tell(name);

  const pluginOf = (name: string): Plugin => {
    const known = plugins.get(name);
    if (known !== undefined) return known;
    const plugin = new Plugin(name, { directories, timeoutMs, clock, logger, onActivated });
    plugins.set(name, plugin);
    return plugin;
  };

  let names = pluginNames(directories);
  const look = (): void => {
    for (const plugin of plugins.values()) plugin.changed();
    const before = names;
    names = pluginNames(directories);
    if (names.join() === before.join()) return;
    toldOfChanges.tell();
  };
  const watching = watchDirectories([...sockets, ...specs], clock, look);

  return {
    names: () => names,
    onChange: (run, signal) => toldOfChanges.add(run, signal),
    onActivated: (run, signal) => toldOfActivations.add(run, signal),
    network: (name) => failingCalls('worker.plugin', failpoint, networkPlugin(pluginOf(name))),
    ipam: (name) => failingCalls('worker.ipam', failpoint, ipamPlugin(pluginOf(name))),
    close: async () => {
      watching.close();
      for (const plugin of plugins.values()) plugin.close();
    },
  };
};
