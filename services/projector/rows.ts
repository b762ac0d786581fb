/** For callers of queries: all rows of a view at one position, however many answers they take. */
import type { QueryAnswer, QueryInput } from '../../events/queries.ts';

/** A query sent and answered: by the projector itself, or over NATS. */
export type Ask = (name: string, query: QueryInput) => Promise<QueryAnswer>;

/** All rows that pass, as of one position: every answer after the first is asked for as of the first one's. */
export const allRows = async (
  ask: Ask,
  name: string,
  query: Omit<QueryInput, 'after' | 'limit'> = {},
): Promise<Pick<QueryAnswer, 'position' | 'rows'>> => {
  const { position, rows: first, next } = await ask(name, query);
  const rows = [...first];
  for (let after = next; after !== undefined; ) {
    const answer = await ask(name, { ...query, asOf: position, after });
    rows.push(...answer.rows);
    after = answer.next;
  }
  return { position, rows };
};
