/** Queries: one method per view, and what became of a command. */
import { headers, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { subjects } from '../../events/names.ts';
import { QueryAnswer, type QueryInput, type ViewName } from '../../events/queries.ts';
import type { ViewRows } from '../../projections/views.ts';
import { QueryFailed } from './errors.ts';

export interface Rows<Row> {
  /** The position of the log that the rows reflect. */
  readonly position: number;
  readonly rows: readonly Row[];
  /** Given when the limit cut the answer: pass it as `after`. */
  readonly next?: string;
}

type Ask<View extends ViewName> = (query?: QueryInput) => Promise<Rows<ViewRows[View]>>;

/** The service's own time limit is the query's; this much more, and nobody is there. */
const GRACE_MS = 2_000;
const TIMEOUT_MS = 5_000;

export class Queries {
  readonly #connection: NatsConnection;
  readonly #actor: string;

  constructor(connection: NatsConnection, actor: string) {
    this.#connection = connection;
    this.#actor = actor;
  }

  readonly networks: Ask<'networks'> = (query) => this.view('networks', query);
  readonly endpoints: Ask<'endpoints'> = (query) => this.view('endpoints', query);
  readonly sandboxes: Ask<'sandboxes'> = (query) => this.view('sandboxes', query);
  readonly addresses: Ask<'addresses'> = (query) => this.view('addresses', query);
  readonly hosts: Ask<'hosts'> = (query) => this.view('hosts', query);
  readonly drivers: Ask<'drivers'> = (query) => this.view('drivers', query);
  readonly commands: Ask<'commands'> = (query) => this.view('commands', query);
  readonly garbage: Ask<'garbage'> = (query) => this.view('garbage', query);

  /** What became of a command of this actor, days later too; null when no command of that id has been decided. */
  async command(
    id: string,
    query: Pick<QueryInput, 'timeoutMs' | 'atLeast'> = {},
  ): Promise<ViewRows['commands'] | null> {
    const { rows } = await this.commands({ ...query, filter: { actor: this.#actor, commandid: id } });
    return rows[0] ?? null;
  }

  /** What became of all commands of one piece of work, of whichever actor, in the order of their decisions. */
  async byCorrelation(correlationid: string, query: QueryInput = {}): Promise<readonly ViewRows['commands'][]> {
    const { rows } = await this.commands({ ...query, filter: { ...query.filter, correlationid } });
    return rows;
  }

  /** Any view by name. @throws QueryFailed */
  async view<View extends ViewName>(view: View, query: QueryInput = {}): Promise<Rows<ViewRows[View]>> {
    const { position, rows, next } = QueryAnswer.parse(await this.ask(view, query));
    // rows are the projections' own: the service that serves them and this client share the type, not a schema
    return { position, rows: rows as unknown as ViewRows[View][], ...(next === undefined ? {} : { next }) };
  }

  /** The JSON that `cnm.query.<name>` answers. @throws QueryFailed */
  protected async ask(name: string, query: QueryInput): Promise<unknown> {
    const timeout = (query.timeoutMs ?? TIMEOUT_MS) + GRACE_MS;
    let answer: Msg;
    try {
      answer = await this.#connection.request(subjects.query(name), JSON.stringify(query), { timeout });
    } catch (error) {
      const why =
        error instanceof Error && error.name === 'TimeoutError' ? 'nobody answered in time' : 'nobody serves it';
      throw new QueryFailed('UNANSWERED', `query ${name}: ${why} (is a projector running?)`, error);
    }
    const status = answer.headers?.get('Nats-Service-Error-Code') ?? '';
    if (status !== '') throw refusedQuery(name, answer);
    return answer.json();
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
