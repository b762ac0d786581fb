/** Names that the log has never heard of: nothing is recorded of what is misspelt, and that is no answer. */
import type { Client } from '../client/index.ts';
import { NotFound } from './context.ts';

export interface Named {
  readonly network?: string;
  readonly host?: string;
}

/** What of these never was, up to now; null when all were once. */
export const neverWas = async (client: Client, { network, host }: Named): Promise<NotFound | null> => {
  const isNone = async (view: string, filter: Record<string, string>): Promise<boolean> =>
    (await client.ask(view, { filter, limit: 1 })).rows.length === 0;
  if (host !== undefined && (await isNone('hosts', { host })))
    return new NotFound(`there is no host ${host}`, 'See `cnm host ls`.');
  if (network !== undefined && (await isNone('incarnations', { network })))
    return new NotFound(`there never was a network ${network}`, 'See `cnm network ls`.');
  return null;
};

/** @throws NotFound */
export const mustEverBe = async (client: Client, named: Named): Promise<void> => {
  const missing = await neverWas(client, named);
  if (missing) throw missing;
};
