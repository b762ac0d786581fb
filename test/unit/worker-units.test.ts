/** Which intents a worker executes together. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openUnits, type Unit } from '../../services/worker/units.ts';
import { World } from '../support/world.ts';

/** Types of the intents of each unit. */
const shape = (units: readonly Unit[]): readonly string[] =>
  units.map(({ intents }) => intents.map(({ type }) => type.replace(/Requested$/, '')).join(' '));
const withNetworks = (...names: string[]): World => {
  const world = new World();
  for (const name of names) world.run('CreateNetwork', { name });
  world.succeed();
  return world;
};

describe('units', () => {
  it('are the intents of a command', () => {
    const world = withNetworks('a', 'b');
    world.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a' }, { network: 'b' }] });
    world.run('DetachSandbox', { sandbox: 'box' });
    assert.deepEqual(shape(openUnits(world.state)), [
      'EndpointCreate EndpointJoin EndpointCreate EndpointJoin',
      'EndpointLeave EndpointDelete EndpointLeave EndpointDelete',
    ]);
  });

  it('know that their deadline has passed', () => {
    const world = withNetworks('a');
    const id = 'mhx3k2p1-late';
    world.run('CreateEndpoint', { network: 'a', name: 'e' }, { id, deadlineMs: 1 });
    world.nowMs += 2;
    world.run('ExpireCommand', { actor: 'alice', commandId: id });
    assert.deepEqual(
      openUnits(world.state).map(({ expired }) => expired),
      [true],
    );
  });
});
