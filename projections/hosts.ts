/** View `hosts`: what each host's worker has said about its host, and when it reported last. Key: the host's name. */
import type { EventData } from '../events/events.ts';
import type { Projection } from './projection.ts';

export interface HostRow extends EventData<'HostFacts'> {
  readonly firstSeen: string;
  /** When it stated these facts. */
  readonly statedAt: string;
  /** When it last reported anything. */
  readonly lastReport: string;
  readonly lastReportPosition: number;
}

/** Notes that a host's worker has reported something: called once per commit of outcomes. */
export const heard = (rows: Map<string, HostRow>, host: string, time: string, position: number): void => {
  const row = rows.get(host);
  if (row) rows.set(host, { ...row, lastReport: time, lastReportPosition: position });
};

export const hosts: Projection<HostRow> = {
  name: 'hosts',
  version: 1,
  handles: ['HostFacts'],
  apply: (rows, event, at) => {
    if (event.type !== 'HostFacts') return;
    const { time } = event.meta;
    const host = at.host ?? event.data.host;
    const firstSeen = rows.get(host)?.firstSeen ?? time;
    rows.set(host, {
      ...event.data,
      firstSeen,
      statedAt: time,
      lastReport: time,
      lastReportPosition: at.position,
    });
  },
  fields: ['host', 'bootId', 'kernel'],
  references: [],
  refer: () => [],
  keyOf: ({ host }) => host,
};
