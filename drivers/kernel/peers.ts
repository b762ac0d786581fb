/** The endpoints of other hosts, as tunnels know them. */
import type { PeerChange, PeerResult, PeerTable } from '../port.ts';
import { faultOf, KernelFailure } from './failure.ts';
import type { Host } from './host.ts';

const notYet = (tunnel: string): PeerResult => ({
  ok: false,
  fault: faultOf(new KernelFailure('KERNEL_ERROR', 'peers: not yet'), `set peers of ${tunnel}`, []),
});

export const setPeers = (_host: Host, tables: readonly PeerTable[]): readonly PeerResult[] =>
  tables.map(({ tunnel }) => notYet(tunnel));

export const changePeers = (_host: Host, changes: readonly PeerChange[]): readonly PeerResult[] =>
  changes.map(({ tunnel }) => notYet(tunnel));

export const checkPeers = (_host: Host): readonly (PeerResult & { readonly tunnel: string })[] => [];
