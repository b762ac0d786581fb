/** Fields of the views of what is used, and of who may use how much. */
import type { ViewRows } from '../../projections/views.ts';
import { common, type Fields, time } from './said.ts';

const { host, changedPosition } = common;

export const loadFields: { readonly [View in 'quotas' | 'capacity']: Fields<ViewRows[View]> } = {
  quotas: {
    actor: ['string', 'whose; `*`: of everybody without a quota of their own'],
    limits: ['object or null', 'what it may have at most, as `QuotaSet` says; null: no quota of its own'],
    networks: ['integer', 'networks that it has created and that are not gone'],
    endpoints: ['integer', 'endpoints that it has created and that are not gone'],
    addresses: ['integer', 'addresses of those endpoints'],
    ports: ['integer', 'host ports published for them and for its sandboxes'],
    refusedByRate: ['integer', 'how many of its commands were refused as `RATE_LIMITED`'],
    refusedByQuota: ['integer', 'how many of its commands were refused as `QUOTA_EXCEEDED`'],
    changedPosition,
  },
  capacity: {
    host,
    what: [
      'string',
      '`ports` of a bridge, `addresses` of a network, `subnets` of the pools, `neighbours4`, `neighbours6`, `conntrack`, `descriptors` or `files`',
    ],
    ofNetwork: ['string or null', 'id of the network that it belongs to; null: it belongs to the host'],
    network: ['string or null', 'name of that network'],
    used: ['integer', 'how much of it was in use'],
    limit: ['integer', 'how much of it there is'],
    percent: ['number', 'used, of limit'],
    band: ['integer', 'the largest of 70, 85, 95 and 99 percent that is passed; 0: none'],
    saidAt: [time, 'when its worker said so'],
    changedPosition,
  },
};
