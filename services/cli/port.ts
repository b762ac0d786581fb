/** `cnm port ls`: what of a host can be reached through published ports, now or at any moment. */
import type { ViewRows } from '../../projections/views.ts';
import { actorText } from './actor-text.ts';
import { listing } from './listing.ts';
import { describeRange } from './port-values.ts';
import { type Spec, UsageError } from './spec.ts';
import { type Column, orDash, shortTime } from './table.ts';

type PortRow = ViewRows['ports'];

const exposures = ['loopback', 'address', 'any'];

const targetOf = ({ address, port, count }: PortRow): string => {
  const range = describeRange(port, count);
  if (address === null) return `- :${range}`;
  return address.includes(':') ? `[${address}]:${range}` : `${address}:${range}`;
};

const holderOf = ({ holderKind, holder, network }: PortRow): string =>
  holderKind === 'endpoint' ? `${network}/${holder}` : `sandbox ${holder}`;

const columns: readonly Column<PortRow>[] = [
  { title: 'HOST', text: ({ host }) => host },
  { title: 'ADDRESS', text: ({ hostAddress }) => hostAddress },
  { title: 'PORT', text: ({ hostPort, count }) => (hostPort === 0 ? '?' : describeRange(hostPort, count)) },
  { title: 'PROTO', text: ({ protocol }) => protocol },
  { title: 'TARGET', text: targetOf },
  { title: 'HOLDER', text: holderOf },
  { title: 'SANDBOX', text: ({ sandbox }) => orDash(sandbox) },
  { title: 'EXPOSURE', text: ({ exposure }) => exposure },
  { title: 'STATUS', text: ({ status }) => status },
  { title: 'ACTOR', text: actorText },
  { title: 'SINCE', text: ({ since }) => shortTime(since) },
];

const ls: Spec = listing({
  view: 'ports',
  path: 'port ls',
  summary: 'what is published on hosts: for whom, to where, and who can reach it',
  args: { NETWORK: 'network' },
  options: {
    exposure: {
      value: exposures.join('|'),
      multiple: true,
      help: 'only what this host, who reaches an address, or anyone can reach',
    },
  },
  narrow: (call) => {
    const asked = call.texts('exposure');
    const unknown = asked.find((exposure) => !exposures.includes(exposure));
    if (unknown !== undefined) throw new UsageError(`--exposure ${unknown}: write ${exposures.join(', ')}`, ls);
    return { filter: asked.length === 0 ? {} : { exposure: [...asked] }, passes: () => true };
  },
  columns,
});

export const portSpecs: readonly Spec[] = [ls];
