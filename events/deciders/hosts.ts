/** Decisions on hosts themselves: whether their workers show signs of life, and whether they come back with what they had. */
import { refuse } from '../refusals.ts';
import { isLapsed } from '../state.ts';
import { accept, type Decide } from './context.ts';

/** A worker that has come back has stated another epoch, so what a collector saw before says nothing of it. */
export const lapseHost: Decide<'LapseHost'> = (state, { host, epoch, since }) => {
  const culprit = { kind: 'host', id: host };
  const current = state.facts.get('host')?.epoch;
  if (current !== epoch) return refuse('HOST_ALIVE', `host ${host} is in epoch ${current}, not ${epoch}`, [culprit]);
  if (isLapsed(state)) return refuse('HOST_ALIVE', `host ${host} is known to be away in epoch ${epoch}`, [culprit]);
  return accept({ type: 'HostLapsed', data: { host, epoch, since } });
};

/**
 * Only of a host that is known to be away, since nobody can tell a worker that is alive to stop at once. It counts unless the worker has
 * stated another epoch by then: that stands on another subject, which no guard of this decision covers.
 */
export const declareHostLost: Decide<'DeclareHostLost'> = (state, { host, reason }) => {
  const { facts, networks, endpoints, sandboxes, progress } = state;
  const epoch = facts.get('host')?.epoch;
  if (epoch === undefined || !isLapsed(state))
    return refuse('HOST_ALIVE', `host ${host} is not known to be away`, [{ kind: 'host', id: host }]);
  const lost = {
    ...{ host, epoch, reason },
    networks: [...networks.keys()].sort(),
    endpoints: [...endpoints.keys()].sort(),
    sandboxes: [...sandboxes.keys()].sort(),
    commands: [...progress.keys()].sort().flatMap((key) => {
      const record = progress.get(key);
      return record ? [{ actor: record.actor, commandId: record.commandid }] : [];
    }),
  };
  return accept({ type: 'PeersForgotten', data: { host, epoch } }, { type: 'HostLost', data: lost });
};
