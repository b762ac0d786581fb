/** What the threads of a kernel say to each other: as JSON, which costs half of what a structured clone of plans does. */
import type { AssociationChange, PeerChange, PeerTable, Plan, PortSearch } from '../port.ts';

export interface ThreadOptions {
  readonly realm: string;
  readonly host: string;
  readonly runDir: string;
  readonly resolverPort?: number;
  /** Address or interface; null or left out: that of the default route. */
  readonly underlay?: string | null;
  /** One 32-bit count: jobs handed to the reaper and not yet done. */
  readonly pending: SharedArrayBuffer;
}

/** From the main thread to the one that sets up; a message carries a list of them, its answer the list of replies in their order. */
export type Request =
  | { readonly id: number; readonly call: 'apply'; readonly plans: readonly Plan[] }
  | { readonly id: number; readonly call: 'setPeers'; readonly tables: readonly PeerTable[] }
  | { readonly id: number; readonly call: 'changePeers'; readonly changes: readonly PeerChange[] }
  | { readonly id: number; readonly call: 'changeAssociations'; readonly change: AssociationChange }
  | { readonly id: number; readonly call: 'findPorts'; readonly searches: readonly PortSearch[] }
  | { readonly id: number; readonly call: 'openResolver'; readonly netns: string; readonly port: number }
  | { readonly id: number; readonly call: 'checkPeers' | 'associations' | 'census' | 'facts' | 'close' };

export type Reply =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly error: string };
