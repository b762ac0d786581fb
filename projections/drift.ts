/** View `drift`: objects in kernels that somebody else has changed and that are not as they should be again. Key: the drift's id. */
import type { DriftChange, Fault } from '../events/events.ts';
import { networkName, type Projection } from './projection.ts';

export interface DriftRow {
  readonly drift: string;
  readonly host: string;
  /** `network`, `endpoint`, `sandbox` or `host`. */
  readonly kind: string;
  readonly name: string;
  readonly networkId: string | null;
  readonly network: string | null;
  readonly endpointId: string | null;
  readonly sandbox: string | null;
  readonly sandboxIncarnation: string | null;
  readonly since: string;
  readonly changes: readonly DriftChange[];
  readonly more: number;
  readonly by: string;
  readonly policy: string;
  /** `detected`, or `left` with a reason. */
  readonly status: 'detected' | 'left';
  /** `policy`, `fault` or `contested`; null while it is being repaired. */
  readonly reason: string | null;
  readonly fault: Fault | null;
  readonly suspects: readonly string[];
  readonly times: number;
  readonly changedPosition: number;
}

export const drift: Projection<DriftRow> = {
  name: 'drift',
  version: 1,
  handles: ['DriftDetected', 'DriftRepaired', 'DriftLeft', 'DriftEnded'],
  apply: (rows, { type, data, meta }, at) => {
    if (type === 'DriftRepaired' || type === 'DriftEnded') rows.delete(data.drift);
    const changedPosition = at.position;
    if (type === 'DriftLeft') {
      const row = rows.get(data.drift);
      const { reason, fault, suspects, times } = data;
      if (row) rows.set(row.drift, { ...row, status: 'left', reason, fault, suspects, times, changedPosition });
    }
    if (type !== 'DriftDetected') return;
    const { of: thing, drift: id, host, changes, more, by, policy, suspects, times } = data;
    const { kind, name, networkId, endpointId, sandbox } = thing;
    rows.set(id, {
      ...{ drift: id, host, kind, name, networkId, endpointId },
      network: networkId === null ? null : networkName(at, networkId),
      sandbox: sandbox?.id ?? null,
      sandboxIncarnation: sandbox?.incarnation ?? null,
      since: rows.get(id)?.since ?? meta.time,
      ...{ changes, more, by, policy, status: 'detected', reason: null, fault: null, suspects, times, changedPosition },
    });
  },
  fields: ['drift', 'host', 'kind', 'name', 'networkId', 'endpointId', 'by', 'policy', 'status', 'reason'],
  references: ['network', 'endpoint', 'sandbox'],
  refer: (row, reference) => {
    if (reference === 'network') return [row.network, row.networkId];
    return reference === 'endpoint'
      ? [row.kind === 'endpoint' ? row.name : null, row.endpointId]
      : [row.sandbox, row.sandboxIncarnation];
  },
  keyOf: ({ drift: id }) => id,
};
