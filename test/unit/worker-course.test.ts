/** What executing a unit, or taking it back, comes to: who returns to a sandbox, and when it ends. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { drivers } from '../../drivers/registry.ts';
import type { Event } from '../../events/envelope.ts';
import { courseOf, operationsOf, takeBack } from '../../services/worker/course.ts';
import type { Scene } from '../../services/worker/inmates.ts';
import { Present } from '../../services/worker/present.ts';
import { failedReports } from '../../services/worker/reports.ts';
import { openUnits } from '../../services/worker/units.ts';
import { hostServers } from '../support/system.ts';
import { fault, World } from '../support/world.ts';

const scene = (world: World, present = new Present()): Scene => ({
  state: world.state,
  deployment: { host: { realm: 'test', host: world.host }, drivers, resolvConf: hostServers.config },
  present,
});

/** All that is open is executed and reported. */
const execute = (world: World, present: Present): void => {
  for (const unit of openUnits(world.state))
    present.apply(operationsOf(courseOf(scene(world, present), unit), present));
  world.succeed();
};

/** The only open unit is taken back, and the worker reports it. It has announced no sandbox. */
const failMove = (world: World) => {
  const [unit, ...others] = openUnits(world.state);
  assert.ok(unit && others.length === 0);
  const course = takeBack(scene(world), unit);
  const reports = failedReports(unit, fault(), course, new Set());
  for (const { fact, intent } of reports) world.report(fact, intent as Event);
  return { course, types: reports.map(({ fact }) => fact.type) };
};

describe('a move that is taken back', () => {
  /** An endpoint `x` is to join a sandbox, and is moved before that is known to have failed. */
  const moved = (...first: readonly string[]): World => {
    const world = new World();
    for (const name of ['a', 'b', 'c']) world.run('CreateNetwork', { name });
    if (first.length > 0) world.run('AttachSandbox', { sandbox: 's', networks: first.map((network) => ({ network })) });
    world.run('CreateEndpoint', { network: 'b', name: 'x', ports: [{ hostPort: 80, port: 80 }] });
    world.succeed();
    world.run('JoinEndpoint', { network: 'b', endpoint: 'x', sandbox: 's' });
    world.run('MoveSandbox', { sandbox: 's', from: 'b', to: { network: 'c' } });
    return world;
  };

  it('brings back who was in the sandbox', () => {
    const world = moved('a');
    const join = [...world.state.intents.values()].find(({ type }) => type === 'EndpointJoinRequested');
    world.succeedOne(join ?? assert.fail('no join'));
    const { course, types } = failMove(world);
    assert.deepEqual([...course.returned], [world.endpoint('x').facts.id]);
    assert.deepEqual(types, ['EndpointCreateFailed', 'EndpointJoinFailed', 'EndpointLeaveReverted']);
    assert.equal(world.endpoint('x').status, 'joined');
  });

  it('brings nobody back whose join had failed', () => {
    const world = moved('a');
    world.fail('EndpointJoinRequested');
    const { course, types } = failMove(world);
    assert.equal(course.returned.size, 0);
    assert.deepEqual(
      [...course.effects, course.remainder]
        .flatMap(({ ensure }) => ensure)
        .filter(({ tag }) => tag.entity === 'endpoint'),
      [],
    );
    assert.deepEqual(types, ['EndpointCreateFailed', 'EndpointJoinFailed', 'EndpointLeft']);
    assert.equal(world.endpoint('x').status, 'created');
    assert.equal([...world.state.sandboxes.values()][0]?.status, 'ready');
  });

  it('ends a sandbox that nobody is in, which was never reported as made', () => {
    const world = moved();
    world.fail('EndpointJoinRequested');
    const { course, types } = failMove(world);
    assert.equal(course.ended?.id, 's');
    assert.deepEqual(types, ['EndpointCreateFailed', 'EndpointJoinFailed', 'EndpointLeft', 'SandboxRemoved']);
    assert.equal(world.endpoint('x').status, 'created');
    assert.equal(world.state.sandboxes.size + world.state.intents.size, 0);
  });
});

describe('a unit that was decided before another had failed', () => {
  it('leads the published ports to whoever carries the default routes now', () => {
    const world = new World();
    for (const name of ['a', 'b', 'c']) world.run('CreateNetwork', { name });
    world.run('AttachSandbox', { sandbox: 's', networks: [{ network: 'a' }, { network: 'b' }] });
    const ports = [{ hostPort: 80, port: 80 }];
    world.run('CreateEndpoint', { network: 'c', name: 's', gatewayPriority: -1, ports });
    const present = new Present();
    execute(world, present);
    const addressOn = (network: string): string | undefined => {
      const { id } = world.network(network).facts;
      return [...world.state.endpoints.values()].find(({ facts }) => facts.networkId === id)?.facts.ipv4?.split('/')[0];
    };
    const leadsTo = (): readonly unknown[] => {
      const join = openUnits(world.state).find(({ intents }) => intents[0]?.type === 'EndpointJoinRequested');
      const { ensure } = courseOf(scene(world, present), join ?? assert.fail('no join')).remainder;
      return ensure.flatMap((object) =>
        object.kind === 'element' && object.set === 'dnat4ip' ? [object.data[0]] : [],
      );
    };
    world.run('UpdateEndpoint', { network: 'b', endpoint: 's', gatewayPriority: 5, disrupt: true });
    world.run('JoinEndpoint', { network: 'c', endpoint: 's', sandbox: 's' });
    assert.deepEqual(leadsTo(), [addressOn('b')], 'as long as the change may succeed');
    world.fail('EndpointUpdateRequested');
    assert.deepEqual(leadsTo(), [addressOn('a')]);
  });
});
