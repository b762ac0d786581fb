/** Query `diff`: what differs between two moments. */
import { type Query, type ViewName, viewNames } from '../../events/queries.ts';
import { diffViews, shownViews } from '../../projections/diff.ts';
import type { Views } from '../../projections/views.ts';
import type { Clock } from '../lib/clock.ts';
import type { Stream } from '../lib/stream.ts';
import { positionOf } from './as-of-position.ts';
import type { Follower } from './follower.ts';
import { type Page, pageOf } from './page.ts';
import type { Past } from './past.ts';
import { QueryFault } from './query-fault.ts';

export interface DiffDeps {
  readonly log: Stream;
  readonly clock: Clock;
  readonly follower: Follower;
  readonly past: Past;
  readonly bytesMax: number;
}

/** Names that a filter over differences knows. */
const diffFilterNames = ['network', 'host', 'view'] as const;

const viewsAsked = (wanted: string | readonly string[] | undefined): readonly ViewName[] => {
  if (wanted === undefined) return shownViews;
  const asked = typeof wanted === 'string' ? [wanted] : wanted;
  const unknown = asked.filter((name) => !viewNames.some((view) => view === name));
  if (unknown.length === 0) return asked as readonly ViewName[];
  throw new QueryFault('QUERY_MALFORMED', `no view ${unknown.join(', ')}: there are ${viewNames.join(', ')}`);
};

const scopeOf = (filter: Query['filter']) => {
  const { network, host, view, ...others } = filter;
  const unknown = Object.keys(others);
  const lists = Object.entries({ network, host }).flatMap(([name, value]) => (Array.isArray(value) ? [name] : []));
  if (unknown.length > 0) {
    const detail = `diff cannot be filtered by ${unknown.join(', ')}, only by ${diffFilterNames.join(', ')}`;
    throw new QueryFault('QUERY_MALFORMED', detail);
  }
  if (lists.length > 0) throw new QueryFault('QUERY_MALFORMED', `diff takes one value of ${lists.join(', ')}`);
  return {
    views: viewsAsked(view),
    ...(typeof network === 'string' ? { network } : {}),
    ...(typeof host === 'string' ? { host } : {}),
  };
};

/**
 * Both moments. The live views move on while anything is waited for, so the later moment, which alone may be theirs, is asked for last;
 * from then on nobody waits.
 */
const bothOf = async (past: Past, from: number, to: number, needed: 'all' | 'needed'): Promise<[Views, Views]> => {
  const earlier = await past.asOf(Math.min(from, to), needed);
  const later = await past.asOf(Math.max(from, to), needed);
  return from < to ? [earlier, later] : [later, earlier];
};

/** A page of changes from `from` to `asOf`; to go on, the same `from` and the position of the first answer as `asOf`. @throws QueryFault */
export const diffPage = async (deps: DiffDeps, query: Query): Promise<Page> => {
  const { past, follower, bytesMax } = deps;
  const scope = scopeOf(query.filter);
  if (query.from === undefined) throw new QueryFault('QUERY_MALFORMED', 'diff needs `from`, a position or a time');
  const from = await positionOf(deps, query.from, query.timeoutMs);
  const to = await positionOf(deps, query.asOf, query.timeoutMs);
  if (from === to) return pageOf(to, [], query.after, { limit: query.limit, bytesMax });
  const [before, after] = await bothOf(past, from, to, scope.views.includes('commands') ? 'all' : 'needed');
  const entries = (function* (): Generator<readonly [string, object]> {
    for (const change of diffViews(before, after, scope)) yield [`${change.view} ${change.key}`, change];
  })();
  const page = pageOf(to, entries, query.after, { limit: query.limit, bytesMax });
  if (page.next !== undefined && after === follower.views) past.keep(after);
  return page;
};
