/** Decisions on the tunnels of all encrypted networks together: one key of two hosts is that of every network between them. */
import { accept, type Decide } from './context.ts';

/** Keys are derived from a secret that hosts have; what is decided is only which ones (docs/adr/0017). */
export const rotateTunnelKeys: Decide<'RotateTunnelKeys'> = ({ shared }) =>
  accept({ type: 'TunnelKeysRotated', data: { generation: (shared.tunnelKeys.get('generation') ?? 0) + 1 } });
