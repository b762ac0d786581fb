/** View `networks`: what each network is and in which state; deleted ones disappear. Key: the network's id. */
import type { Event } from '../events/envelope.ts';
import { type Fault, isIntent, type NetworkFacts } from '../events/events.ts';
import { type NetworkStatus, networkTransitions } from '../events/states.ts';
import type { At, Projection } from './projection.ts';
import { nextStatus } from './status.ts';

export interface NetworkRow extends NetworkFacts {
  readonly host: string;
  readonly status: Exclude<NetworkStatus, 'absent'>;
  /** Since when it is in this state. */
  readonly since: string;
  readonly createdAt: string;
  /** Event id of the latest intent: the one whose outcome moves the state. */
  readonly intent: string;
  /** Why the latest intent failed. */
  readonly fault: Fault | null;
  /** Position of the commit that changed this row last. */
  readonly changedPosition: number;
}

const move = (rows: Map<string, NetworkRow>, event: Event, id: string, position: number): void => {
  const row = rows.get(id);
  if (!row) return;
  const intends = isIntent(event.type);
  const failed = event.type === 'NetworkCreateFailed';
  if (!intends && !failed && event.meta.causationid !== row.intent) return;
  const status = failed ? 'absent' : nextStatus(networkTransitions, row.status, event.type);
  if (status === 'absent') {
    rows.delete(id);
    return;
  }
  rows.set(id, {
    ...row,
    status,
    since: status === row.status ? row.since : event.meta.time,
    intent: intends ? event.meta.id : row.intent,
    fault: event.type === 'NetworkDeleteFailed' ? event.data.fault : null,
    changedPosition: position,
  });
};

export const networks: Projection<NetworkRow> = {
  name: 'networks',
  version: 1,
  handles: [
    'NetworkCreateRequested',
    'NetworkDeleteRequested',
    'NetworkCreated',
    'NetworkCreateFailed',
    'NetworkDeleted',
    'NetworkDeleteFailed',
  ],
  apply: (rows, event, at: At) => {
    switch (event.type) {
      case 'NetworkCreateRequested': {
        const { time, id: intent } = event.meta;
        rows.set(event.data.network.id, {
          ...event.data.network,
          host: at.host ?? '',
          status: 'creating',
          since: time,
          createdAt: time,
          intent,
          fault: null,
          changedPosition: at.position,
        });
        return;
      }
      case 'NetworkDeleteRequested':
      case 'NetworkCreated':
      case 'NetworkCreateFailed':
      case 'NetworkDeleted':
      case 'NetworkDeleteFailed':
        move(rows, event, event.data.networkId, at.position);
        return;
      default:
        return;
    }
  },
  fields: ['id', 'name', 'host', 'driver', 'status', 'internal', 'ipv4', 'ipv6'],
  references: ['network'],
  refer: (row) => [row.name, row.id],
  keyOf: ({ id }) => id,
};
