// What a segment of the log begins with is read for ever: its rows change with the number of their format, or not at all.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { UnreadableCommit } from '../../events/envelope.ts';
import { WholeLog } from '../../services/audit/segment-state.ts';
import { formatLine, formatOf, stateFormat, upcastLine } from '../../services/lib/state-format.ts';
import { corpora, openCorpus } from '../corpus/corpus.ts';

const golden = join(import.meta.dirname, '../golden/state-shape.json');

/** Names of the fields of rows, two levels deep: deeper ones are of facts, which events have versions for, or of what callers name. */
const fieldsOf = (value: unknown, path: string, depth: number): readonly string[] => {
  if (Array.isArray(value) || typeof value !== 'object' || value === null || depth === 0) return [path];
  return Object.entries(value).flatMap(([name, one]) => fieldsOf(one, `${path}.${name}`, depth - 1));
};

/** Tables and views are told apart by their names, which stand second or third in their lines. */
const kindOf = (line: readonly unknown[]): string => {
  const [kind, second, third, fourth] = line;
  if (kind === 'view') return `view ${second}`;
  if (kind !== 'state' && kind !== 'shared') return String(kind);
  return second === 'row' ? `row ${third}` : second === 'cell' ? `cell ${fourth}` : String(second);
};

const shapeOf = (lines: Iterable<readonly unknown[]>): Readonly<Record<string, readonly string[]>> => {
  const shape = new Map<string, Set<string>>();
  for (const line of lines) {
    const kind = kindOf(line);
    const fields = shape.get(kind) ?? new Set();
    shape.set(kind, fields);
    const row = line.at(-1);
    for (const field of fieldsOf(row, '', 2)) if (/^(\.[a-z]\w{0,24}){1,2}$/.test(field)) fields.add(field.slice(1));
  }
  return Object.fromEntries(
    [...shape].sort(([a], [b]) => (a < b ? -1 : 1)).map(([kind, of]) => [kind, [...of].sort()]),
  );
};

test('rows of a state have the shape that their format had when it was written down', async () => {
  const log = await openCorpus(corpora().at(-1) ?? '');
  const whole = new WholeLog();
  for await (const entries of log.entries())
    for (const entry of entries) if (entry.kind === 'message') whole.take(entry.message);
  const found = { format: stateFormat, shape: shapeOf(whole.lines()) };
  // Deleted, it is written anew: right after the number was raised and a step was written for the number before.
  if (!existsSync(golden)) writeFileSync(golden, `${JSON.stringify(found, null, 2)}\n`);
  assert.deepEqual(
    found,
    JSON.parse(readFileSync(golden, 'utf8')),
    'raise stateFormat (services/lib/state-format.ts) and write a step for what was before, then delete the golden shape',
  );
  assert.ok(Object.keys(found.shape).length > 20);
});

test('a line of format 1 says of nobody who asked that the server vouches for them', () => {
  const row = { name: 'case 1', actor: 'alice' };
  assert.deepEqual(upcastLine(1, ['view', 'holds', 'case 1', row]), [
    ['view', 'holds', 'case 1', { ...row, actorproof: null }],
  ]);
  const lost = { since: '2026-01-01T00:00:00.000Z', actor: 'alice', reason: 'burnt' };
  assert.deepEqual(upcastLine(1, ['view', 'hosts', 'h1', { host: 'h1', lost }]), [
    ['view', 'hosts', 'h1', { host: 'h1', lost: { ...lost, actorproof: null } }],
  ]);
  for (const line of [
    ['view', 'hosts', 'h1', { host: 'h1', lost: null }],
    ['view', 'networks', 'n1', { id: 'n1' }],
    ['day', '2026-01-01'],
  ])
    assert.deepEqual(upcastLine(1, line), [line]);
});

test('a line of format 2 is one of today', () => {
  const pool = ['state', 'pool', 'n1', 0, { held: [], releases: [['1', 2]], next: null }];
  assert.deepEqual(upcastLine(2, pool), [pool]);
});

test('a state says its format first; a newer one, and one that says none, stop whoever reads it', () => {
  assert.equal(formatOf(formatLine), stateFormat);
  assert.throws(() => formatOf(['format', stateFormat + 1]), UnreadableCommit);
  assert.throws(() => formatOf(['day', '2026-01-01']), UnreadableCommit);
  assert.throws(() => formatOf(undefined), UnreadableCommit);
  assert.deepEqual(upcastLine(stateFormat, ['day', '2026-01-01']), [['day', '2026-01-01']]);
});
