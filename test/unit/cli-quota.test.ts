// What `cnm quota ls` shows: for each actor the limits that hold for it, whoever they were set for.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { heldBy, quotaColumns } from '../../services/cli/quota.ts';
import { renderTable } from '../../services/cli/table.ts';

const none = { networks: null, endpoints: null, addresses: null, ports: null, rate: null, burst: null };
const row = (actor: string, networks: number, limits: Partial<typeof none> | Record<string, number> | null) => ({
  actor,
  ...{ networks, endpoints: 0, addresses: 0, ports: 0, refusedByRate: 0, refusedByQuota: 0, changedPosition: 1 },
  limits: limits && { ...none, ...limits },
});
const shown = (rows: Parameters<typeof heldBy>[0]): readonly string[] =>
  renderTable(quotaColumns, heldBy(rows), null)
    .trimEnd()
    .split('\n')
    .map((line) => line.replaceAll(/ {2,}/g, ' | '));

test('a quota of its own holds, else that of everybody, else none', () => {
  const rows = [
    row('*', 0, { networks: 5, rate: 2 }),
    row('alice', 3, null),
    row('bob', 4, { ports: 9 }),
    row('ops', 7, {}),
  ];
  assert.deepEqual(shown(rows), [
    'ACTOR | NETWORKS | ENDPOINTS | ADDRESSES | PORTS | COMMANDS | QUOTA | REFUSED',
    '* | 5 | - | - | - | 2/s | own | 0',
    'alice | 3 of 5 | 0 | 0 | 0 | 2/s | * | 0',
    'bob | 4 | 0 | 0 | 0 of 9 | - | own | 0',
    'ops | 7 | 0 | 0 | 0 | - | own | 0',
  ]);
  assert.equal(shown(rows.slice(1))[1], 'alice | 3 | 0 | 0 | 0 | - | - | 0');
});
