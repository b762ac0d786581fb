/** Host addresses of ports, whatever the driver. */
import type { Family } from '../events/ip.ts';

/** All addresses of the host, of one family. */
export const everywhere = { 4: '0.0.0.0', 6: '::' } as const;

export const familyOf = (address: string): Family => (address.includes(':') ? 6 : 4);
