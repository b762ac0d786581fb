// Specifications of the keys of encrypted networks: counted, and nothing more.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drivers } from '../../drivers/registry.ts';
import { Command } from '../../events/commands.ts';
import { routeCommand } from '../../events/route.ts';
import { sharedState } from '../../events/state.ts';
import { given } from '../support/specification.ts';
import { World } from '../support/world.ts';

test('RotateTunnelKeys: every rotation is a generation of its own', () => {
  const { world, when } = given();
  assert.equal(world.state.shared.tunnelKeys.get('generation'), undefined);
  const [first] = when('RotateTunnelKeys', {}).records({ type: 'TunnelKeysRotated', data: { generation: 1 } });
  assert.deepEqual(first?.data, { generation: 1 });
  when('RotateTunnelKeys', {}).records({ type: 'TunnelKeysRotated', data: { generation: 2 } });
  assert.equal(world.state.shared.tunnelKeys.get('generation'), 2);
});

test('RotateTunnelKeys: is decided for all hosts, whichever the subject names', () => {
  const hosts = new Map([
    ['h1', new World().state],
    ['h2', new World().state],
  ]);
  const command = Command.parse({ id: 'mwppn7f2-rotate', type: 'RotateTunnelKeys', data: {} });
  for (const host of ['h1', null]) {
    const routed = routeCommand({ hosts, shared: sharedState(), drivers }, command, host);
    assert.deepEqual(routed, { ok: true, place: { kind: 'realm' } });
  }
  assert.throws(() => Command.parse({ ...command, data: { network: 'span' } }));
});
