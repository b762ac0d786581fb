/**
 * The driver `macvlan`: endpoints are on the link layer of an interface of the host, each with a MAC of its own. The host itself
 * does not reach them there, nor do they it.
 */
import type { NetworkFacts } from '../events/events.ts';
import type { Driver } from './driver.ts';
import type { DeviceSource } from './objects.ts';
import { oneOf } from './options.ts';
import { sublinkDriver } from './sublinks.ts';

const modeOption = 'macvlan_mode';

type Mode = Extract<DeviceSource, { type: 'macvlan' }>['mode'];

/**
 * What endpoints on one parent may do with each other. `private`: nothing. `vepa`: what a switch outside sends back. `bridge`: all.
 * `passthru`: there is only one.
 */
const modes = ['private', 'vepa', 'bridge', 'passthru'] as const satisfies readonly Mode[];

const modeOf = ({ options }: Pick<NetworkFacts, 'options'>): Mode =>
  modes.find((mode) => mode === options[modeOption]) ?? 'bridge';

export const macvlanDriver: Driver = sublinkDriver({
  name: 'macvlan',
  hasMac: true,
  options: { [modeOption]: oneOf(modes) },
  defaultRoute: () => 'gateway',
  joinsMax: (options) => (modeOf({ options }) === 'passthru' ? 1 : undefined),
  source: (network, parent) => ({ type: 'macvlan', parent, mode: modeOf(network) }),
  unfit: (network, other) =>
    modeOf(network) === 'passthru' || modeOf(other) === 'passthru' ? 'mode passthru shares it with nobody' : null,
});
