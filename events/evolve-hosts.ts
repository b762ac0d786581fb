/** How events about a host itself change its boundary's state: what it states, whether it lives, and what it holds beyond the log. */
import type { Event, EventOf } from './envelope.ts';
import { evolveRegressed } from './evolve-regressed.ts';
import { setRoutes } from './ipam.ts';
import type { BoundaryState } from './state.ts';

const types = ['HostFacts', 'HostLapsed', 'LogRegressed', 'HostResumed'] as const;
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
    default:
      event satisfies never;
  }
};
