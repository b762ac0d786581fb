// What became of a rebuild, as text.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeRebuilt, progressBar } from '../../services/cli/rebuild.ts';

test('rebuild as text: a bar that is full at the end, and for an empty log', () => {
  assert.equal(progressBar(0, 200), `[${'-'.repeat(30)}] 0 %  position 0 of 200`);
  assert.equal(progressBar(100, 200), `[${'#'.repeat(15)}${'-'.repeat(15)}] 50 %  position 100 of 200`);
  assert.equal(progressBar(199, 200), `[${'#'.repeat(30)}] 99 %  position 199 of 200`);
  assert.equal(progressBar(0, 0), `[${'#'.repeat(30)}] 100 %  position 0 of 0`);
});

test('rebuild as text: what differs, what was put in place or back, and why not', () => {
  const report = {
    kind: 'report' as const,
    projector: 'p1',
    view: 'all' as const,
    position: 7,
    durationMs: 1_250,
    digest: { live: 'a', rebuilt: 'b' },
  };
  assert.equal(
    describeRebuilt({ ...report, equal: true, swapped: false, differences: [] }),
    'projector p1: all at position 7 is equal (1.3 s)\n',
  );
  const differences = [
    { view: 'ports', rows: 2, different: ['h1 tcp 80'] },
    { view: 'names', rows: 1, different: [] },
  ] as const;
  assert.equal(
    describeRebuilt({ ...report, equal: false, swapped: true, differences }),
    'projector p1: all at position 7 is different, and put in place (1.3 s)\n  ports (2 rows): h1 tcp 80\n  names (1 rows): in another order\n',
  );
  assert.equal(
    describeRebuilt({ kind: 'rollback', projector: 'p1', views: ['ports'], position: 9 }),
    'projector p1: put back ports at position 9\n',
  );
  assert.equal(
    describeRebuilt({ kind: 'refused', projector: 'p1', code: 'QUERY_BUSY', detail: 'later' }),
    'projector p1: QUERY_BUSY: later\n',
  );
});
