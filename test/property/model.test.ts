// Random histories over several networks, sandboxes, hosts and controllers, checked at every position (design.md section 7).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { commandId } from '../../events/names.ts';
import { foldLog } from '../../services/controller/controller.ts';
import { Model } from './model.ts';
import { dump } from './model-checks.ts';
import { apply, type Move, moves } from './model-moves.ts';

const play = (model: Model, steps: readonly Move[]): void => {
  for (const { host } of model.workers) {
    const subnets = [{ subnet: '10.1.0.0/29' }];
    const send = (type: string, data: object) =>
      model.send(
        `cnm.command.alice.${host}`,
        JSON.stringify({ id: commandId(model.nowMs, `${host}/${type}`), type, data }),
      );
    send('CreateNetwork', { name: 'web', gc: 1_000, ipam: { subnets } });
    send('CreateEndpoint', { network: 'web', name: 'a' });
  }
  for (const [serial, step] of steps.entries()) apply(model, step, serial);
};

/** After quiet: all decided, all ended, nothing pending. */
const rest = (model: Model): void => {
  model.settle();
  assert.deepEqual(model.checker.open(), [], 'every accepted command has ended');
  for (const { host } of model.workers) {
    const state = model.stateOf(host);
    assert.equal(state.intents.size, 0, 'every intent is reported');
    assert.equal(state.expired.size, 0);
    assert.equal(state.progress.size, 0);
    const pending = ['creating', 'joining', 'leaving', 'deleting', 'removing'];
    const rows = [...state.networks.values(), ...state.endpoints.values(), ...state.sandboxes.values()];

    assert.deepEqual(
      rows.filter(({ status }) => pending.includes(status)).map(({ status, facts }) => `${facts.id} ${status}`),
      [],
      'nothing is under way',
    );
  }
  assert.deepEqual(model.checker.late(), [], 'what came too late is undone');
  assert.deepEqual(model.checker.impossible, []);
  const whole = dump(model.checker.realm);
  assert.deepEqual(dump(foldLog(model.log)), whole, 'folding twice gives the same state');
  for (const controller of model.controllers) {
    controller.fold(0);
    assert.deepEqual(dump(controller.realm), whole, 'whatever was tried on in between');
  }
};

const check = (controllers: number, hosts: readonly string[], numRuns: number): void => {
  const runs = Number(process.env.MODEL_RUNS ?? numRuns);
  fc.assert(
    fc.property(moves, (steps) => {
      const model = new Model(controllers, hosts);
      play(model, steps);
      rest(model);
    }),
    { numRuns: runs },
  );
};

test('one host, one controller', () => check(1, ['h1'], 250));
test('one host, two controllers that decide at once', () => check(2, ['h1'], 250));
test('two hosts, two controllers that decide at once', () => check(2, ['h1', 'h2'], 250));
