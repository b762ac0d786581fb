/** Query `ledger`: who held an address, a MAC address, a host port or a name, and from when until when. */
import { type Event, UnreadableCommit } from '../../events/envelope.ts';
import { type LedgerRow, ledgerKinds, type Moment } from '../../events/past-queries.ts';
import type { Query } from '../../events/queries.ts';
import { parsePort } from '../../projections/event-ports.ts';
import { type EventPosition, formatPosition } from '../../projections/event-position.ts';
import { isNetwork } from '../../projections/filter.ts';
import { type Interval, isHeldAt } from '../../projections/ledger.ts';
import { placedEvents } from '../lib/commit.ts';
import { recordedOf } from '../lib/recorded.ts';
import type { Message } from '../lib/stream.ts';
import { commitsAt } from './commits-at.ts';
import { addressOf, type HistoryDeps, macOf } from './history-page.ts';
import { type Page, pageOf } from './page.ts';
import { QueryFault } from './query-fault.ts';
import { singlesOf } from './recorded.ts';

const filterNames = ['kind', 'what', 'network', 'host'] as const;
/** Each row takes up to four commits to be told in full. */
const ROWS_MAX = 500;

const malformed = (detail: string): QueryFault => new QueryFault('QUERY_MALFORMED', detail);

/** What the ledger calls it: ports stand under every host that has them. */
const wantedOf = (kind: LedgerRow['kind'], text: string, hosts: readonly string[]): readonly string[] => {
  if (kind === 'name') return [text.toLowerCase()];
  if (kind === 'mac') return [macOf(text)];
  if (kind === 'address') return [addressOf(text)];
  const port = parsePort(text);
  if (!port) throw malformed(`no port: ${text}; write PORT, PROTO/PORT or HOST/PROTO/PORT`);
  const protocols = port.protocol === null ? ['tcp', 'udp', 'sctp'] : [port.protocol];
  const on = port.host === null ? hosts : [port.host];
  return on.flatMap((host) => protocols.map((protocol) => `${host}/${protocol}/${port.port}`));
};

const isKind = (text: string | undefined): text is LedgerRow['kind'] => ledgerKinds.some((kind) => kind === text);

/** `NETWORK/NAME` names a name in a network. */
const splitName = (kind: string, what: string): readonly [what: string, network: string | undefined] => {
  const slash = kind === 'name' ? what.lastIndexOf('/') : -1;
  return slash < 0 ? [what, undefined] : [what.slice(slash + 1), what.slice(0, slash)];
};

const intervalsOf = (deps: LedgerDeps, query: Query, asOf: number | null): readonly Interval[] => {
  const asked = singlesOf('ledger', query.filter);
  const known: readonly string[] = filterNames;
  const unknown = Object.keys(asked).filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw malformed(`ledger cannot be filtered by ${unknown.join(', ')}, only by ${filterNames.join(', ')}`);
  const { kind, host } = asked;
  if (!isKind(kind)) throw malformed(`ledger of which kind? One of ${ledgerKinds.join(', ')}`);
  if (!asked.what) throw malformed(`ledger of which ${kind}?`);
  const [what, inNetwork] = splitName(kind, asked.what);
  const network = asked.network ?? inNetwork;
  const hosts = host === undefined ? deps.hosts() : [host];
  return wantedOf(kind, what, hosts)
    .flatMap((text) => deps.memory.ledger.intervals(kind, text))
    .filter(
      (held) =>
        (host === undefined || held.host === host) &&
        (network === undefined || isNetwork(network, [held.network ?? '', held.networkId ?? ''], held.host)) &&
        (asOf === null || isHeldAt(held, asOf)),
    )
    .map((held) => ({ ...held }));
};

export interface LedgerDeps extends HistoryDeps {
  /** Names of all hosts that have spoken. */
  readonly hosts: () => readonly string[];
}

type Commits = ReadonlyMap<number, Message>;

const commitsOf = async ({ log }: LedgerDeps, positions: Iterable<number>): Promise<Commits> => {
  const commits = new Map<number, Message>();
  const sorted = [...new Set(positions)].sort((a, b) => a - b);
  for await (const message of commitsAt(log, sorted)) commits.set(message.position, message);
  return commits;
};

const eventAt = (commits: Commits, { position, index }: EventPosition): Event | undefined => {
  const message = commits.get(position);
  return message && placedEvents(message).find(([place]) => place === index)?.[1];
};

/** Outcomes do not say of which type their command was; its decision does. */
const firstOf = ({ memory }: LedgerDeps, event: Event | undefined): number | undefined =>
  event === undefined || event.meta.commandid === '' || event.meta.commandtype !== undefined
    ? undefined
    : memory.index.positions('c', event.meta.commandid)[0];

const typeIn = (message: Message | undefined, { meta }: Event): string =>
  (message ? placedEvents(message) : []).find(
    ([, event]) => event.meta.commandid === meta.commandid && event.meta.actor === meta.actor,
  )?.[1].meta.commandtype ?? '';

class Moments {
  readonly #deps: LedgerDeps;
  #commits: Commits = new Map();
  #decisions: Commits = new Map();

  constructor(deps: LedgerDeps) {
    this.#deps = deps;
  }

  async load(places: readonly EventPosition[]): Promise<void> {
    this.#commits = await commitsOf(
      this.#deps,
      places.map(({ position }) => position),
    );
    const first = places.map((at) => firstOf(this.#deps, eventAt(this.#commits, at)));
    this.#decisions = await commitsOf(
      this.#deps,
      first.filter((position) => position !== undefined),
    );
  }

  at(place: EventPosition): Moment {
    const carried = this.#deps.memory.ledger.carried(place);
    if (carried) return carried;
    const event = eventAt(this.#commits, place);
    const message = this.#commits.get(place.position);
    if (!event || !message)
      throw new QueryFault('LOG_UNREADABLE', `nothing stands at position ${formatPosition(place)}`);
    const { time: occurred, actor, actorproof = null, commandtype, commandid } = event.meta;
    const command = commandtype ?? typeIn(this.#decisions.get(firstOf(this.#deps, event) ?? 0), event);
    const recorded = new Date(recordedOf(message)).toISOString();
    return { position: formatPosition(place), occurred, recorded, actor, actorproof, command, commandid };
  }
}

const isBefore = (a: EventPosition, b: EventPosition): number => a.position - b.position || a.index - b.index;

const keyOf = ({ from, what, networkId, holderId }: Interval): string =>
  [formatPosition(from), what, networkId ?? '', holderId].join(' ');

/** A page of the ledger, oldest first. `asOf` null: all that was ever held. @throws QueryFault */
export const ledgerPage = async (deps: LedgerDeps, query: Query, until: number, asOf: number | null): Promise<Page> => {
  const all = intervalsOf(deps, query, asOf)
    .filter(({ from }) => from.position <= until)
    .sort((a, b) => isBefore(a.from, b.from))
    .map((held) => [keyOf(held), held] as const);
  const behind = query.after === undefined ? 0 : all.findIndex(([key]) => key === query.after) + 1;
  if (query.after !== undefined && behind === 0)
    throw new QueryFault('QUERY_POSITION_UNKNOWN', `no row ${query.after}`);
  const some = all.slice(behind, behind + Math.min(query.limit, ROWS_MAX));
  const moments = new Moments(deps);
  try {
    await moments.load(some.flatMap(([, held]) => (held.until === null ? [held.from] : [held.from, held.until])));
    const rows = some.map(([key, held]) => [key, rowOf(held, moments)] as const);
    const page = pageOf(until, rows, undefined, { limit: query.limit, bytesMax: deps.bytesMax });
    const last = some.at(-1)?.[0];
    const more = page.next ?? (behind + some.length < all.length ? last : undefined);
    return more === undefined ? page : { ...page, next: more };
  } catch (error) {
    if (error instanceof UnreadableCommit) throw new QueryFault('LOG_UNREADABLE', error.message);
    throw error;
  }
};

const rowOf = (held: Interval, moments: Moments): LedgerRow => {
  const { kind, what, host, networkId, network, holderKind, holderId, holder } = held;
  const from = moments.at(held.from);
  const until = held.until === null ? null : moments.at(held.until);
  return { kind, what, host, networkId, network, holderKind, holderId, holder, from, until };
};
