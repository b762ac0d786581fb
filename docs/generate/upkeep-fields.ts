/** Fields of the views of what ends by itself, and of what is kept. */
import type { ViewRows } from '../../projections/views.ts';
import { common, type Fields, networkNames, time } from './said.ts';

const { host, changedPosition } = common;

type Upkeep = 'garbage' | 'leases' | 'parked' | 'holds' | 'shredded';

export const upkeepFields: { readonly [View in Upkeep]: Fields<ViewRows[View]> } = {
  garbage: {
    endpointId: ['string', 'id of the endpoint'],
    endpoint: ['string', 'name of the endpoint'],
    host,
    ...networkNames,
    since: [time, 'since when it has been without a sandbox'],
    dueAt: ['date-time or null', 'when it may be collected; null for never'],
    reason: ['string', 'why it is garbage, or why it never is'],
    lastSandbox: ['string or null', 'the sandbox that it was last in'],
    suspected: ['boolean', 'step one of its collection is taken'],
    generation: ['integer', 'how many events it has seen: what SuspectEndpoint and CollectEndpoint name'],
    gc: ['`"off"` or integer or null', 'what was asked for, for it or for its network; null: the default'],
    changedPosition,
  },
  leases: {
    kind: ['string', '`sandbox` or `network`'],
    id: ['string', 'id of the network, or of this incarnation of the sandbox'],
    name: ['string', "the network's name, or the caller's name of the sandbox"],
    host,
    owner: ['string or null', 'who it is for, in the words of whoever made it'],
    actor: ['string', 'who made it: nobody else renews it'],
    leaseMs: ['integer', 'how long it lasts unless it is renewed, milliseconds'],
    renewedAt: [time, 'when it was made, or renewed last'],
    renewals: ['integer', 'how often it was renewed: what SuspectLease and ExpireLease name'],
    expiresAt: [time, 'when its lease runs out'],
    suspectedAt: ['date-time or null', 'when the first step of its end was taken'],
    changedPosition,
  },
  parked: {
    host,
    position: ['string', 'of the event: `SEQ.INDEX`'],
    key: ['string', 'what it is about, and what waits behind it: its CloudEvents subject'],
    type: ['string', 'as it is stored; empty where the whole commit cannot be read'],
    reason: ['string', 'why it cannot be folded'],
    since: [time, 'when it was recorded'],
    waiting: ['integer', 'how many later events wait behind it'],
    behind: ['list of strings', '`SEQ.INDEX` of the first 100 of them'],
  },
  holds: {
    name: ['string', 'what it is called'],
    subject: ['string or null', 'whose sealed values it covers; null: everything'],
    reason: ['string', 'why it is kept'],
    since: [time, 'since when it has been set'],
    actor: ['string', 'who set it'],
    commandid: ['string', 'id of the command that set it'],
    changedPosition,
  },
  shredded: {
    subject: ['string', 'whose sealed values are unreadable'],
    reason: ['string', 'why'],
    since: [time, 'when it was decided'],
    actor: ['string', 'who asked for it'],
    commandid: ['string', 'id of the command that asked for it'],
    changedPosition,
  },
};
