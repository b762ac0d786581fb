/** How events change what is known of a host itself: its facts, whether it shows signs of life, what it has left, and what it holds beyond the log. */
import { capacityKey } from './capacity.ts';
import type { Event, EventOf } from './envelope.ts';
import { evolveRegressed } from './evolve-regressed.ts';
import { setRoutes } from './ipam.ts';
import type { BoundaryState } from './state.ts';

const types = [
  'HostFacts',
  'HostLapsed',
  'LogRegressed',
  'HostResumed',
  'CapacityStated',
  'CapacityPressure',
  'CapacityRelieved',
] as const;
type OfHost = EventOf<(typeof types)[number]>;
const known: ReadonlySet<string> = new Set(types);

export const isOfHost = (event: Event): event is OfHost => known.has(event.type);

export const evolveHost = (state: BoundaryState, event: OfHost): void => {
  switch (event.type) {
    case 'HostFacts':
      setRoutes(state.subnets, event.data.host, event.data.routes);
      setRoutes(state.shared.subnets, event.data.host, event.data.routes);
      state.facts.set('host', event.data);
      return;
    case 'HostLapsed':
      state.lapsed.set('epoch', event.data.epoch);
      return;
    case 'LogRegressed':
    case 'HostResumed':
      evolveRegressed(state, event);
      return;
    case 'CapacityStated':
      for (const key of [...state.pressure.keys()]) state.pressure.delete(key);
      return;
    case 'CapacityPressure':
    case 'CapacityRelieved':
      if (event.data.band === 0) state.pressure.delete(capacityKey(event.data));
      else state.pressure.set(capacityKey(event.data), event.data);
      return;
    default:
      event satisfies never;
  }
};
