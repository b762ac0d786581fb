// Hosts of plugins for tests, each with a directory of its own; `cleared` belongs behind each test.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../../services/lib/clock.ts';
import { silentLogger } from '../../../services/lib/logger.ts';
import {
  type Called,
  createPlugins,
  type IpamPlugin,
  type NetworkPlugin,
  type Plugins,
} from '../../../services/plugins/plugins.ts';
import { type PluginProcess, startOnSocket } from './start.ts';

export const directory = mkdtempSync(join(tmpdir(), 'cnm-plugins-'));
process.once('exit', () => rmSync(directory, { recursive: true, force: true }));

const open: Plugins[] = [];
const processes: PluginProcess[] = [];
let serial = 0;

/** Ends hosts and plugins. */
export const cleared = async (): Promise<void> => {
  for (const plugins of open.splice(0)) await plugins.close();
  for (const plugin of processes.splice(0)) await plugin.kill();
};

export interface HostOptions {
  readonly clock?: Clock;
}

export interface Hosted {
  /** Its directory of sockets and of specs. */
  readonly place: string;
  readonly plugins: Plugins;
  /** Of the plugin `p`. */
  readonly network: NetworkPlugin;
  readonly ipam: IpamPlugin;
}

export const host = (options: HostOptions = {}): Hosted => {
  serial += 1;
  const place = join(directory, String(serial));
  mkdirSync(place);
  const plugins = createPlugins({ sockets: [place], specs: [place], logger: silentLogger(), ...options });
  open.push(plugins);
  return { place, plugins, network: plugins.network('p'), ipam: plugins.ipam('p') };
};

/** The plugin, which ends with the test. */
export const started = async (starting: Promise<PluginProcess>): Promise<PluginProcess> => {
  const plugin = await starting;
  processes.push(plugin);
  return plugin;
};

/** A host and a plugin `p` on a socket. */
export const withPlugin = async (options: HostOptions = {}): Promise<Hosted & { readonly plugin: PluginProcess }> => {
  const made = host(options);
  return { ...made, plugin: await started(startOnSocket(join(made.place, 'p.sock'))) };
};

export const codeOf = (called: Called<unknown>): string => (called.ok ? 'ok' : called.fault.code);
export const textOf = (called: Called<unknown>): string => (called.ok ? 'ok' : called.fault.text);

export const ref = { networkId: 'n1', endpointId: 'e1' };
export const ports = { exposed: [], published: [] };
export const joinOf = (network: NetworkPlugin) => network.join({ ...ref, sandboxKey: '/run/x', ports }, {});
export const leaveOf = (network: NetworkPlugin, endpointId = 'e1') =>
  network.leave({ networkId: 'n1', endpointId }, {});

/** What a plugin of both interfaces is asked first. */
export const handshake = ['Plugin.Activate', 'NetworkDriver.GetCapabilities', 'IpamDriver.GetCapabilities'];
