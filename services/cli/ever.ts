/** Names that the log has never heard of: nothing is recorded of what is misspelt, and that is no answer. */
import type { Client } from '../client/index.ts';
import { type Context, NotFound } from './context.ts';

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

/**
 * Where part of the log was put away, what is recorded is not all: said on the standard error, since the answer is right as far as it goes.
 * Who names a position or time from before is refused by the service.
 */
export const tellPutAway = async ({ err }: Pick<Context, 'err'>, client: Client): Promise<void> => {
  const [status] = (await client.ask('status', {})).rows;
  const putAway = status?.putAway as { readonly before: number; readonly file: string } | null | undefined;
  if (putAway)
    err(
      `cnm: the log begins at position ${putAway.before}: what was before is in ${putAway.file} (\`cnm audit import\`)\n`,
    );
};
