/** `cnm capacity ls`: how much of what hosts have is in use. */
import type { ViewRows } from '../../projections/views.ts';
import { listing } from './listing.ts';
import type { Spec } from './spec.ts';
import { type Column, orDash, shortTime } from './table.ts';

const columns: readonly Column<ViewRows['capacity']>[] = [
  { title: 'HOST', text: ({ host }) => host },
  { title: 'WHAT', text: ({ what }) => what },
  { title: 'NETWORK', text: ({ network }) => orDash(network) },
  { title: 'USED', text: ({ used, limit }) => `${used} of ${limit}` },
  { title: 'PERCENT', text: ({ percent }) => percent.toFixed(1) },
  { title: 'PRESSURE', text: ({ band }) => (band === 0 ? '-' : `over ${band} %`) },
  { title: 'AS OF', text: ({ saidAt }) => shortTime(saidAt) },
];

export const capacitySpecs: readonly Spec[] = [
  listing({
    view: 'capacity',
    path: 'capacity ls',
    summary:
      'how much of what hosts have is in use, as their workers said when they started or passed 70, 85, 95, 99 %',
    columns,
  }),
];
