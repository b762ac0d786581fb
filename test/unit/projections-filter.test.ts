// Filters over rows and over recorded events.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decisionTypes, type EventType } from '../../events/events.ts';
import { subjects } from '../../events/names.ts';
import type { ViewName } from '../../events/queries.ts';
import { createMatcher, type EventFilter, emptyMemory } from '../../projections/event-filter.ts';
import { formatPosition, isBehind, parsePosition } from '../../projections/event-position.ts';
import { type Filter, selectRows, unknownNames } from '../../projections/filter.ts';
import { applyCommit, createViews } from '../../projections/views.ts';
import { did, endpoint, joined, left, network, reported } from '../support/specification.ts';
import { World } from '../support/world.ts';

const decisions: ReadonlySet<EventType> = new Set(decisionTypes);

const world = new World();
const subnets = [{ subnet: '10.9.0.0/24' }];
for (const step of [
  network('Web', { ipam: { subnets } }),
  network('db'),
  endpoint('Web', 'a', { interfaces: [{ ipv4: '10.9.0.7' }], aliases: ['front', 'www'] }),
  endpoint('Web', 'b'),
  endpoint('db', 'a'),
  joined('Web', 'a', 's1'),
  joined('db', 'a', 's1'),
  reported,
]) {
  step(world);
}
const views = createViews();
for (const [index, event] of world.log.entries()) {
  const subject = decisions.has(event.type) ? subjects.host('h1') : subjects.outcome('h1');
  applyCommit(views, subject, index + 1, [event]);
}
const found = (view: ViewName, filter: Filter): readonly (readonly [string, object])[] => [
  ...selectRows(views, view, filter),
];
const count = (view: ViewName, filter: Filter): number => found(view, filter).length;

test('a network is meant by its name in any case, by HOST/NAME or by its id, in every view', () => {
  const { id } = world.network('Web').facts;
  for (const wanted of ['web', 'h1/WEB', id, `h1/${id}`]) {
    assert.equal(count('networks', { network: wanted }), 1, wanted);
    assert.equal(count('endpoints', { network: wanted }), 2, wanted);
    assert.equal(count('addresses', { network: wanted }), 3, wanted);
    assert.equal(count('sandboxes', { network: wanted }), 1, wanted);
    assert.equal(count('commands', { network: wanted }), 4, wanted);
    assert.equal(count('garbage', { network: wanted }), 1, wanted);
  }
  assert.equal(count('endpoints', { network: 'h2/web' }), 0);
});

test('fields are compared as text: null is empty, of a list any item, of several names all', () => {
  assert.equal(count('endpoints', { sandbox: '' }), 1);
  assert.equal(count('endpoints', { sandbox: 's1' }), 2);
  assert.equal(count('endpoints', { aliases: 'www' }), 1);
  assert.equal(count('endpoints', { static: 'true' }), 1);
  assert.equal(count('endpoints', { address: '10.9.0.7', host: 'h1' }), 1);
  assert.equal(count('endpoints', { endpoint: 'A', network: 'db', status: 'joined' }), 1);
  assert.equal(count('commands', { status: 'accepted' }), 0);
});

test('a filter that names the key is answered by that row, if it passes the rest', () => {
  const { id } = world.endpoint('b').facts;
  assert.deepEqual(
    found('endpoints', { id }).map(([key]) => key),
    [id],
  );
  assert.equal(count('endpoints', { id, status: 'joined' }), 0);
  assert.equal(count('endpoints', { id: 'nosuchthing0' }), 0);
  const [[, command] = ['', {}]] = found('commands', { command: 'CreateNetwork' });
  const { actor, commandid } = command as { readonly actor: string; readonly commandid: string };
  assert.equal(count('commands', { actor, commandid }), 1);
  assert.equal(count('commands', { commandid }), 1);
});

test('names that a view does not know are told', () => {
  assert.deepEqual(unknownNames('hosts', { network: 'web', host: 'h1', nonsense: '1' }), ['network', 'nonsense']);
  assert.deepEqual(unknownNames('endpoints', { network: 'web', address: '10.0.0.1' }), []);
});

const typesOf = (filter: EventFilter): readonly string[] => {
  const matches = createMatcher(filter, emptyMemory());
  return world.log.filter((event) => matches(event, 'h1')).map(({ type }) => type);
};

test('events of a network are found by its name, though those of its endpoints name it by id alone', () => {
  const types = typesOf({ network: 'WEB' });
  assert.equal(types.filter((type) => type === 'EndpointCreateRequested').length, 2);
  assert.equal(types.filter((type) => type === 'NetworkCreated').length, 1);
  assert.deepEqual(typesOf({ network: 'h2/web' }), []);
});

test('events of an address are those that name it and all that happens to its holder', () => {
  const before = world.log.length;
  left('Web', 'a')(world);
  reported(world);
  did('DeleteEndpoint', { network: 'Web', endpoint: 'a' })(world);
  reported(world);
  endpoint('Web', 'c')(world);
  const types = typesOf({ address: '10.9.0.7' });
  assert.deepEqual(types.slice(0, 2), ['EndpointCreateRequested', 'EndpointJoinRequested']);
  assert.deepEqual(types.slice(-4), [
    'EndpointLeaveRequested',
    'EndpointLeft',
    'EndpointDeleteRequested',
    'EndpointDeleted',
  ]);
  assert.deepEqual(typesOf({ address: '10.9.0.1' }), ['NetworkCreateRequested']);
  world.log.length = before;
});

test('events of a sandbox, an endpoint, a command, a correlation, an actor, a type', () => {
  assert.deepEqual(typesOf({ sandbox: 's1' }).toSorted(), [
    ...['EndpointJoinRequested', 'EndpointJoinRequested', 'EndpointJoined', 'EndpointJoined', 'SandboxCreated'],
  ]);
  assert.equal(typesOf({ endpoint: 'B' }).length, 2);
  const commandid = world.log.find(({ type }) => type === 'NetworkCreateRequested')?.meta.commandid ?? '';
  assert.deepEqual(typesOf({ commandid }), ['NetworkCreateRequested', 'NetworkCreated']);
  assert.deepEqual(typesOf({ correlationid: commandid }), ['NetworkCreateRequested', 'NetworkCreated']);
  assert.deepEqual(typesOf({ actor: 'bob' }), []);
  assert.deepEqual(typesOf({ command: 'CreateNetwork' }).length, 2);
  assert.deepEqual(typesOf({ types: new Set(['HostFacts'] as const), host: 'h1' }), ['HostFacts']);
  assert.deepEqual(typesOf({ types: new Set(['HostFacts'] as const), host: 'h2' }), []);
});

test('host ports that were found belong to whom they were found for, though they name them by id alone', () => {
  const after = new World();
  for (const step of [
    network('web'),
    network('db'),
    endpoint('web', 'p', { ports: [{ port: 80 }] }),
    endpoint('db', 'p'),
  ])
    step(after);
  const attach = { sandbox: 's2', ports: [{ port: 53 }], networks: [{ network: 'web' }] };
  did('AttachSandbox', attach)(after);
  for (const { type, meta, data } of after.log.slice()) {
    const holder =
      type === 'EndpointCreateRequested' && data.endpoint.ports.length > 0
        ? data.endpoint.id
        : type === 'EndpointJoinRequested' && data.sandbox.incarnation;
    if (typeof holder !== 'string') continue;
    const ports = [{ holder, index: 0, hostPort: 32_768 + after.log.length }];
    after.record(
      { type: 'PortsLeased', data: { intent: meta.id, ports } },
      { type: 'LeasePorts', id: 'mhx3k2p1-found' },
    );
  }
  const leases = (filter: EventFilter) => {
    const matches = createMatcher(filter, emptyMemory());
    const passed = after.log.filter((event) => matches(event, 'h1'));
    return passed.flatMap((event) => (event.type === 'PortsLeased' ? event.data.ports : []));
  };
  assert.equal(leases({}).length, 2);
  const [own, box] = [leases({ endpoint: 'P' }), leases({ sandbox: 's2' })];
  assert.deepEqual([own.length, box.length], [1, 1]);
  assert.notDeepEqual(own, box);
  assert.deepEqual(leases({ endpoint: 'p', network: 'web' }), own);
  assert.deepEqual(leases({ sandbox: 's2', network: 'web' }), box);
  assert.deepEqual(leases({ endpoint: 'p', network: 'db' }), []);
  assert.deepEqual([leases({ endpoint: 's2' }), leases({ sandbox: 's1' })], [[], []]);
});

test('positions of events are ordered by commit, then by place; a commit alone stands for its end', () => {
  for (const text of ['7.0', '7.12', '7']) assert.equal(formatPosition(parsePosition(text) ?? assert.fail(text)), text);
  for (const text of ['', '7.', '.1', '7.1.1', '-1', 'x', '7.1x']) assert.equal(parsePosition(text), null, text);
  const from = parsePosition('7.1') ?? assert.fail();
  assert.deepEqual(
    [isBehind(from, 7, 1), isBehind(from, 7, 2), isBehind(from, 6, 9), isBehind(from, 8, 0)],
    [...[false, true, false, true]],
  );
  assert.equal(isBehind(parsePosition('7') ?? assert.fail(), 7, 99), false);
});
