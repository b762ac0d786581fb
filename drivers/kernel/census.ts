import type { Census } from '../port.ts';
import type { Host } from './host.ts';
import type { Table } from './table.ts';
export const takeCensus = (_host: Host, _table: Table): Census => ({ objects: [], unknown: [] });
