/** What a watch has to know from before its first event: networks by name, and things by label. Asked of the views, as of one position. */
import type { CommandRow } from '../../projections/commands.ts';
import type { EndpointRow } from '../../projections/endpoints.ts';
import { emptyMemory, type FilterMemory } from '../../projections/event-filter.ts';
import { Labelled } from '../../projections/labelled.ts';
import type { NetworkRow } from '../../projections/networks.ts';
import { type Ask, allRows } from './rows.ts';

export interface Meant {
  /** Name, HOST/NAME or id. */
  readonly network?: string;
  /** `KEY` or `KEY=VALUE`: all of them. */
  readonly labels: readonly string[];
}

export interface KnownAt {
  readonly memory: FilterMemory;
  readonly position: number;
}

/** Ids of all networks that were ever meant, gone ones too: events of endpoints name their network by id alone, and may come late. */
const networksMeant = async (
  ask: Ask,
  network: string,
  asked: { readonly asOf?: number },
): Promise<{ readonly ids: ReadonlySet<string>; readonly position: number }> => {
  const { position, rows } = await allRows(ask, 'incarnations', { filter: { network }, ...asked });
  return { position, ids: new Set(rows.map(({ id }) => String(id))) };
};

/** Rows are the projections' own: the service that serves them and this caller share the type, not a schema. */
const rowsAs = <Row>(rows: readonly object[]): readonly Row[] => rows as readonly Row[];

const labelledAt = async (
  ask: Ask,
  labels: readonly string[],
  asked: { readonly asOf?: number },
): Promise<{ readonly labelled: Labelled; readonly position: number }> => {
  const { position, rows } = await allRows(ask, 'networks', asked);
  const networks = rowsAs<NetworkRow>(rows);
  const asOf = { asOf: position };
  const endpoints = await allRows(ask, 'endpoints', { filter: { label: [...labels] }, ...asOf });
  // Only what becomes of updates that are under way depends on them.
  const late = networks.some(({ update }) => update !== null)
    ? (
        await allRows(ask, 'commands', {
          filter: { status: ['timed-out', 'cancelled'], command: 'UpdateNetwork' },
          ...asOf,
        })
      ).rows
    : [];
  const commands = rowsAs<CommandRow>(late);
  const labelled = new Labelled(labels, { networks, endpoints: rowsAs<EndpointRow>(endpoints.rows), commands });
  return { labelled, position };
};

/** As of a position, 0 for before the opening; as of now when left out. Null: nothing has to be known. */
export const knownAt = async (ask: Ask, { network, labels }: Meant, at?: number): Promise<KnownAt | null> => {
  if (network === undefined && labels.length === 0) return null;
  const asOf = at === undefined ? {} : { asOf: at };
  const labelled = labels.length === 0 ? null : await labelledAt(ask, labels, asOf);
  const now = labelled === null ? asOf : { asOf: labelled.position };
  const meant = network === undefined ? null : await networksMeant(ask, network, now);
  return {
    position: labelled?.position ?? meant?.position ?? 0,
    memory: {
      ...emptyMemory(),
      networkIds: new Set(meant?.ids),
      ...(labelled === null ? {} : { labelled: labelled.labelled }),
    },
  };
};
