/**
 * The driver `ipvlan`: endpoints share the MAC of an interface of the host, and are told apart by their addresses. In the modes l3 and
 * l3s they are reached by routing, without ARP or ND.
 */
import type { NetworkFacts } from '../events/events.ts';
import type { Driver } from './driver.ts';
import type { DeviceSource } from './objects.ts';
import { oneOf } from './options.ts';
import { sublinkDriver } from './sublinks.ts';

const modeOption = 'ipvlan_mode';
const flagOption = 'ipvlan_flag';

type Source = Extract<DeviceSource, { type: 'ipvlan' }>;

const modes = ['l2', 'l3', 'l3s'] as const satisfies readonly Source['mode'][];
const flags = ['bridge', 'private', 'vepa'] as const satisfies readonly Source['flag'][];

type Optioned = Pick<NetworkFacts, 'options'>;
const modeOf = ({ options }: Optioned): Source['mode'] => modes.find((mode) => mode === options[modeOption]) ?? 'l2';
const flagOf = ({ options }: Optioned): Source['flag'] =>
  flags.find((flag) => flag === options[flagOption]) ?? 'bridge';

export const ipvlanDriver: Driver = sublinkDriver({
  name: 'ipvlan',
  hasMac: false,
  options: { [modeOption]: oneOf(modes), [flagOption]: oneOf(flags) },
  defaultRoute: (options) => (modeOf({ options }) === 'l2' ? 'gateway' : 'link'),
  source: (network, parent) => ({ type: 'ipvlan', parent, mode: modeOf(network), flag: flagOf(network) }),
  // Mode and flag are the parent's, not an interface's (ipvlan_set_port_mode).
  unfit: (network, other) =>
    modeOf(network) === modeOf(other) && flagOf(network) === flagOf(other)
      ? null
      : `it is in mode ${modeOf(other)} with flag ${flagOf(other)}, for all networks on it`,
});
