// Inputs of others, into everything that reads any; a million of them is `npm run fuzz`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runTargets } from '../fuzz/run-targets.ts';
import { targets } from '../fuzz/targets.ts';

/** By name, so that another one changes the inputs of none. */
const INPUTS = 20_000;

for (const seed of [1, 2]) {
  test(`fuzz: ${INPUTS} inputs of seed ${seed} are taken or refused, and nothing else`, async () => {
    const counts = await runTargets(targets, { inputs: INPUTS, seed });
    assert.equal(counts.size, targets.length);
    assert.ok([...counts.values()].every((count) => count > 100));
  });
}
