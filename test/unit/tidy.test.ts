// What the text of the sources keeps to, beyond what the linter sees (length of functions, cycles, folders, console).
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const folders = ['events', 'projections', 'drivers', 'services', 'test', 'bench', 'docs/generate', '.ci'];
const LINES_MAX = 400;

const sources = folders
  .flatMap((folder) => readdirSync(folder, { recursive: true, withFileTypes: true }))
  .filter((entry) => entry.isFile() && !/\.(jsonl?|zst)$/.test(entry.name)) // data, not sources
  .map((entry) => {
    const file = join(entry.parentPath, entry.name);
    return { file, lines: readFileSync(file, 'utf8').trimEnd().split('\n') };
  });

function linesWith(pattern: RegExp, exempt: RegExp): string[] {
  return sources
    .filter(({ file }) => !exempt.test(file))
    .flatMap(({ file, lines }) =>
      lines.flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : [])),
    );
}

test('tidy: the sources are found', () => {
  assert.ok(sources.some(({ file }) => file === 'test/unit/tidy.test.ts'));
});

test(`tidy: no file has more than ${LINES_MAX} lines`, () => {
  assert.deepEqual(
    sources.filter(({ lines }) => lines.length > LINES_MAX).map(({ file }) => file),
    [],
  );
});

test('tidy: one file reads clock and chance, so that everything else repeats exactly', () => {
  const chance = /\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(/; // a Date of a given moment only converts it
  assert.deepEqual(linesWith(chance, /^(services\/lib\/clock\.ts$|test\/|bench\/)/), []);
});

test('tidy: nothing is left for later', () => {
  assert.deepEqual(linesWith(/\b(TODO|FIXME|XXX)\b/, /^test\/unit\/tidy\.test\.ts$/), []);
});
