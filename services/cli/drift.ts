/** `cnm drift ls`: what somebody else has changed in kernels, and is not as it should be again. */
import type { ViewRows } from '../../projections/views.ts';
import { listing } from './listing.ts';
import type { Spec } from './spec.ts';
import { type Column, orDash, shortTime } from './table.ts';

type DriftRow = ViewRows['drift'];

const whatOf = ({ changes, more }: DriftRow): string => {
  const [first] = changes;
  if (!first) return '';
  const others = changes.length - 1 + more;
  return `${first.object}: ${first.before} -> ${first.after}${others > 0 ? ` (and ${others} more)` : ''}`;
};

const stateOf = ({ status, reason, fault }: DriftRow): string =>
  status === 'detected' ? 'being repaired' : `left: ${reason}${fault ? ` ${fault.code}: ${fault.text}` : ''}`;

const columns: readonly Column<DriftRow>[] = [
  { title: 'THING', text: ({ kind, name }) => `${kind} ${name}` },
  { title: 'NETWORK', text: ({ network }) => orDash(network) },
  { title: 'HOST', text: ({ host }) => host },
  { title: 'SINCE', text: ({ since }) => shortTime(since) },
  { title: 'WHAT', text: whatOf },
  { title: 'STATE', text: stateOf },
  { title: 'TIMES', text: ({ times }) => String(times) },
  { title: 'SUSPECTS', text: ({ suspects }) => orDash(suspects.join(', ')) },
];

export const driftSpecs: readonly Spec[] = [
  listing({
    view: 'drift',
    path: 'drift ls',
    summary: 'what somebody else has changed in kernels, as long as it is not right again',
    args: { NETWORK: 'network' },
    columns,
  }),
];
