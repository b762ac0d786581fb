/** View `capacity`: what is in use of what hosts have. Key: the host, what it is, and the network that it belongs to. */
import { bandOf } from '../events/capacity.ts';
import type { CapacityUse } from '../events/events.ts';
import { type At, networkName, type Projection } from './projection.ts';

export interface CapacityRow extends CapacityUse {
  /** Name of the network that it belongs to. */
  readonly network: string | null;
  /** The largest of 70, 85, 95 and 99 percent that is passed; 0: none. */
  readonly band: number;
  /** When it was said. */
  readonly saidAt: string;
  readonly changedPosition: number;
}

const rowOf = (use: CapacityUse, band: number, saidAt: string, at: At): CapacityRow => {
  const { host, what, ofNetwork, used, limit, percent } = use;
  const network = ofNetwork === null ? null : networkName(at, ofNetwork);
  return { host, what, ofNetwork, network, used, limit, percent, band, saidAt, changedPosition: at.position };
};

const keyOf = ({ host, what, ofNetwork }: CapacityUse): string => `${host} ${what} ${ofNetwork ?? ''}`;

export const capacity: Projection<CapacityRow> = {
  name: 'capacity',
  version: 1,
  handles: ['CapacityStated', 'CapacityPressure', 'CapacityRelieved'],
  apply: (rows, event, at) => {
    const { time } = event.meta;
    if (event.type === 'CapacityStated') {
      const { host, uses } = event.data;
      // What the worker before has said is void.
      for (const [key, row] of rows) if (row.host === host) rows.delete(key);
      for (const use of uses)
        rows.set(keyOf({ host, ...use }), rowOf({ host, ...use }, bandOf(use.percent, 0), time, at));
    } else if (event.type === 'CapacityPressure' || event.type === 'CapacityRelieved') {
      const { band, ...use } = event.data;
      // Of networks only what is nearly used up: there may be thousands.
      if (band === 0 && use.ofNetwork !== null) rows.delete(keyOf(use));
      else rows.set(keyOf(use), rowOf(use, band, time, at));
    }
  },
  fields: ['host', 'what', 'ofNetwork', 'band'],
  references: ['network'],
  refer: (row) => [row.network, row.ofNetwork],
};
