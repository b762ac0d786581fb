/** Queries: one method per view, and what became of a command. */
import { headers, type Msg, type NatsConnection } from '@nats-io/transport-node';
import type { Meta } from '../../events/envelope.ts';
import { subjects } from '../../events/names.ts';
import type { Change, HistoryRow, LedgerRow } from '../../events/past-queries.ts';
import { QueryAnswer, type QueryInput, type ViewName } from '../../events/queries.ts';
import type { ViewRows } from '../../projections/views.ts';
import type { Clock } from '../lib/clock.ts';
import type { Stream } from '../lib/stream.ts';
import { jetStream } from '../nats/jetstream.ts';
import { linkOf } from '../nats/link.ts';
import { STREAMS } from '../nats/stream-config.ts';
import { allRows } from '../projector/rows.ts';
import { type WatchItem, type WatchOptions, watch } from '../projector/watch.ts';
import { QueryFailed } from './errors.ts';

export interface Rows<Row> {
  /** The position of the log that the rows reflect. */
  readonly position: number;
  readonly rows: readonly Row[];
  /** Given when a page does not hold all: pass it as `after`. */
  readonly next?: string;
}

/** A recorded event: the CloudEvent, and where and when it was stored. */
export interface RecordedEvent extends Meta {
  /** `cnm.EndpointJoined.v1` */
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** `SEQ.INDEX` */
  readonly position: string;
  readonly host: string | null;
  readonly recordedtime: string;
}

type AskView<View extends ViewName> = (query?: QueryInput) => Promise<Rows<ViewRows[View]>>;

/** The service's own time limit is the query's; this much more, and nobody is there. */
const GRACE_MS = 2_000;
const TIMEOUT_MS = 5_000;

export interface QueryDeps {
  readonly connection: NatsConnection;
  readonly actor: string;
  readonly clock: Clock;
}

export class Queries {
  readonly #connection: NatsConnection;
  readonly #actor: string;
  readonly #clock: Clock;
  readonly #log: Stream;

  constructor({ connection, actor, clock }: QueryDeps) {
    this.#connection = connection;
    this.#clock = clock;
    this.#log = jetStream(connection, STREAMS.log, { clock });
    this.#actor = actor;
  }

  readonly networks: AskView<'networks'> = (query) => this.view('networks', query);
  readonly endpoints: AskView<'endpoints'> = (query) => this.view('endpoints', query);
  readonly sandboxes: AskView<'sandboxes'> = (query) => this.view('sandboxes', query);
  readonly addresses: AskView<'addresses'> = (query) => this.view('addresses', query);
  /** By which names the endpoints in sandboxes are found. */
  readonly names: AskView<'names'> = (query) => this.view('names', query);
  /** What of a host can be reached through published ports: now, and with `asOf` at any moment. */
  readonly ports: AskView<'ports'> = (query) => this.view('ports', query);
  readonly hosts: AskView<'hosts'> = (query) => this.view('hosts', query);
  readonly drivers: AskView<'drivers'> = (query) => this.view('drivers', query);
  readonly commands: AskView<'commands'> = (query) => this.view('commands', query);
  readonly garbage: AskView<'garbage'> = (query) => this.view('garbage', query);
  readonly drift: AskView<'drift'> = (query) => this.view('drift', query);
  readonly parked: AskView<'parked'> = (query) => this.view('parked', query);
  /** Leases of sandboxes and networks that somebody has to renew. */
  readonly leases: AskView<'leases'> = (query) => this.view('leases', query);
  readonly holds: AskView<'holds'> = (query) => this.view('holds', query);
  /** What each actor may have, and has. */
  readonly quotas: AskView<'quotas'> = (query) => this.view('quotas', query);
  /** What is in use of what hosts have. */
  readonly capacity: AskView<'capacity'> = (query) => this.view('capacity', query);
  readonly shredded: AskView<'shredded'> = (query) => this.view('shredded', query);

  /** What became of a command of this actor, days later too; null when no command of that id has been decided. */
  async command(
    id: string,
    query: Pick<QueryInput, 'timeoutMs' | 'atLeast'> = {},
  ): Promise<ViewRows['commands'] | null> {
    const asked = { ...query, filter: { commandid: id }, limit: 1 };
    const { rows } = await this.#request(subjects.own(this.#actor), 'commands', asked);
    return (rows[0] as unknown as ViewRows['commands']) ?? null;
  }

  /** What became of all commands of one piece of work, of whichever actor, in the order of their decisions. */
  async byCorrelation(correlationid: string, query: QueryInput = {}): Promise<readonly ViewRows['commands'][]> {
    const { rows } = await this.commands({ ...query, filter: { ...query.filter, correlationid } });
    return rows;
  }

  /** Any view by name: all rows, as of one position; a page of them where `limit` or `after` asks for one. @throws QueryFailed */
  async view<View extends ViewName>(view: View, query: QueryInput = {}): Promise<Rows<ViewRows[View]>> {
    const isPage = query.limit !== undefined || query.after !== undefined;
    // rows are the projections' own: the service that serves them and this client share the type, not a schema
    return (await (isPage ? this.ask(view, query) : allRows(this.ask, view, query))) as unknown as Rows<ViewRows[View]>;
  }

  /**
   * A page of recorded events, filtered by type (several with commas), since (position or time), host, network, label, endpoint, sandbox,
   * address, commandid, command, actor and correlationid. An answer with `next` may have few rows or none: go on with it until there
   * is no `next`.
   */
  async events(query: QueryInput = {}): Promise<Rows<RecordedEvent>> {
    return (await this.ask('events', query)) as unknown as Rows<RecordedEvent>;
  }

  /**
   * What was done to a thing, one row for each command: of a network, endpoint, sandbox, address, mac, port, host, commandid, command,
   * actor or correlationid, of several what concerns all; narrowed by type (several with commas) and since (position or time).
   */
  async history(query: QueryInput): Promise<Rows<HistoryRow>> {
    return (await this.#whole('history', query)) as unknown as Rows<HistoryRow>;
  }

  /** Who held `what` of a `kind` (address, mac, port, name), oldest first; narrowed by network and host, with `asOf` to who held it then. */
  async ledger(query: QueryInput): Promise<Rows<LedgerRow>> {
    const { position, rows: first, next } = await this.ask('ledger', query);
    const rows = [...first];
    for (let after = next; after !== undefined && query.limit === undefined; ) {
      const page = await this.ask('ledger', { ...query, after });
      rows.push(...page.rows);
      after = page.next;
    }
    const more = query.limit === undefined || next === undefined ? {} : { next };
    return { position, rows, ...more } as unknown as Rows<LedgerRow>;
  }

  /** What differs between the moments `from` and `asOf` (now when left out), narrowed by network, host and view. */
  async diff(query: QueryInput): Promise<Rows<Change>> {
    return (await this.#whole('diff', query)) as unknown as Rows<Change>;
  }

  /** All rows as of one position, or a page of them where one is asked for. */
  #whole(name: string, query: QueryInput): Promise<QueryAnswer> {
    const isPage = query.limit !== undefined || query.after !== undefined;
    return isPage ? this.ask(name, query) : allRows(this.ask, name, query);
  }

  /**
   * What is (the rows of a view), then every event behind it, without gap or duplicate, for as long as the caller takes them. To go on
   * after a break, give `from` the position of the last item.
   */
  watch(options: WatchOptions = {}): AsyncIterableIterator<WatchItem> {
    return watch({ query: this.ask, log: this.#log, clock: this.#clock }, options);
  }

  /** The JSON that `cnm.query.<name>` answers. @throws QueryFailed */
  readonly ask = (name: string, query: QueryInput): Promise<QueryAnswer> =>
    this.#request(subjects.query(name), name, query);

  async #request(subject: string, name: string, query: QueryInput): Promise<QueryAnswer> {
    const timeout = (query.timeoutMs ?? TIMEOUT_MS) + GRACE_MS;
    let answer: Msg;
    try {
      answer = await linkOf(this.#connection).whileUp(this.#clock, timeout, () =>
        this.#connection.request(subject, JSON.stringify(query), { timeout }),
      );
    } catch (error) {
      const why =
        error instanceof Error && error.name === 'TimeoutError' ? 'nobody answered in time' : 'nobody serves it';
      throw new QueryFailed('UNANSWERED', `query ${name}: ${why} (is a projector running?)`, error);
    }
    const status = answer.headers?.get('Nats-Service-Error-Code') ?? '';
    if (status !== '') throw refusedQuery(name, answer);
    return QueryAnswer.parse(answer.json());
  }
}

/** The code is in the body where there is one, else it opens the description. */
const refusedQuery = (name: string, answer: Msg): QueryFailed => {
  const description = (answer.headers ?? headers()).get('Nats-Service-Error');
  try {
    const { code, detail } = answer.json<{ code: string; detail: string }>();
    return new QueryFailed(code, detail);
  } catch {
    const [, code = 'QUERY_FAILED', detail = description] = /^([A-Z_]+):? +(.*)$/.exec(description) ?? [];
    return new QueryFailed(code, detail === '' ? `query ${name}` : detail);
  }
};
