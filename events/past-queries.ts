/** Rows of the queries about the past (docs/protocol.md): what happened, who held what, and what differs between two moments. */
import type { Meta } from './envelope.ts';
import type { ViewName } from './queries.ts';

/** What one command has done to the thing that is asked for; an event without a command is a row of its own. */
export interface HistoryRow {
  /** `SEQ.INDEX` of its first event that matches. */
  readonly position: string;
  /** When that happened, and when it was recorded, RFC 3339. */
  readonly time: string;
  readonly recordedtime: string;
  readonly host: string | null;
  readonly actor: string;
  readonly actorproof: Meta['actorproof'] | null;
  /** Type of the command; empty for what a service noticed by itself. */
  readonly command: string;
  readonly commandid: string;
  readonly correlationid: string;
  readonly traceparent: string | null;
  /** Of the command; empty where there is none. */
  readonly status: 'accepted' | 'refused' | 'succeeded' | 'failed' | 'timed-out' | 'cancelled' | '';
  /** Why it was refused or has failed. */
  readonly code: string | null;
  readonly detail: string | null;
  readonly endedPosition: number | null;
  readonly endedAt: string | null;
  /** From its decision to its end, milliseconds. */
  readonly tookMs: number | null;
  /** Those of its events that match; `about` is their CloudEvents subject. */
  readonly events: readonly {
    readonly position: string;
    readonly type: string;
    readonly time: string;
    readonly about: string;
  }[];
}

/** One end of an interval. */
export interface Moment {
  /** `SEQ.INDEX` */
  readonly position: string;
  /** When it happened, and when it was recorded, RFC 3339. */
  readonly occurred: string;
  readonly recorded: string;
  readonly actor: string;
  readonly actorproof: Meta['actorproof'] | null;
  readonly command: string;
  readonly commandid: string;
}

export const ledgerKinds = ['address', 'mac', 'port', 'name'] as const;

/** Who held an address, a MAC address, a host port or a name, from when until when; `until` null: holds it now. */
export interface LedgerRow {
  readonly kind: (typeof ledgerKinds)[number];
  readonly what: string;
  readonly host: string | null;
  readonly networkId: string | null;
  readonly network: string | null;
  readonly holderKind: 'endpoint' | 'sandbox' | 'gateway' | 'aux';
  readonly holderId: string;
  readonly holder: string | null;
  readonly from: Moment;
  readonly until: Moment | null;
}

type Row = Readonly<Record<string, unknown>>;

/** What became of one row of a view between two moments. */
export interface Change {
  readonly view: ViewName;
  readonly key: string;
  readonly name: string;
  readonly change: 'made' | 'gone' | 'changed';
  /** As it is where it was made, as it was where it is gone. */
  readonly row?: Row;
  /** Of what has changed: JSON pointers (RFC 6901) into the row, lists as wholes. */
  readonly fields?: readonly { readonly path: string; readonly before: unknown; readonly after: unknown }[];
}
