/** The way out of a sandbox (docs/adr/0016), which nobody has asked for: so it is told with whatever it came with. */
import type { Outcome, QueryInput } from '../../events/queries.ts';
import type { ViewRows } from '../../projections/views.ts';
import type { Client } from '../client/index.ts';

type EndpointRow = ViewRows['endpoints'];

export interface Member extends Pick<EndpointRow, 'network' | 'interface' | 'origin' | 'plug' | 'gateway'> {
  /** Its network shall lead nowhere. */
  readonly internal: boolean;
}

/** Empty where the networks of the sandbox lead out themselves, or shall not. */
export const describeWayOut = (members: readonly Member[]): string => {
  const way = members.find(({ origin }) => origin === 'outlet');
  if (way) return `${way.interface} on ${way.network}, since none of its networks leads out of the host`;
  // What plugins have answered is decided upon when everything of the command is over.
  const isWanted = members.some(({ plug, internal }) => plug?.outlet === true && !internal);
  const isForbidden = members.some(({ plug, gateway }) => plug?.outlet === false || gateway.ipv4);
  return isWanted && !isForbidden ? 'follows: its plugin leaves it to the host' : '';
};

type Views = Pick<Client, 'endpoints' | 'networks'>;

/** @param incarnationOf which sandbox is meant, of all those that there are under its name */
const lookAt = async (
  client: Views,
  sandbox: string,
  at: Pick<QueryInput, 'asOf' | 'atLeast'>,
  incarnationOf: (rows: readonly EndpointRow[]) => string | null | undefined,
): Promise<string> => {
  const { rows, position } = await client.endpoints({ filter: { sandbox }, ...at });
  const incarnation = incarnationOf(rows);
  const own = rows.filter(({ sandboxIncarnation }) => sandboxIncarnation === incarnation);
  if (!own.some(({ plug, origin }) => plug !== null || origin === 'outlet')) return '';
  const networks = await client.networks({ filter: { internal: 'true' }, asOf: position });
  const internal = new Set(networks.rows.map(({ id }) => id));
  return describeWayOut(own.map((row) => ({ ...row, internal: internal.has(row.networkId) })));
};

/** Of a sandbox as a view shows it at a position. */
export const wayOutAt = (
  client: Views,
  { id, incarnation }: Pick<ViewRows['sandboxes'], 'id' | 'incarnation'>,
  position: number,
): Promise<string> => lookAt(client, id, { asOf: position }, () => incarnation);

/** A line of the answer to a command that has joined endpoints; nothing when the views do not answer. */
export const wayOutLine = async (
  client: Views,
  { sandbox, endpoints, position }: Pick<Outcome, 'sandbox' | 'endpoints' | 'position'>,
): Promise<string> => {
  if (sandbox === null) return '';
  const own = new Set(endpoints.map(({ id }) => id));
  try {
    const text = await lookAt(
      client,
      sandbox.id,
      { atLeast: position },
      (rows) => rows.find(({ id }) => own.has(id))?.sandboxIncarnation,
    );
    return text === '' ? '' : `  way out ${text}\n`;
  } catch {
    return '';
  }
};
