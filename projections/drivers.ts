/** View `drivers`: the options that a driver was given on a host, and whether it took them. Key: `HOST DRIVER`. */
import { type Fault, isIntent } from '../events/events.ts';
import type { Projection } from './projection.ts';

export interface DriverRow {
  readonly host: string;
  readonly driver: string;
  /** What it was given last; of what it did not take, what it had before. */
  readonly options: Readonly<Record<string, string>>;
  /** What holds again when the latest options are not taken. */
  readonly before: Readonly<Record<string, string>>;
  readonly status: 'configuring' | 'configured' | 'failed';
  readonly since: string;
  readonly intent: string;
  readonly fault: Fault | null;
  readonly changedPosition: number;
}

export const drivers: Projection<DriverRow> = {
  name: 'drivers',
  version: 1,
  handles: ['DriverConfigureRequested', 'DriverConfigured', 'DriverConfigureFailed'],
  apply: (rows, event, at) => {
    switch (event.type) {
      case 'DriverConfigureRequested':
      case 'DriverConfigured':
      case 'DriverConfigureFailed':
        break;
      default:
        return;
    }
    const host = at.host ?? '';
    const { driver } = event.data;
    const key = `${host} ${driver}`;
    const { time: since, id, causationid } = event.meta;
    const changedPosition = at.position;
    if (isIntent(event.type) && 'options' in event.data) {
      const { options } = event.data;
      const row = { host, driver, options, before: rows.get(key)?.options ?? {}, since, intent: id, changedPosition };
      rows.set(key, { ...row, status: 'configuring', fault: null });
      return;
    }
    const row = rows.get(key);
    if (!row || row.intent !== causationid) return;
    const fault = 'fault' in event.data ? event.data.fault : null;
    const options = fault ? row.before : row.options;
    rows.set(key, { ...row, options, status: fault ? 'failed' : 'configured', since, fault, changedPosition });
  },
  fields: ['host', 'driver', 'status'],
  references: [],
  refer: () => [],
};
