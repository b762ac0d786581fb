/**
 * Who held what, from when until when: addresses, MAC addresses, host ports and names. Exact by construction, since it is what the views
 * `endpoints`, `addresses`, `ports` and `names` said at every event, told by their observer.
 */
import type { LedgerRow, Moment } from '../events/past-queries.ts';
import type { EndpointRow } from './endpoints.ts';
import { type EventPosition, formatPosition } from './event-position.ts';
import type { NameRow } from './names.ts';
import { type ObservedView, observedViews, type RowChange, type ViewObserver } from './observer.ts';
import type { PortRow } from './ports.ts';
import type { ViewRows } from './views.ts';

/** What is held, where, and by whom. */
export type Holding = Omit<LedgerRow, 'from' | 'until'>;

/** Held by what the event at `from` did, and until what the event at `until` did; null: still. */
export interface Interval extends Holding {
  readonly from: EventPosition;
  readonly until: EventPosition | null;
}

type Open = { -readonly [Field in keyof Interval]: Interval[Field] };

const ofEndpoint = ({ mac, host, networkId, network, id, name }: EndpointRow): readonly Holding[] =>
  mac === null
    ? []
    : [{ kind: 'mac', what: mac, host, networkId, network, holderKind: 'endpoint', holderId: id, holder: name }];

/** Gateways and auxiliary addresses are the network's own. */
const ofAddress = (row: ViewRows['addresses']): readonly Holding[] => {
  const { address: what, host, networkId, network, kind: holderKind, holderId, holder } = row;
  return [{ kind: 'address', what, host, networkId, network, holderKind, holderId: holderId ?? networkId, holder }];
};

const ofNames = ({ names, host, networkId, network, endpointId, endpoint }: NameRow): readonly Holding[] =>
  names.map((what) => ({
    ...{ kind: 'name', what, host, networkId, network },
    ...{ holderKind: 'endpoint', holderId: endpointId, holder: endpoint },
  }));

/** One for each port of a range; none while the host looks for it. */
const ofPorts = ({ host, protocol, hostPort, count, ...row }: PortRow): readonly Holding[] =>
  Array.from({ length: hostPort === 0 ? 0 : count }, (_, n) => ({
    ...{ kind: 'port', what: `${host}/${protocol}/${hostPort + n}`, host, networkId: row.networkId },
    ...{ network: row.network, holderKind: row.holderKind, holderId: row.holderId, holder: row.holder },
  }));

const holdingsOf: { readonly [View in ObservedView]: (row: ViewRows[View]) => readonly Holding[] } = {
  endpoints: ofEndpoint,
  addresses: ofAddress,
  names: ofNames,
  ports: ofPorts,
};

/** What a row of one of these views says is held. */
export const holdings = <View extends ObservedView>(view: View, row: ViewRows[View] | undefined): readonly Holding[] =>
  row === undefined ? [] : holdingsOf[view](row);

/** Whether a change leaves all holdings as they were: most changes of an endpoint or a port are of its state. */
const keepsAll = ({ view, before, after }: RowChange): boolean => {
  if (before === undefined || after === undefined) return false;
  switch (view) {
    case 'endpoints':
      return before.mac === after.mac;
    case 'names':
      return before.names.length === after.names.length && before.names.every((name, n) => name === after.names[n]);
    case 'ports':
      return before.hostPort === after.hostPort && before.count === after.count;
    default:
      return false;
  }
};

/** Of which view's rows each kind is told. */
const kindOf: { readonly [View in ObservedView]: Holding['kind'] } = {
  endpoints: 'mac',
  addresses: 'address',
  names: 'name',
  ports: 'port',
};

/** Moves what is kept under keys of one kind from each to the other. */
const exchangeKeys = <Value>(one: Map<string, Value>, other: Map<string, Value>, kind: Holding['kind']): void => {
  const take = (from: Map<string, Value>): readonly (readonly [string, Value])[] => {
    const taken = [...from].filter(([key]) => key.startsWith(`${kind} `));
    for (const [key] of taken) from.delete(key);
    return taken;
  };
  const [ofOne, ofOther] = [take(one), take(other)];
  for (const [key, value] of ofOther) one.set(key, value);
  for (const [key, value] of ofOne) other.set(key, value);
};

/** Text keys of lists; `kind` and `what` alone, since that is what is asked for. */
const listKey = ({ kind, what }: Pick<Holding, 'kind' | 'what'>): string => `${kind} ${what}`;

/** A holder holds a thing once, however many rows say so. */
const holderKey = ({ kind, what, networkId, holderKind, holderId }: Holding): string =>
  `${kind} ${what} ${networkId} ${holderKind} ${holderId}`;

interface Held extends Open {
  /** How many rows say so: a port on several addresses of the host is held by one row for each. */
  rows: number;
}

/** Rows of the views that an observer is told of. */
export type ObservedRows = { readonly [View in ObservedView]: ReadonlyMap<string, ViewRows[View]> };

/** All that was ever held. Fed by the views of the whole log, from its opening. */
export class Ledger implements ViewObserver {
  /** By kind and what, in the order in which they began. */
  readonly #lists = new Map<string, Held[]>();
  /** What is held now. */
  readonly #open = new Map<string, Held>();
  /** What was given up by the event that is folded now. */
  readonly #closed = new Map<string, Held>();
  /** By place: of what is held since before the segment. */
  readonly #carried = new Map<string, Moment>();
  #at: EventPosition = { position: 0, index: 0 };
  #intervals = 0;

  at(position: number, index: number): void {
    this.#at = { position, index };
    if (this.#closed.size > 0) this.#closed.clear();
  }

  changed(change: RowChange): void {
    if (keepsAll(change)) return;
    // The pair of view and rows is one of RowChange, which the call cannot see.
    const { view } = change as { readonly view: 'endpoints' };
    const { before, after } = change as { readonly before?: EndpointRow; readonly after?: EndpointRow };
    for (const holding of holdings(view, before)) this.#release(holding);
    for (const holding of holdings(view, after)) this.#hold(holding);
  }

  carry(held: Interval, from: Moment): void {
    this.#carried.set(formatPosition(held.from), from);
    // The rows that say so come next.
    this.#list({ ...held, until: null, rows: 0 }, true);
  }

  /** What happened at a place before the segment that the log begins with; undefined for any other. */
  carried(place: EventPosition): Moment | undefined {
    return this.#carried.get(formatPosition(place));
  }

  /**
   * What it had been told by the end of a commit, for views that go on from there: what was given up since is held again.
   * @param rows of the views as of that position
   */
  asOf(position: number, rows: ObservedRows): Ledger {
    const past = new Ledger();
    for (const [place, moment] of this.#carried) past.#carried.set(place, moment);
    for (const held of this.all()) {
      if (held.from.position > position) continue;
      const isOpen = held.until === null || held.until.position > position;
      past.#list({ ...held, until: isOpen ? null : held.until, rows: 0 }, isOpen);
    }
    for (const view of observedViews)
      for (const row of rows[view].values()) for (const holding of holdings(view, row as never)) past.#count(holding);
    return past;
  }

  /**
   * Where rows of views take the place of others, so does what was said of them: gives what it was told of these views for what another
   * was told that stands at the same position. Complexity: all that both hold.
   */
  exchange(other: Ledger, views: readonly string[]): void {
    for (const view of observedViews) {
      if (!views.includes(view)) continue;
      exchangeKeys(this.#lists, other.#lists, kindOf[view]);
      exchangeKeys(this.#open, other.#open, kindOf[view]);
    }
    // Both begin with the same segment.
    for (const [place, moment] of other.#carried) this.#carried.set(place, moment);
    for (const ledger of [this, other]) {
      ledger.#closed.clear();
      ledger.#intervals = [...ledger.#lists.values()].reduce((sum, { length }) => sum + length, 0);
    }
  }

  /** Who held this, oldest first. */
  intervals(kind: Holding['kind'], what: string): readonly Interval[] {
    return this.#lists.get(listKey({ kind, what })) ?? [];
  }

  /** Intervals of all, kind by kind as they came. */
  *all(): Generator<Held> {
    for (const list of this.#lists.values()) yield* list;
  }

  size(): { readonly keys: number; readonly intervals: number } {
    return { keys: this.#lists.size, intervals: this.#intervals };
  }

  #hold(holding: Holding): void {
    const key = holderKey(holding);
    // What a row says again at the event at which it was taken back was never given up.
    const held = this.#open.get(key) ?? this.#closed.get(key);
    if (held) {
      held.until = null;
      held.rows += 1;
      this.#open.set(key, held);
      return;
    }
    this.#list({ ...holding, from: this.#at, until: null, rows: 1 }, true);
  }

  /** One more row says so of what is held. */
  #count(holding: Holding): void {
    const held = this.#open.get(holderKey(holding));
    if (held === undefined) throw new Error(`a row says what nobody was told of: ${holderKey(holding)}`);
    held.rows += 1;
  }

  #list(begun: Held, isOpen: boolean): void {
    this.#intervals += 1;
    if (isOpen) this.#open.set(holderKey(begun), begun);
    const list = this.#lists.get(listKey(begun));
    if (list) list.push(begun);
    else this.#lists.set(listKey(begun), [begun]);
  }

  #release(holding: Holding): void {
    const key = holderKey(holding);
    const held = this.#open.get(key);
    if (!held) return;
    held.rows -= 1;
    if (held.rows > 0) return;
    held.until = this.#at;
    this.#open.delete(key);
    this.#closed.set(key, held);
  }
}

/** Whether it was held as of the end of the commit at a position. */
export const isHeldAt = ({ from, until }: Interval, position: number): boolean =>
  from.position <= position && (until === null || until.position > position);
