/** A query from its bytes to the bytes of its answer. */
import { z } from 'zod';
import { Query, type ViewName, viewNames } from '../../events/queries.ts';
import { filterNames, isNetwork, selectRows, unknownNames } from '../../projections/filter.ts';
import type { Views } from '../../projections/views.ts';
import type { Clock } from '../lib/clock.ts';
import type { Stream } from '../lib/stream.ts';
import { positionOf, refusePutAway } from './as-of-position.ts';
import { diffPage } from './diff-page.ts';
import type { Follower } from './follower.ts';
import type { Gate } from './gate.ts';
import { historyPage } from './history-page.ts';
import { ledgerPage } from './ledger-page.ts';
import { type Page, pageOf } from './page.ts';
import type { Past } from './past.ts';
import { QueryFault } from './query-fault.ts';
import { recordedEvents, singlesOf } from './recorded.ts';

export interface AnswerDeps {
  readonly log: Stream;
  readonly clock: Clock;
  readonly follower: Follower;
  readonly past: Past;
  readonly gate: Gate;
  readonly status: () => Promise<object>;
  /** How large an answer may be: below the server's `max_payload`. */
  readonly bytesMax: number;
}

/**
 * What can be asked on `cnm.query.<name>`: a view, the recorded events, what was done to a thing, who held what, every network there ever
 * was, what differs between two moments, or how the projector is.
 */
export const queryNames = [...viewNames, 'events', 'history', 'ledger', 'incarnations', 'diff', 'status'] as const;

const isView = (name: string): name is ViewName => viewNames.some((view) => view === name);

/** @throws QueryFault QUERY_MALFORMED */
export const parseQuery = (body: string): Query => {
  let json: unknown;
  try {
    json = body === '' ? {} : JSON.parse(body);
  } catch (error) {
    throw new QueryFault('QUERY_MALFORMED', `not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  const query = Query.safeParse(json);
  if (!query.success) throw new QueryFault('QUERY_MALFORMED', z.prettifyError(query.error).replaceAll('\n', ' '));
  return query.data;
};

const asOfPosition = (deps: AnswerDeps, { asOf, timeoutMs }: Query): Promise<number> =>
  positionOf(deps, asOf, timeoutMs);

const refuseUnknown = (name: string, unknown: readonly string[], known: readonly string[]): void => {
  if (unknown.length === 0) return;
  const detail = `${name} cannot be filtered by ${unknown.join(', ')}, only by ${known.join(', ')}`;
  throw new QueryFault('QUERY_MALFORMED', detail);
};

const viewPage = async (deps: AnswerDeps, view: ViewName, query: Query): Promise<Page> => {
  refuseUnknown(view, unknownNames(view, query.filter), filterNames(view));
  const { follower, past } = deps;
  const views =
    query.asOf === undefined
      ? follower.views
      : await past.asOf(await asOfPosition(deps, query), view === 'commands' ? 'all' : 'needed');
  // Nothing is awaited from here on, so the live views stand still while they are read.
  const limits = { limit: query.limit, bytesMax: deps.bytesMax };
  const page = pageOf(views.position, selectRows(views, view, query.filter), query.after, limits);
  if (page.next !== undefined && views === follower.views) past.keep(views);
  return page;
};

const incarnationsPage = async (deps: AnswerDeps, query: Query): Promise<Page> => {
  const { network, host, ...others } = singlesOf('incarnations', query.filter);
  refuseUnknown('incarnations', Object.keys(others), ['network', 'host']);
  const until = await asOfPosition(deps, query);
  const entries = [...deps.follower.networks].filter(
    ([id, known]) =>
      known.position <= until &&
      (host === undefined || host === known.host) &&
      (network === undefined || isNetwork(network, [known.name, id], known.host)),
  );
  return pageOf(until, entries, query.after, { limit: query.limit, bytesMax: deps.bytesMax });
};

const eventsPage = async (deps: AnswerDeps, query: Query): Promise<Page> => {
  const { log, follower, past, gate, bytesMax } = deps;
  const until = await asOfPosition(deps, query);
  const viewsAt = (position: number): Promise<Views> => past.asOf(position, 'needed');
  return recordedEvents({ log, networks: follower.networks, bytesMax, gate, viewsAt }, query, until);
};

const pastPage = async (deps: AnswerDeps, name: 'history' | 'ledger', query: Query): Promise<Page> => {
  const { log, follower, gate, bytesMax } = deps;
  const { networks, memory, views } = follower;
  const until = await asOfPosition(deps, query);
  const all = { log, networks, memory, bytesMax, hosts: () => [...views.rows.hosts.keys()] };
  if (name === 'history') return gate(() => historyPage(all, query, until));
  return query.asOf === undefined
    ? gate(() => ledgerPage(all, query, until, null))
    : gate(() => ledgerPage(all, query, until, until));
};

const sinceOf = ({ filter }: Query): string | undefined => {
  const { since } = filter;
  return typeof since === 'string' ? since : undefined;
};

/** Answers a query. @throws QueryFault */
export const answerQuery = async (deps: AnswerDeps, name: string, query: Query): Promise<Page> => {
  if (name === 'status') {
    return { position: deps.follower.views.position, rows: [JSON.stringify(await deps.status())] };
  }
  const isPast = name === 'history' || name === 'ledger';
  if (name !== 'events' && name !== 'incarnations' && name !== 'diff' && !isPast && !isView(name)) {
    throw new QueryFault('QUERY_VIEW_UNKNOWN', `no view ${name}: there are ${queryNames.join(', ')}`);
  }
  if (query.from !== undefined && name !== 'diff') throw new QueryFault('QUERY_MALFORMED', `${name} has no \`from\``);
  await deps.follower.reached(query.atLeast ?? 0, query.timeoutMs);
  if (name === 'events' || isPast) await refusePutAway(deps, sinceOf(query));
  if (name === 'events') return eventsPage(deps, query);
  if (name === 'diff') return diffPage(deps, query);
  if (isPast) return pastPage(deps, name, query);
  return name === 'incarnations' ? incarnationsPage(deps, query) : viewPage(deps, name, query);
};
