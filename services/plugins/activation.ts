/** The handshake: what a plugin implements, and what it can. */
import { z } from 'zod';
import { type Called, type Failed, faults } from './fault.ts';
import { goStruct } from './go-json.ts';
import { IpamCapabilities, noIpamCapabilities } from './ipam-messages.ts';
import { NetworkCapabilities } from './network-messages.ts';

export type Side = 'NetworkDriver' | 'IpamDriver';

export interface Activation {
  /** Null: it does not implement the interface. */
  readonly network: Called<NetworkCapabilities> | null;
  readonly ipam: IpamCapabilities | null;
}

/** Sends a request with an empty body. */
export type AskEmpty = <T>(method: string, schema: z.ZodType<T>) => Promise<Called<T>>;

const Manifest = goStruct({ Implements: z.array(z.string()).default([]) });

/** Plugin.Activate, then GetCapabilities of each interface in the plugin's order. An answer is an activation even where it has faults. */
export const activate = async (ask: AskEmpty): Promise<Called<Activation>> => {
  const manifest = await ask('Plugin.Activate', Manifest);
  if (!manifest.ok) return manifest;
  let network: Activation['network'] = null;
  let ipam: Activation['ipam'] = null;
  for (const side of new Set(manifest.value.Implements)) {
    if (side === 'NetworkDriver') {
      network = await ask('NetworkDriver.GetCapabilities', NetworkCapabilities);
      if (isUnreachable(network)) return network;
    }
    if (side === 'IpamDriver') {
      const capabilities = await ask('IpamDriver.GetCapabilities', IpamCapabilities);
      if (isUnreachable(capabilities)) return capabilities;
      ipam = capabilities.ok ? capabilities.value : noIpamCapabilities;
    }
  }
  return { ok: true, value: { network, ipam } };
};

export const isUnreachable = (called: Called<unknown>): called is Failed =>
  !called.ok && called.fault.code === 'PLUGIN_UNREACHABLE';

/** Why the interface of an activated plugin cannot be used; null: it can. */
export const faultOfSide = (step: string, side: Side, { network, ipam }: Activation): Failed | null => {
  const half = side === 'NetworkDriver' ? network : ipam;
  if (half === null) return { ok: false, fault: faults.invalid(step, `the plugin does not implement ${side}`) };
  return 'ok' in half && !half.ok ? half : null;
};
