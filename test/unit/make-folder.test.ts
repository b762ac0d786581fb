// Folders are made with those that they are in, and where the system makes none that is said.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { makeFolder } from '../../services/lib/make-folder.ts';

const folder = mkdtempSync(join(tmpdir(), 'cnm-folders-'));
after(() => rmSync(folder, { recursive: true }));

test('a folder is made with all above it, and one that is there is left as it is', () => {
  const path = join(folder, 'a/b/c');
  makeFolder(path, 0o700);
  for (const one of ['a', 'a/b', 'a/b/c']) assert.equal(statSync(join(folder, one)).mode & 0o777, 0o700, one);
  makeFolder(path, 0o755);
  assert.equal(statSync(path).mode & 0o777, 0o700);
});

test('where none can be made the system says so', () => {
  const file = join(folder, 'file');
  writeFileSync(file, '');
  assert.throws(() => makeFolder(file), { code: 'EEXIST', path: file });
  assert.throws(() => makeFolder(join(file, 'below')), { code: 'EEXIST', path: file });
  // the parent of which is there: `mkdir -p` of Node goes round in circles
  assert.throws(() => makeFolder('/proc/cnm-absent/below'), { code: 'ENOENT', path: '/proc/cnm-absent' });
});
