/** `cnm garbage ls`: endpoints that belong to no sandbox any more, and what will become of them. */
import type { ViewRows } from '../../projections/views.ts';
import { listing } from './listing.ts';
import type { Spec } from './spec.ts';
import { type Column, orDash, shortTime } from './table.ts';

const columns: readonly Column<ViewRows['garbage']>[] = [
  { title: 'NETWORK', text: ({ network }) => network },
  { title: 'ENDPOINT', text: ({ endpoint }) => endpoint },
  { title: 'HOST', text: ({ host }) => host },
  { title: 'SINCE', text: ({ since }) => shortTime(since) },
  { title: 'DUE', text: ({ dueAt }) => (dueAt === null ? 'never' : shortTime(dueAt)) },
  { title: 'WHY', text: ({ reason, suspected }) => `${reason}${suspected ? ' (suspected)' : ''}` },
  { title: 'LAST SANDBOX', text: ({ lastSandbox }) => orDash(lastSandbox) },
];

export const garbageSpecs: readonly Spec[] = [
  listing({
    view: 'garbage',
    path: 'garbage ls',
    summary: 'what will be collected, since when, when, why',
    args: { NETWORK: 'network' },
    columns,
  }),
];
