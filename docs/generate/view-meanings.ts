/** What each view shows, in one sentence or two. */
import type { ViewName } from '../../events/queries.ts';

export const meanings: Readonly<Record<ViewName, string>> = {
  networks: 'Networks that exist or are being made or removed.',
  endpoints: 'Endpoints that exist or are being made or removed.',
  sandboxes: 'Sandboxes, from the first join that asks for them until they are removed.',
  addresses: 'Who holds which address.',
  names:
    'By which names endpoints are found, from the report of a join to the report of the leave: what resolvers answer.',
  ports:
    'What is published or held of host ports: one row per lease and address of the host. Ask with `asOf` for any moment.',
  hosts: 'What each worker has said about its host, and when it reported last.',
  drivers: 'The options that a driver was given on a host.',
  commands: 'What became of each command, for 30 days.',
  drift: 'What somebody else has changed in a kernel, as long as it is not as it should be again.',
  garbage: 'Endpoints in no sandbox: since when, due when, why.',
  leases: 'Sandboxes and networks that end unless somebody renews their leases: who has to, and until when.',
  parked:
    'Events that could not be folded, and how many later ones wait behind each. Unlike a report of a worker that is not ours and does not fit, which counts for nothing, such an event stays here until it is discarded, or until a version folds it.',
  holds: 'Legal holds that are not lifted: nothing that they cover is shredded or put away.',
  quotas:
    'What each actor may have, what it has on all hosts together, and how much it was refused; `*` has the quota of everybody without one of their own.',
  capacity:
    'How much of what hosts have is in use, as their workers have said when they started or passed 70, 85, 95 or 99 percent. Of networks only what is nearly used up.',
  shredded: 'Subjects whose sealed values nobody can read any more.',
};
