/** The drivers of this version, by name; `none` is another name of `null`. */
import { bridgeDriver } from './bridge.ts';
import type { Driver } from './driver.ts';
import { hostDriver } from './host.ts';
import { ipvlanDriver } from './ipvlan.ts';
import { macvlanDriver } from './macvlan.ts';
import { nullDriver } from './null.ts';
import { overlayDriver } from './overlay.ts';

export const drivers: ReadonlyMap<string, Driver> = new Map([
  ['null', nullDriver],
  ['none', nullDriver],
  ['host', hostDriver],
  ['bridge', bridgeDriver],
  ['macvlan', macvlanDriver],
  ['ipvlan', ipvlanDriver],
  ['overlay', overlayDriver],
]);
