import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestOfFiles, foldCode } from '../../services/projector/fold-code.ts';

test('fold code: every change of a byte, a name or a place is another code', () => {
  const root = mkdtempSync(join(tmpdir(), 'cnm-code-'));
  try {
    mkdirSync(join(root, 'events/deeper'), { recursive: true });
    mkdirSync(join(root, 'projections'));
    const codes = [
      () => writeFileSync(join(root, 'events/a.ts'), 'one'),
      () => writeFileSync(join(root, 'events/a.ts'), 'two'),
      () => writeFileSync(join(root, 'events/deeper/b.ts'), ''),
      () => rmSync(join(root, 'events/deeper/b.ts')),
      () => writeFileSync(join(root, 'projections/a.ts'), 'two'),
    ].map((change) => {
      change();
      return digestOfFiles(root, ['events', 'projections']);
    });
    assert.equal(codes[1], codes[3]);
    assert.equal(new Set(codes).size, 4);
    writeFileSync(join(root, 'other.ts'), '');
    assert.equal(digestOfFiles(root, ['events', 'projections']), codes[4]);
    assert.match(codes[0] ?? '', /^[0-9a-f]{16}$/);
  } finally {
    rmSync(root, { recursive: true });
  }
});

test('fold code: this code has one', () => {
  assert.equal(foldCode(), digestOfFiles('.', ['events', 'projections']));
});
