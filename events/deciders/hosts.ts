/** Decisions on hosts themselves: whether their workers show signs of life. */
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
