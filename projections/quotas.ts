/** View `quotas`: what each actor may have, what it has, and how much it was refused. Key: the actor; `*` for everybody else's quota. */
import type { Event } from '../events/envelope.ts';
import type { EventType, QuotaLimits } from '../events/events.ts';
import { endpointUse, isNothing, networkUse, noUse, plus, sandboxUse, type Use } from '../events/quotas.ts';
import { endpoints } from './endpoints.ts';
import { networks } from './networks.ts';
import type { At, Projection } from './projection.ts';
import { sandboxes } from './sandboxes.ts';

export interface QuotaRow extends Use {
  /** `*`: everybody without a quota of their own. */
  readonly actor: string;
  /** Null: none of its own. */
  readonly limits: QuotaLimits | null;
  /** How many of its commands were refused by rate, and by quota. */
  readonly refusedByRate: number;
  readonly refusedByQuota: number;
  readonly changedPosition: number;
}

type Rows = Map<string, QuotaRow>;

const change = (rows: Rows, actor: string, at: At, changes: Partial<QuotaRow>): void => {
  const empty = { actor, ...noUse, limits: null, refusedByRate: 0, refusedByQuota: 0 };
  const row: QuotaRow = { ...empty, ...rows.get(actor), ...changes, changedPosition: at.position };
  const says = row.limits !== null || !isNothing(row) || row.refusedByRate + row.refusedByQuota > 0;
  if (says) rows.set(actor, row);
  else rows.delete(actor);
};

const refused = (rows: Rows, actor: string, code: string, count: number, at: At): void => {
  const { refusedByRate = 0, refusedByQuota = 0 } = rows.get(actor) ?? {};
  if (code === 'RATE_LIMITED') change(rows, actor, at, { refusedByRate: refusedByRate + count });
  if (code === 'QUOTA_EXCEEDED') change(rows, actor, at, { refusedByQuota: refusedByQuota + count });
};

interface Owned {
  readonly createdBy: string;
}

/** Puts what a thing counts for on the account of whoever created it. */
const account = <Row extends Owned>(
  rows: Rows,
  [before, after]: readonly [Row | undefined, Row | undefined],
  useOf: (row: Row) => Use,
  at: At,
): void => {
  const actor = (after ?? before)?.createdBy;
  if (before === after || actor === undefined) return;
  const more = plus(after ? useOf(after) : noUse, before ? useOf(before) : noUse, -1);
  if (!isNothing(more)) change(rows, actor, at, plus(rows.get(actor) ?? noUse, more));
};

const counted = (rows: Rows, event: Event, at: At): void => {
  const { networkAbout, endpointBefore, sandboxAbout } = at;
  const networkId = networkAbout?.id ?? (event.type === 'NetworkCreateRequested' ? event.data.network.id : '');
  account(rows, [networkAbout, at.networks.get(networkId)], networkUse, at);
  const endpointId = endpointBefore?.id ?? (event.type === 'EndpointCreateRequested' ? event.data.endpoint.id : '');
  account(rows, [endpointBefore, at.endpoints.get(endpointId)], endpointUse, at);
  account(rows, [sandboxAbout?.before, at.sandboxes.get(sandboxAbout?.incarnation ?? '')], sandboxUse, at);
};

const things: ReadonlySet<EventType> = new Set([...networks.handles, ...endpoints.handles, ...sandboxes.handles]);

export const quotas: Projection<QuotaRow> = {
  name: 'quotas',
  version: 1,
  handles: [...things, 'QuotaSet', 'CommandsRefused', 'CommandRefused'],
  apply: (rows, event, at) => {
    if (event.type === 'QuotaSet') change(rows, event.data.actor ?? '*', at, { limits: event.data.limits });
    else if (event.type === 'CommandsRefused') refused(rows, event.data.actor, event.data.code, event.data.count, at);
    else if (event.type === 'CommandRefused') refused(rows, event.meta.actor, event.data.code, 1, at);
    else counted(rows, event, at);
  },
  fields: ['actor'],
  references: [],
  refer: () => [],
  keyOf: ({ actor }) => actor,
};
