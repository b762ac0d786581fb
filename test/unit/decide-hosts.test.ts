// Specifications of hosts as such: found to be away by a collector, and back with the next epoch.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drivers } from '../../drivers/registry.ts';
import { Command } from '../../events/commands.ts';
import { routeCommand } from '../../events/route.ts';
import { isLapsed, sharedState } from '../../events/state.ts';
import { given } from '../support/specification.ts';
import { hostFacts, World } from '../support/world.ts';

const since = '2026-11-21T01:09:24.001Z';
const lapse = { host: 'h1', epoch: 1, since };

test('LapseHost: a host that has stated nothing since is away', () => {
  const { world, when } = given();
  assert.equal(isLapsed(world.state), false);
  when('LapseHost', lapse).records({ type: 'HostLapsed', data: lapse });
  assert.equal(isLapsed(world.state), true);
});

test('LapseHost: one that is back, or known to be away, is left alone', () => {
  const { world, when } = given();
  when('LapseHost', { ...lapse, epoch: 0 }).refuses('HOST_ALIVE');
  when('LapseHost', { ...lapse, epoch: 2 }).refuses('HOST_ALIVE');
  world.run('LapseHost', lapse);
  when('LapseHost', lapse).refuses('HOST_ALIVE');
  world.report({ type: 'HostFacts', data: hostFacts('h1', { epoch: 2 }) }, null);
  assert.equal(isLapsed(world.state), false);
  when('LapseHost', lapse).refuses('HOST_ALIVE');
  when('LapseHost', { ...lapse, epoch: 2 }).records({ type: 'HostLapsed', data: { epoch: 2 } });
});

test('LapseHost: goes to the host that it names', () => {
  const hosts = new Map([
    ['h1', new World().state],
    ['h2', new World().state],
  ]);
  const command = Command.parse({ id: 'mwppn7f2-lapse/h2/1', type: 'LapseHost', data: { ...lapse, host: 'h2' } });
  assert.deepEqual(routeCommand({ hosts, shared: sharedState(), drivers }, command, null), {
    ok: true,
    place: { kind: 'host', host: 'h2' },
  });
});

const routed = (type: string, data: object, host: string | null = null) => {
  const fabric = { capabilities: {}, drivers: ['fabric'] };
  const hosts = new Map([
    ['h1', new World().state],
    ['fab-1', new World({ facts: fabric }).state],
  ]);
  const command = Command.parse({ id: 'mwppn7f2-x', type, data });
  const answer = routeCommand({ hosts, shared: sharedState(), drivers }, command, host);
  if (!answer.ok) return answer.code;
  return answer.place.kind === 'host' ? answer.place.host : answer.place.kind;
};

test('CreateNetwork: goes to the only host that carries out its driver, beside hosts that cannot', () => {
  assert.equal(routed('CreateNetwork', { name: 'n' }), 'h1');
  assert.equal(routed('CreateNetwork', { name: 'n', driver: 'fabric' }), 'fab-1');
  assert.equal(routed('ConfigureDriver', { driver: 'fabric', options: {} }), 'fab-1');
  // every host could, or none
  assert.equal(routed('CreateNetwork', { name: 'n', driver: 'host' }), 'HOST_REQUIRED');
  assert.equal(routed('CreateNetwork', { name: 'n', driver: 'weave' }), 'HOST_REQUIRED');
  assert.equal(routed('PruneNetworks', {}), 'HOST_REQUIRED');
  // what is said of the log is said to no host
  for (const named of [null, 'h1', 'h9'])
    assert.equal(routed('RetryParked', { position: 1, index: 0 }, named), 'realm');
  // what is for all hosts is so whichever one it is asked for from
  assert.equal(routed('CreateNetwork', { name: 'n', driver: 'overlay' }), 'realm');
  assert.equal(routed('CreateNetwork', { name: 'n', driver: 'overlay' }, 'fab-1'), 'realm');
  assert.equal(routed('CreateNetwork', { name: 'n', driver: 'overlay' }, 'h9'), 'HOST_NOT_FOUND');
  assert.equal(routed('RotateTunnelKeys', {}, 'h9'), 'HOST_NOT_FOUND');
  // who names a host means it
  assert.equal(routed('CreateNetwork', { name: 'n', driver: 'fabric' }, 'h1'), 'h1');
});
