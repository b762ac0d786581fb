// Specifications of cancelling: whose commands, which of them, what becomes of what they wanted.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drivers } from '../../drivers/registry.ts';
import { Command, type CommandInput } from '../../events/commands.ts';
import { routeCommand } from '../../events/route.ts';
import { sharedState } from '../../events/state.ts';
import { did, endpoint, given, joined, later, left, network, reported, type Step } from '../support/specification.ts';
import { fault, World } from '../support/world.ts';

const web = network('web');
const attach = did('AttachSandbox', { sandbox: 's1', networks: [{ network: 'web' }] });
/** The command that is under way. */
const running = (world: World): CommandInput<'CancelCommand'> => {
  const [record] = world.state.progress.values();
  return { commandId: record?.commandid ?? assert.fail('nothing is under way') };
};

test('CancelCommand: ends a command, says why, and names what is to be taken back', () => {
  const { world, when } = given(web, reported, attach);
  const intents = [...world.state.intents.keys()];
  when('CancelCommand', { ...running(world), reason: 'typo' }).records({
    type: 'CommandCancelled',
    data: { ...running(world), actor: 'alice', command: 'AttachSandbox', intents, reason: 'typo' },
  });
  assert.equal(world.state.progress.size, 0);
  assert.deepEqual(
    [...world.state.expired],
    intents.map((id) => [id, 'cancelled']),
    'to be undone',
  );
  world.fail('EndpointCreateRequested', fault('CANCELLED'));
  world.fail('EndpointJoinRequested', fault('CANCELLED'));
  const { expired, endpoints, sandboxes, intents: open } = world.state;
  assert.equal(open.size + expired.size + endpoints.size + sandboxes.size, 0);
});

test('CancelCommand: only who sent a command cancels it, whatever others know of its id', () => {
  const { world, when } = given(web);
  when('CancelCommand', running(world), { actor: 'mallory' }).refuses('COMMAND_NOT_FOUND', { kind: 'command' });
  when('CancelCommand', running(world)).records({ type: 'CommandCancelled' });
});

/** How each command has ended, as the refusal says it. */
const ways: Readonly<Record<string, Step>> = {
  succeeded: (world) => world.succeed(),
  failed: (world) => world.fail('NetworkCreateRequested'),
  cancelled: (world) => void world.run('CancelCommand', running(world)),
  'timed-out': (world) => {
    world.nowMs += 60_000;
    world.run('ExpireCommand', { actor: 'alice', ...running(world) }, { actor: 'collector' });
  },
};
for (const [how, end] of Object.entries(ways)) {
  test(`CancelCommand: one that has ${how} is refused, and says so`, () => {
    const { world, when } = given(web);
    const command = running(world);
    end(world);
    const [culprit] = when('CancelCommand', command).refuses('COMMAND_ENDED', { kind: 'command' });
    assert.match(culprit?.detail ?? '', new RegExp(`^${how}, position \\d+$`));
  });
}

test('CancelCommand: what is only to be removed is removed', () => {
  const ref = { network: 'web', endpoint: 'a' };
  const made = [web, endpoint('web', 'a'), reported];
  for (const steps of [
    [...made, did('DeleteEndpoint', ref)],
    [...made, joined('web', 'a', 's1'), reported, left('web', 'a')],
    [web, reported, did('DeleteNetwork', { network: 'web' })],
    [web, reported, attach, reported, did('DetachSandbox', { sandbox: 's1' })],
  ]) {
    const { world, when } = given(...steps);
    when('CancelCommand', running(world)).refuses('COMMAND_REMOVES', { kind: 'command' });
    world.succeed();
    assert.equal(world.state.progress.size, 0);
  }
});

test('CancelCommand: a move is taken back as a whole', () => {
  const move = did('MoveSandbox', { sandbox: 's1', from: 'web', to: { network: 'db' } });
  const { world, when } = given(web, network('db'), reported, attach, reported, move);
  when('CancelCommand', running(world)).records({ type: 'CommandCancelled' });
  assert.equal(world.state.expired.size, 4);
  const problem = fault('CANCELLED');
  for (const intent of [...world.state.intents.values()]) world.fail(intent.type, problem);
  const [sandbox] = world.state.sandboxes.values();
  assert.deepEqual(sandbox?.members, [world.endpoint('s1').facts.id]);
  assert.equal(world.endpoint('s1').status, 'joined');
  assert.equal(world.state.intents.size, 0);
});

test('a leave, a detach and a delete while a join is under way: the first two follow on it, the last waits for one of them', () => {
  const pending = [web, endpoint('web', 'a'), reported, joined('web', 'a', 's1')];
  const ref = { network: 'web', endpoint: 'a' };
  given(...pending)
    .when('DeleteEndpoint', ref)
    .refuses('ENDPOINT_JOINED', { name: 'a' });
  for (const end of [left('web', 'a'), did('DetachSandbox', { sandbox: 's1' })]) {
    const { world } = given(...pending, end, did('DeleteEndpoint', ref));
    assert.deepEqual(
      [...world.state.intents.values()].map(({ type }) => type),
      ['EndpointJoinRequested', 'EndpointLeaveRequested', 'EndpointDeleteRequested'],
    );
    world.succeed();
    assert.equal(world.state.endpoints.size + world.state.sandboxes.size, 0);
  }
  // The same where the join is cancelled behind the leave: it never was, and what follows has nothing to do.
  const { world } = given(...pending, left('web', 'a'));
  world.run('CancelCommand', running(world));
  world.fail('EndpointJoinRequested', fault('CANCELLED'));
  world.succeed();
  assert.equal(world.endpoint('a').status, 'created');
  assert.equal(world.state.sandboxes.size, 0);
});

test('CancelCommand: goes where the command was decided, whichever host its sender names', () => {
  const [one, two] = [new World(), new World()];
  two.run('CreateNetwork', { name: 'web' });
  const hosts = new Map([
    ['h1', one.state],
    ['h2', two.state],
  ]);
  const places = { hosts, shared: sharedState(), drivers };
  const place = (data: object, host: string | null, actor = 'alice') => {
    const command = Command.parse({ id: 'mwppn7f2-x', type: 'CancelCommand', data });
    const routed = routeCommand(places, command, host, actor);
    return routed.ok ? routed.place : routed.code;
  };
  assert.deepEqual(place(running(two), null), { kind: 'host', host: 'h2' });
  assert.deepEqual(place(running(two), 'h1'), { kind: 'host', host: 'h2' });
  assert.deepEqual(place(running(two), null, 'bob'), { kind: 'realm' });
  assert.equal(place(running(two), 'h9'), 'HOST_NOT_FOUND');
});

test('a deadline that passes behind a cancellation says nothing more', () => {
  const { world, when } = given(web, later(1));
  const command = running(world);
  world.run('CancelCommand', command);
  world.nowMs += 60_000;
  when('ExpireCommand', { actor: 'alice', ...command }, { actor: 'collector' }).refuses('COMMAND_ENDED');
});
