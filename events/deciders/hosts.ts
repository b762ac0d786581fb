/** Decisions on hosts themselves: whether their workers show signs of life, and whether they come back with what they had. */
import type { CommandType } from '../commands.ts';
import { type Refusal, refuse } from '../refusals.ts';
import { type BoundaryState, isLapsed, isStopped } from '../state.ts';
import { accept, type Decide } from './context.ts';

/** A worker that has come back has stated another epoch, so what a collector saw before says nothing of it. */
export const lapseHost: Decide<'LapseHost'> = (state, { host, epoch, since }) => {
  const culprit = { kind: 'host', id: host };
  const current = state.facts.get('host')?.epoch;
  if (current !== epoch) return refuse('HOST_ALIVE', `host ${host} is in epoch ${current}, not ${epoch}`, [culprit]);
  if (isLapsed(state)) return refuse('HOST_ALIVE', `host ${host} is known to be away in epoch ${epoch}`, [culprit]);
  return accept({ type: 'HostLapsed', data: { host, epoch, since } });
};

/** What changes nothing in the kernel of a host: it is decided while its worker is stopped, too. */
const untouching: ReadonlySet<CommandType> = new Set([
  'ResumeHost',
  'LapseHost',
  'DeclareHostLost',
  'ExpireCommand',
  'CancelCommand',
  'SuspectEndpoint',
  'SuspectLease',
  'RenewLease',
] satisfies readonly CommandType[]);

/** While the log is an older copy of what a host's worker had read, nothing is asked of it. */
export const refuseStopped = (state: BoundaryState, type: CommandType, host: string): Refusal | null =>
  isStopped(state) && !untouching.has(type)
    ? refuse('HOST_REGRESSED', `host ${host} changes nothing, since the log is older than what it had read`, [
        {
          kind: 'host',
          id: host,
          detail: `${state.regressed.get('log')?.held.length ?? 0} held that the log does not know`,
        },
      ])
    : null;

/** What was kept may be removed later. */
export const resumeHost: Decide<'ResumeHost'> = (state, { host, held }) => {
  const row = state.regressed.get('log');
  if (!row || (row.status === 'kept' && held === 'keep'))
    return refuse('HOST_NOT_STOPPED', `host ${host} is not stopped`, [{ kind: 'host', id: host }]);
  return accept({ type: 'HostResumed', data: { host, held } });
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
