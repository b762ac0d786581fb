// Specifications of what collectors ask for, garbage in two steps and deadlines; how ids are remembered; where commands are decided.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drivers } from '../../drivers/registry.ts';
import { Command, type CommandInput, type CommandType } from '../../events/commands.ts';
import { checkId } from '../../events/deciders/upkeep.ts';
import type { Fact } from '../../events/events.ts';
import { forget } from '../../events/evolve.ts';
import { gcPeriods } from '../../events/garbage.ts';
import { commandId, memoryMsMost } from '../../events/names.ts';
import { type Hosts, routeCommand } from '../../events/route.ts';
import { sharedState } from '../../events/state.ts';
import {
  did,
  endpoint,
  failed,
  given,
  givenIn,
  joined,
  later,
  left,
  network,
  reported,
  type Step,
} from '../support/specification.ts';
import { startMs, World } from '../support/world.ts';

const web = network('web');
const leftA: readonly Step[] = [web, endpoint('web', 'a'), joined('web', 'a', 's1'), left('web', 'a'), reported];
const due = later(gcPeriods.leftMs);
const suspected: Step = (world) => void world.run('SuspectEndpoint', at(world));
const at = (world: World, name = 'a') => {
  const { facts, generation } = world.endpoint(name);
  return { endpointId: facts.id, generation };
};
const givenAt = (...steps: readonly Step[]) => {
  const { world, when } = given(...steps);
  return (type: 'SuspectEndpoint' | 'CollectEndpoint', changes: object = {}) =>
    when(type, { ...at(world), ...changes });
};

// ---------------------------------------------------------------- garbage

test('SuspectEndpoint: an endpoint that left its sandbox, when its period is over', () => {
  const since = new Date(startMs).toISOString();
  givenAt(
    ...leftA,
    due,
  )('SuspectEndpoint').records({
    type: 'EndpointSuspected',
    data: { name: 'a', since, lastSandbox: 's1', reason: 'left its last sandbox' },
  });
  givenAt(...leftA, later(gcPeriods.leftMs - 1))('SuspectEndpoint').refuses('NOT_GARBAGE', { name: 'a' });
});

test('SuspectEndpoint: the period runs from the leave, however long it was there before', () => {
  const stay = [web, endpoint('web', 'a'), later(60_000), joined('web', 'a', 's1'), reported, later(3_600_000)];
  const steps = [...stay, left('web', 'a'), reported];
  givenAt(...steps)('SuspectEndpoint').refuses('NOT_GARBAGE', { name: 'a' });
  givenAt(...steps, later(gcPeriods.leftMs - 1))('SuspectEndpoint').refuses('NOT_GARBAGE', { name: 'a' });
  givenAt(
    ...steps,
    due,
  )('SuspectEndpoint').records({
    type: 'EndpointSuspected',
    data: { since: new Date(startMs + 3_660_000).toISOString() },
  });
});

test('SuspectEndpoint: one that never joined has longer; a failed join is none', () => {
  const created = [web, endpoint('web', 'a'), reported];
  const reason = 'never joined a sandbox';
  givenAt(...created, due)('SuspectEndpoint').refuses('NOT_GARBAGE', { name: 'a' });
  givenAt(
    ...created,
    later(gcPeriods.neverJoinedMs),
  )('SuspectEndpoint').records({
    type: 'EndpointSuspected',
    data: { reason, lastSandbox: null },
  });
  givenAt(
    ...created,
    joined('web', 'a', 's1'),
    failed('EndpointJoinRequested'),
    due,
  )('SuspectEndpoint').refuses('NOT_GARBAGE');
});

test('SuspectEndpoint: whose setting counts', () => {
  const periods = (own: 'off' | number | undefined, of: 'off' | number | undefined, ipv4?: string) => {
    const gc = own === undefined ? {} : { gc: own };
    const interfaces = ipv4 === undefined ? [] : [{ ipv4 }];
    const steps = [
      network('web', of === undefined ? {} : { gc: of }),
      endpoint('web', 'a', { ...gc, interfaces }),
      reported,
    ];
    return givenAt(...steps, later(40 * gcPeriods.neverJoinedMs))('SuspectEndpoint');
  };
  periods('off', 1_000).refuses('NOT_GARBAGE');
  periods(undefined, 'off').refuses('NOT_GARBAGE');
  periods(undefined, 1_000, '10.200.0.9').refuses('NOT_GARBAGE');
  for (const verdict of [periods(1_000, 'off'), periods(undefined, 1_000), periods(1_000, 'off', '10.200.0.9')])
    verdict.records({ type: 'EndpointSuspected' });
});

test('SuspectEndpoint: only what nobody uses and nothing is under way for', () => {
  const endless = later(400 * gcPeriods.neverJoinedMs);
  const create = [web, endpoint('web', 'a')];
  const ways: readonly (readonly Step[])[] = [
    create,
    [...create, joined('web', 'a', 's1')],
    [...create, joined('web', 'a', 's1'), reported],
    [...create, joined('web', 'a', 's1'), reported, left('web', 'a')],
    [...create, reported, did('DeleteEndpoint', { network: 'web', endpoint: 'a' })],
  ];
  for (const steps of ways) givenAt(...steps, endless)('SuspectEndpoint').refuses('NOT_GARBAGE', { name: 'a' });
});

test('SuspectEndpoint: not for what has changed since, is gone, or is suspected already', () => {
  givenAt(...leftA, due)('SuspectEndpoint', { generation: 1 }).refuses('NOT_GARBAGE', { name: 'a' });
  const endpointId = 'nothing00001';
  givenAt(...leftA, due)('SuspectEndpoint', { endpointId }).refuses('ENDPOINT_NOT_FOUND', { id: endpointId });
  givenAt(...leftA, due, suspected)('SuspectEndpoint').refuses('NOT_GARBAGE', { name: 'a' });
});

test('CollectEndpoint: a suspected endpoint that nothing has happened to', () => {
  givenAt(
    ...leftA,
    due,
    suspected,
  )('CollectEndpoint').records({
    type: 'EndpointDeleteRequested',
    data: { name: 'a', cause: 'garbage', garbage: { lastSandbox: 's1', reason: 'left its last sandbox' } },
  });
});

test('CollectEndpoint: never in one step', () => {
  givenAt(...leftA, due)('CollectEndpoint').refuses('NOT_GARBAGE', { name: 'a' });
});

test('CollectEndpoint: a join, or a whole stay, in between wins', () => {
  const { world } = given(...leftA, due, suspected);
  const before = at(world);
  world.run('JoinEndpoint', { network: 'web', endpoint: 'a', sandbox: 's2' });
  const refused = (what: string) => {
    const decision = world.decide('CollectEndpoint', before);
    assert.ok(!decision.ok && decision.code === 'NOT_GARBAGE', what);
  };
  refused('joining');
  world.succeed();
  refused('joined');
  world.run('LeaveEndpoint', { network: 'web', endpoint: 'a' });
  refused('leaving');
  world.succeed();
  world.nowMs += gcPeriods.leftMs;
  refused('left again');
  assert.ok(!world.decide('CollectEndpoint', at(world)).ok, 'it must be suspected anew');
  assert.ok(world.decide('SuspectEndpoint', at(world)).ok);
});

test('CollectEndpoint: an update in between wins, and so does its end', () => {
  const { world } = given(...leftA, due);
  world.run('UpdateEndpoint', { network: 'web', endpoint: 'a', gatewayPriority: 2 });
  for (const what of ['asked for', 'done']) {
    world.run('SuspectEndpoint', at(world));
    const before = at(world);
    if (what === 'asked for') world.run('UpdateEndpoint', { network: 'web', endpoint: 'a', gatewayPriority: 3 });
    else world.succeed();
    const decision = world.decide('CollectEndpoint', before);
    assert.ok(!decision.ok && decision.code === 'NOT_GARBAGE', what);
  }
});

test('CollectEndpoint: a collected endpoint is being deleted, and a join comes too late', () => {
  const collected: Step = (world) => void world.run('CollectEndpoint', at(world));
  given(...leftA, due, suspected, collected)
    .when('JoinEndpoint', { network: 'web', endpoint: 'a', sandbox: 's2' })
    .refuses('ENDPOINT_NOT_FOUND', { id: 'a' });
  const { world } = given(...leftA, due, suspected, collected, reported);
  assert.equal(world.state.endpoints.size, 0);
});

// ---------------------------------------------------------------- deadlines

const running = (world: World) => {
  const [record] = world.state.progress.values();
  return { actor: record?.actor ?? '', commandId: record?.commandid ?? '' };
};

test('ExpireCommand: ends a command whose deadline has passed, and names what is open', () => {
  const attach = did('AttachSandbox', { sandbox: 's1', networks: [{ network: 'web' }] });
  const { world, when } = given(web, reported, attach, later(30_000));
  const intents = [...world.state.intents.keys()];
  assert.equal(intents.length, 2);
  when('ExpireCommand', running(world)).records({
    type: 'CommandTimedOut',
    data: { ...running(world), command: 'AttachSandbox', intents },
  });
  assert.equal(world.state.progress.size, 0);
  assert.deepEqual([...world.state.expired.keys()], intents, 'to be undone');
  world.fail('EndpointCreateRequested');
  world.fail('EndpointJoinRequested');
  const { expired, endpoints, sandboxes } = world.state;
  assert.equal(world.state.intents.size + expired.size + endpoints.size + sandboxes.size, 0);
});

test('ExpireCommand: not before the deadline, and not what has ended', () => {
  const { world, when } = given(web, later(29_999));
  const command = running(world);
  when('ExpireCommand', command).refuses('DEADLINE_NOT_PASSED', { kind: 'command' });
  given(web, reported, later(30_000)).when('ExpireCommand', command).refuses('COMMAND_ENDED', { kind: 'command' });
  given()
    .when('ExpireCommand', { actor: 'x', commandId: commandId(startMs, 'y') })
    .refuses('COMMAND_ENDED');
});

const expire = (world: World): void => {
  world.nowMs += 60_000;
  world.run('ExpireCommand', running(world), { actor: 'collector' });
};

test('ExpireCommand: what is done too late stays open until it is reported as undone', () => {
  const { world } = given(web, reported, endpoint('web', 'a'));
  const [intent] = world.state.intents.values();
  assert.ok(intent);
  expire(world);
  world.succeed();
  assert.equal(world.endpoint('a').status, 'created');
  assert.deepEqual([...world.state.intents.keys()], [intent.meta.id]);
  world.run('JoinEndpoint', { network: 'web', endpoint: 'a', sandbox: 's1' });
  world.fail('EndpointCreateRequested');
  assert.equal(world.state.endpoints.size + world.state.sandboxes.size, 0);
  world.fail('EndpointJoinRequested');
  assert.equal(world.state.intents.size + world.state.expired.size, 0);
});

test('ExpireCommand: a removal is finished all the same', () => {
  const { world } = given(
    web,
    endpoint('web', 'a'),
    reported,
    did('DeleteEndpoint', { network: 'web', endpoint: 'a' }),
  );
  expire(world);
  assert.equal(world.state.expired.size, 0);
  world.succeed();
  assert.equal(world.state.endpoints.size, 0);
});

// ---------------------------------------------------------------- ids

test('ids are refused when they are too old to be remembered, or from the future', () => {
  const check = (mintedMs: number) => checkId(commandId(mintedMs, 'x'), startMs, memoryMsMost)?.code ?? null;
  assert.equal(check(startMs), null);
  assert.equal(check(startMs - memoryMsMost), null);
  assert.equal(check(startMs - memoryMsMost - 1), 'COMMAND_TOO_OLD');
  assert.equal(check(startMs + 5 * 60_000), null);
  assert.equal(check(startMs + 5 * 60_000 + 1), 'COMMAND_FROM_FUTURE');
});

test('an id is remembered as long as it may be asked for again, whenever it says that it was minted', () => {
  const world = new World();
  const ids = [startMs, startMs + 5 * 60_000, startMs - memoryMsMost + 1, 4_000_000_000_000, 1].map((ms) =>
    commandId(ms, 'x'),
  );
  for (const id of ids) world.record(refusal, { type: 'X', id });
  forget(world.state, startMs + memoryMsMost + 5 * 60_000);
  assert.equal(world.state.commands.size, ids.length, 'none is forgotten before its time');
  forget(world.state, startMs + memoryMsMost + 5 * 60_000 + 1);
  assert.equal(world.state.commands.size, 0, 'and none keeps the others from being forgotten');
});

const refusal: Fact = { type: 'CommandRefused', data: { command: 'X', code: 'Y', detail: 'z', culprits: [] } };

// ---------------------------------------------------------------- routes

const hosts = (worlds: Readonly<Record<string, World>>): Hosts =>
  new Map(Object.entries(worlds).map(([name, world]) => [name, world.state]));
const route = <T extends CommandType>(
  known: Hosts,
  type: T,
  data: CommandInput<T>,
  subjectHost: string | null = null,
) => {
  const places = { hosts: known, shared: sharedState(), drivers };
  const routed = routeCommand(places, Command.parse({ id: commandId(startMs, 'x'), type, data }), subjectHost);
  if (routed.ok) return routed.place.kind === 'host' ? routed.place.host : routed.place;
  return { code: routed.code, culprits: routed.culprits.map(({ id }) => id) };
};

test('a command goes to the host that it names', () => {
  const two = hosts({ h1: new World(), h2: new World() });
  assert.equal(route(two, 'CreateNetwork', { name: 'web' }, 'h2'), 'h2');
  assert.equal(route(two, 'DeleteNetwork', { network: 'h2/web' }), 'h2');
  assert.deepEqual(route(two, 'CreateNetwork', { name: 'web' }, 'h3'), { code: 'HOST_NOT_FOUND', culprits: ['h3'] });
  assert.deepEqual(route(two, 'DeleteNetwork', { network: 'h3/web' }), { code: 'HOST_NOT_FOUND', culprits: ['h3'] });
});

test('else to the host of its network, sandbox, endpoint or command; a name on two hosts is refused with both', () => {
  const [one, two] = [
    given(web, endpoint('web', 'a'), joined('web', 'a', 's1')).world,
    givenIn({ serial: 1_000 }, network('db')).world,
  ];
  const both = hosts({ h1: one, h2: two });
  assert.equal(route(both, 'DeleteNetwork', { network: 'WEB' }), 'h1');
  assert.equal(route(both, 'CreateEndpoint', { network: 'db', name: 'x' }), 'h2');
  assert.equal(route(both, 'AttachSandbox', { sandbox: 's9', networks: [{ network: 'db' }] }), 'h2');
  assert.equal(route(both, 'DetachSandbox', { sandbox: 's1' }), 'h1');
  assert.equal(route(both, 'CollectEndpoint', { endpointId: one.endpoint('a').facts.id, generation: 1 }), 'h1');
  assert.equal(route(both, 'ExpireCommand', running(two)), 'h2');
  const ambiguous = { code: 'NETWORK_AMBIGUOUS', culprits: ['h1', 'h2'] };
  two.run('CreateNetwork', { name: 'Web' });
  assert.deepEqual(route(both, 'DeleteNetwork', { network: 'web' }), ambiguous);
  assert.equal(route(both, 'DeleteNetwork', { network: one.network('web').facts.id }), 'h1');
  // A sandbox has no host in front of its name: `--host` says which one.
  for (const step of [endpoint('db', 'b'), joined('db', 'b', 's1')]) step(two);
  assert.deepEqual(route(both, 'DetachSandbox', { sandbox: 's1' }), { ...ambiguous, code: 'HOST_REQUIRED' });
});

test('else to the only host; where there are several, one must be named; where there is none, that is the reason', () => {
  const one = hosts({ h1: new World() });
  assert.equal(route(one, 'CreateNetwork', { name: 'web' }), 'h1');
  assert.equal(route(one, 'DeleteNetwork', { network: 'web' }), 'h1', 'so that the refusal stands in its log');
  const two = hosts({ h1: new World(), h2: new World() });
  const required = { code: 'HOST_REQUIRED', culprits: ['h1', 'h2'] };
  assert.deepEqual(route(two, 'CreateNetwork', { name: 'web' }), required);
  assert.deepEqual(route(two, 'ConfigureDriver', { driver: 'bridge', options: {} }), required);
  const missing = (code: string, id: string) => ({ code, culprits: [id] });
  assert.deepEqual(route(two, 'DetachSandbox', { sandbox: 's1' }), missing('SANDBOX_NOT_FOUND', 's1'));
  assert.deepEqual(route(two, 'MoveSandbox', { sandbox: 's1', from: 'web', to: { network: 'db' } }), {
    ...missing('NETWORK_NOT_FOUND', 'web'),
  });
  assert.deepEqual(route(two, 'DeleteNetwork', { network: 'web' }), missing('NETWORK_NOT_FOUND', 'web'));
  assert.deepEqual(route(new Map(), 'CreateNetwork', { name: 'web' }), { code: 'HOST_NOT_FOUND', culprits: [] });
});
