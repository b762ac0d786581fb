/** What every view is: a pure fold of the log’s events into rows that are replaced, and never changed once their commit is folded in. */
import { isCutShort } from '../events/cut-short.ts';
import type { Event } from '../events/envelope.ts';
import type { EventType } from '../events/events.ts';
import type { ViewName } from '../events/queries.ts';
import type { CommandCursor, CommandRow } from './commands.ts';
import type { EndpointRow } from './endpoints.ts';
import type { NetworkRow } from './networks.ts';
import type { SandboxRow } from './sandboxes.ts';

/** Where an event stands, and what the views folded before have made of the log so far (views.ts has the order). */
export interface At {
  /** Of the commit that holds the event. */
  readonly position: number;
  /** Whose decisions or reports the commit holds; null for decisions that belong to no host. */
  readonly host: string | null;
  /** With this event folded in. */
  readonly networks: ReadonlyMap<string, NetworkRow>;
  /** With this event folded in. */
  readonly endpoints: ReadonlyMap<string, EndpointRow>;
  /** With this event folded in. */
  readonly sandboxes: ReadonlyMap<string, SandboxRow>;
  /** As before this event. */
  readonly commands: ReadonlyMap<string, CommandRow>;
  /** The network that the event is about as it was before. */
  readonly networkBefore: NetworkRow | undefined;
  /** The endpoint that the event is about as it was before; when a network ends, each endpoint that ends with it in turn. */
  readonly endpointBefore: EndpointRow | undefined;
  /** The sandbox that this endpoint was in, or that the event is about, as it was before. */
  readonly sandboxBefore: SandboxRow | undefined;
  /** The network that the event is about, or that its endpoint is in, as it was before. */
  readonly networkAbout: NetworkRow | undefined;
  /** The sandbox that the event names, or that the endpoint was in, as it was before; null where there is none. */
  readonly sandboxAbout: { readonly incarnation: string; readonly before: SandboxRow | undefined } | null;
  readonly command: CommandCursor;
}

export interface Projection<Row extends object> {
  readonly name: ViewName;
  /** Raised when shape or rule changes, so that nobody takes rows of two rules for the same. */
  readonly version: number;
  /** The types that can change a row. */
  readonly handles: readonly EventType[];
  /** Folds one event in. Total: history has happened, so it refuses nothing; what makes no sense changes nothing. */
  apply(rows: Map<string, Row>, event: Event, at: At): void;
  /** Fields that a filter may name: equal as text, null as empty text, of a list any item. */
  readonly fields: readonly string[];
  /** Names of things that a filter may name as people do, by name or by id. */
  readonly references: readonly string[];
  /** Everything that a reference may call the thing in this row. */
  refer(row: Row, reference: string): readonly (string | null)[];
  /** The key of the only row that can pass the filter, where the filter says so much. */
  keyOf?(filter: Readonly<Record<string, string>>, rows: ReadonlyMap<string, Row>): string | undefined;
}

/** A network's name for rows about things in it; its id where the network was gone before they came. */
export const networkName = (at: At, networkId: string): string => at.networks.get(networkId)?.name ?? networkId;

/** Whether the command behind an event has timed out, or was cancelled. */
export const isLate = ({ commands }: At, { meta: { actor, commandid } }: Event): boolean => {
  const row = commands.get(commandid);
  return isCutShort((row?.actor === actor ? row : commands.get(`${actor} ${commandid}`))?.status ?? '');
};

/** All that a filter may call by its labels: `KEY` and `KEY=VALUE` of each. */
export const labelNames = (labels: Readonly<Record<string, string>>): readonly string[] =>
  Object.entries(labels).flatMap(([key, value]) => [key, `${key}=${value}`]);

/** `10.0.0.2` of `10.0.0.2/24`. */
export const bareAddress = (cidr: string): string => {
  const slash = cidr.indexOf('/');
  return slash < 0 ? cidr : cidr.slice(0, slash);
};
