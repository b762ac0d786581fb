// Random histories over several networks, sandboxes, hosts and controllers, checked at every position (design.md section 7).
import { test } from 'node:test';
import fc from 'fast-check';
import { Model } from './model.ts';
import { moves } from './model-moves.ts';
import { play } from './model-play.ts';
import { rest } from './model-rest.ts';

/** More for a longer search: `MODEL_RUNS=10000 node --test test/property/model.test.ts`. */
const numRuns = Number(process.env.MODEL_RUNS ?? 250);

const check = (controllers: number, hosts: readonly string[]): void => {
  fc.assert(
    fc.property(moves, (steps) => {
      const model = new Model(controllers, hosts);
      play(model, steps);
      rest(model);
    }),
    { numRuns },
  );
};

test('one host, one controller', () => check(1, ['h1']));
test('one host, two controllers that decide at once', () => check(2, ['h1']));
test('two hosts, two controllers that decide at once', () => check(2, ['h1', 'h2']));
