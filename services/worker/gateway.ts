/** Where default routes lead. Pure. */
import { gatewayOf } from '../../drivers/driver.ts';
import type { Inmate } from './sandbox.ts';

/** Where the default route through an inmate leads: empty where the destination is on the link, null where there is none. */
export const gatewayIn = ({ network, plug }: Inmate, family: 4 | 6): string | null => {
  if (network.defaultRoute === 'endpoint') return plug?.[`gateway${family}`] ?? null;
  return network.defaultRoute === 'link' ? '' : gatewayOf(network, family);
};
