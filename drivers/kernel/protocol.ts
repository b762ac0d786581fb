/** What the threads of a kernel say to each other: as JSON, which costs half of what a structured clone of plans does. */
import type { AssociationChange, Extent, PeerChange, PeerTable, Plan, PortSearch } from '../port.ts';

export interface ThreadOptions {
  readonly realm: string;
  readonly host: string;
  readonly runDir: string;
  readonly resolverPort?: number;
  /** Address or interface; null or left out: that of the default route. */
  readonly underlay?: string | null;
  /** False: others may change our table too, as on kernels before 5.12. */
  readonly ownTable?: boolean;
  /** Room for notifications that are not read yet. */
  readonly watchBytes?: number;
  /** Two words of 32 bits: how many jobs were handed to the reaper and are not done yet, and the port of the socket that changes our table. */
  readonly pending: SharedArrayBuffer;
  /** Namespaces made ahead (`Spares`). */
  readonly spares: SharedArrayBuffer;
}

/** From the main thread to the one that sets up; a message carries a list of them, its answer the list of replies in their order. */
export type Request =
  | { readonly id: number; readonly call: 'apply'; readonly plans: readonly Plan[] }
  | { readonly id: number; readonly call: 'setPeers'; readonly tables: readonly PeerTable[] }
  | { readonly id: number; readonly call: 'changePeers'; readonly changes: readonly PeerChange[] }
  | { readonly id: number; readonly call: 'changeAssociations'; readonly change: AssociationChange }
  | { readonly id: number; readonly call: 'findPorts'; readonly searches: readonly PortSearch[] }
  | { readonly id: number; readonly call: 'openResolver'; readonly netns: string; readonly port: number }
  | { readonly id: number; readonly call: 'census'; readonly extent: Extent | null }
  | { readonly id: number; readonly call: 'checkPeers'; readonly left: readonly string[] }
  | { readonly id: number; readonly call: 'associations' | 'facts' | 'listeners' | 'close' };

export type Reply =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly error: string };
