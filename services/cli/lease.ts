/** `cnm lease`: ls, renew. Sandboxes and networks that were made with a lease end unless whoever made them renews it. */
import type { ViewRows } from '../../projections/views.ts';
import { actorText } from './actor-text.ts';
import { sendAndTell, sendOptions } from './context.ts';
import { listing } from './listing.ts';
import { type Spec, UsageError } from './spec.ts';
import { type Column, orDash, shortTime } from './table.ts';
import { leaseFields, leaseOptions } from './values.ts';

const columns: readonly Column<ViewRows['leases']>[] = [
  { title: 'KIND', text: ({ kind }) => kind },
  { title: 'NAME', text: ({ name }) => name },
  { title: 'HOST', text: ({ host }) => orDash(host) },
  { title: 'OWNER', text: ({ owner }) => orDash(owner) },
  { title: 'BY', text: actorText },
  { title: 'RENEWED', text: ({ renewedAt, renewals }) => `${shortTime(renewedAt)} (${renewals})` },
  {
    title: 'EXPIRES',
    text: ({ expiresAt, suspectedAt }) => `${shortTime(expiresAt)}${suspectedAt === null ? '' : ' (suspected)'}`,
  },
];

const ls: Spec = listing({
  view: 'leases',
  path: 'lease ls',
  summary: 'sandboxes and networks that end unless they are renewed: who has to, and until when',
  columns,
});

const renew: Spec = {
  path: 'lease renew',
  args: [],
  summary: 'begin the lease of a sandbox or a network anew; only who made it can',
  options: {
    sandbox: { value: 'ID', help: 'the sandbox (this or --network is needed)' },
    network: { value: 'NETWORK', help: 'the network: NAME or HOST/NAME' },
    lease: { ...leaseOptions.lease, help: 'how long it lasts from now on; as long as before when left out' },
    owner: { ...leaseOptions.owner, help: 'renew it only if it is for this one' },
    host: { value: 'HOST', help: 'the host that is meant, when there are several' },
    ...sendOptions,
  },
  run: async (call, context) => {
    const [sandbox, network] = [call.text('sandbox'), call.text('network')];
    if ((sandbox === undefined) === (network === undefined))
      throw new UsageError('name either --sandbox ID or --network NETWORK', renew);
    const what = sandbox === undefined ? `network ${network}` : `sandbox ${sandbox}`;
    const of = sandbox === undefined ? { network: network ?? '' } : { sandbox };
    const input = { ...of, ...leaseFields(call) };
    return sendAndTell(call, context, {
      what: `the lease of ${what}`,
      host: call.text('host'),
      send: (sender, options) => sender.renewLease(input, options),
      done: `renewed the lease of ${what}`,
    });
  },
};

export const leaseSpecs: readonly Spec[] = [ls, renew];
