/** View `hosts`: what each host's worker has said about its host, and when it reported last. Key: the host's name. */
import type { EventOf } from '../events/envelope.ts';
import type { EventData } from '../events/events.ts';
import { type Asker, askerOf } from './asker.ts';
import type { Projection } from './projection.ts';

export interface HostRow extends EventData<'HostFacts'> {
  readonly firstSeen: string;
  /** When it stated these facts. */
  readonly statedAt: string;
  /** When it last reported anything. */
  readonly lastReport: string;
  readonly lastReportPosition: number;
  /** False: its worker has shown no sign of life in this epoch since `awaySince`. */
  readonly alive: boolean;
  readonly awaySince: string | null;
  /** The log is an older copy of what its worker had read; null: it is not, or what was beyond it is removed. */
  readonly regressed: Regressed | null;
  /** It was declared lost, and everything of it has ended; null where it was not, or has come back since. */
  readonly lost: (Asker & { readonly since: string; readonly reason: string }) | null;
}

export interface Regressed extends Pick<EventData<'LogRegressed'>, 'seen' | 'found' | 'held'> {
  /** `stopped`: nothing is changed on the host until it is resumed. `kept`: it goes on beside what is held. */
  readonly status: 'stopped' | 'kept';
  readonly since: string;
}

type Regressing = EventOf<'LogRegressed' | 'HostResumed'>;

const regress = (row: HostRow, event: Regressing): HostRow => {
  if (event.type === 'HostResumed') {
    const isKept = event.data.held === 'keep' && row.regressed !== null;
    return { ...row, regressed: isKept ? { ...(row.regressed as Regressed), status: 'kept' } : null };
  }
  const { seen, found, held, stopped } = event.data;
  return { ...row, regressed: stopped ? { status: 'stopped', since: event.meta.time, seen, found, held } : null };
};

/** Notes that a host's worker has reported something: called once per commit of outcomes. */
export const heard = (rows: Map<string, HostRow>, host: string, time: string, position: number): void => {
  const row = rows.get(host);
  if (row) rows.set(host, { ...row, lastReport: time, lastReportPosition: position });
};

export const hosts: Projection<HostRow> = {
  name: 'hosts',
  version: 4,
  handles: ['HostFacts', 'HostLapsed', 'HostLost', 'LogRegressed', 'HostResumed'],
  apply: (rows, event, at) => {
    if (event.type === 'HostLapsed') {
      const row = rows.get(event.data.host);
      if (row?.epoch === event.data.epoch) rows.set(row.host, { ...row, alive: false, awaySince: event.data.since });
      return;
    }
    if (event.type === 'LogRegressed' || event.type === 'HostResumed') {
      const row = rows.get(at.host ?? event.data.host);
      if (row) rows.set(row.host, regress(row, event));
      return;
    }
    if (event.type === 'HostLost') {
      const row = rows.get(event.data.host);
      const { time: since } = event.meta;
      if (row?.epoch === event.data.epoch)
        rows.set(row.host, { ...row, lost: { since, ...askerOf(event.meta), reason: event.data.reason } });
      return;
    }
    if (event.type !== 'HostFacts') return;
    const { time } = event.meta;
    const host = at.host ?? event.data.host;
    const before = rows.get(host);
    const firstSeen = before?.firstSeen ?? time;
    // Facts that are stated again within an epoch are no return: they may have been on their way when it lapsed.
    const isSame = before?.epoch === event.data.epoch;
    rows.set(host, {
      ...event.data,
      firstSeen,
      statedAt: time,
      lastReport: time,
      lastReportPosition: at.position,
      alive: isSame ? before.alive : true,
      awaySince: isSame ? before.awaySince : null,
      regressed: before?.regressed ?? null,
      lost: isSame ? before.lost : null,
    });
  },
  fields: ['host', 'bootId', 'kernel', 'alive'],
  references: [],
  refer: () => [],
  keyOf: ({ host }) => host,
};
