/** What must hold of a history that has come to rest. */
import assert from 'node:assert/strict';
import { foldLog } from '../../services/lib/realm.ts';
import type { Model } from './model.ts';
import { dump } from './model-checks.ts';

/** After quiet: all decided, all ended, nothing pending. */
export const rest = (model: Model): void => {
  model.settle();
  assert.deepEqual(model.checker.open(), [], 'every accepted command has ended');
  for (const { host } of model.workers) {
    const state = model.stateOf(host);
    assert.equal(state.intents.size, 0, 'every intent is reported');
    assert.equal(state.expired.size, 0);
    assert.equal(state.progress.size, 0);
    const pending = ['creating', 'joining', 'leaving', 'deleting', 'removing'];
    // A way out that is to be deleted waits for its last endpoint, which may be stuck.
    const networks = [...state.networks.values()].filter(({ facts }) => !facts.outlet);
    const rows = [...networks, ...state.endpoints.values(), ...state.sandboxes.values()];
    assert.deepEqual(
      rows.filter(({ status }) => pending.includes(status)).map(({ status, facts }) => `${facts.id} ${status}`),
      [],
      'nothing is under way',
    );
    const changing = [...state.networks.values(), ...state.endpoints.values()].filter(({ update }) => update !== null);
    assert.deepEqual(changing, [], 'no update is under way');
  }
  const { failed } = model.checker;
  const astray = [...model.astray()].filter(([id]) => !failed.has(id));
  assert.deepEqual(astray, [], 'a sandbox has a way out if it needs one, and only then');
  assert.deepEqual(model.checker.late(), [], 'what came too late is undone');
  assert.deepEqual(model.checker.impossible, []);
  const whole = dump(model.checker.realm);
  assert.deepEqual(dump(foldLog(model.log)), whole, 'folding twice gives the same state');
  for (const controller of model.controllers) {
    controller.fold(0);
    assert.deepEqual(dump(controller.realm), whole, 'whatever was tried on in between');
  }
};
