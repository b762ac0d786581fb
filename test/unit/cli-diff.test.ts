// Differences between two moments as text.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Change } from '../../events/past-queries.ts';
import { describeChange, withoutBookkeeping } from '../../services/cli/diff.ts';

test('diff as text: a line for each thing, and one for each field that changed', () => {
  const made: Change = {
    view: 'endpoints',
    key: 'e',
    name: 'web/db',
    change: 'made',
    row: { host: 'h1', status: 'idle' },
  };
  assert.equal(describeChange(made), '+ endpoint web/db on h1\n');
  assert.equal(describeChange({ ...made, change: 'gone', view: 'sandboxes', name: 's1' }), '- sandbox s1 on h1\n');
  assert.equal(
    describeChange({ ...made, view: 'addresses', name: '10.0.0.2', row: { host: null } }),
    '+ address 10.0.0.2\n',
  );
  const fields = [
    { path: '/status', before: 'idle', after: 'joined' },
    { path: '/labels/team', before: undefined, after: 'blue' },
    { path: '/ports/0', before: { port: 80 }, after: null },
  ];
  assert.equal(
    describeChange({ view: 'endpoints', key: 'e', name: 'web/db', change: 'changed', fields }),
    '~ endpoint web/db\n    status: idle -> joined\n    labels/team: - -> blue\n    ports/0: {"port":80} -> -\n',
  );
});

test('diff as text: what is bookkeeping alone is left out', () => {
  const field = (path: string) => ({ path, before: 1, after: 2 });
  const change = (...paths: string[]): Change => ({
    ...{ view: 'hosts', key: 'h1', name: 'h1', change: 'changed' },
    fields: paths.map(field),
  });
  assert.equal(withoutBookkeeping(change('/lastReport', '/lastReportPosition')), null);
  assert.deepEqual(withoutBookkeeping(change('/lastReport', '/alive'))?.fields, [field('/alive')]);
  // a label may be called like it
  assert.deepEqual(withoutBookkeeping(change('/labels/intent'))?.fields, [field('/labels/intent')]);
  const gone: Change = { view: 'networks', key: 'n', name: 'n', change: 'gone', row: { intent: 'x' } };
  assert.equal(withoutBookkeeping(gone), gone);
});
