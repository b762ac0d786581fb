// Each view: given what happened on a host, these are its rows.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decisionTypes } from '../../events/events.ts';
import { garbageOf, gcPeriods, type IdleEndpoint } from '../../events/garbage.ts';
import { commandId, subjects } from '../../events/names.ts';
import { selectRows } from '../../projections/filter.ts';
import { applyCommit, createViews, type ViewRows, type Views } from '../../projections/views.ts';
import { did, endpoint, failed, joined, later, left, network, reported, type Step } from '../support/specification.ts';
import { fault, outcomeOf, startMs, World } from '../support/world.ts';

const decisions: ReadonlySet<string> = new Set(decisionTypes);

const viewsOf = (world: World, views: Views = createViews()): Views => {
  for (const [index, event] of world.log.entries()) {
    const subject = decisions.has(event.type) ? subjects.host(world.host) : subjects.outcome(world.host);
    applyCommit(views, subject, index + 1, [event]);
  }
  return views;
};

const after = (...steps: readonly Step[]): { readonly world: World; readonly views: Views } => {
  const world = new World();
  for (const step of steps) step(world);
  return { world, views: viewsOf(world) };
};

const rows = <View extends keyof ViewRows>(views: Views, view: View): readonly ViewRows[View][] => [
  ...views.rows[view].values(),
];

const at = (ms: number): string => new Date(startMs + ms).toISOString();
const minute = 60_000;

test('networks: from the request on, with state and since when', () => {
  const asked = after(network('web'), later(minute));
  assert.partialDeepStrictEqual(rows(asked.views, 'networks'), [
    { name: 'web', host: 'h1', driver: 'bridge', status: 'creating', since: at(0), createdAt: at(0), endpoints: 0 },
  ]);
  const made = after(network('web'), later(minute), reported, endpoint('web', 'a'), endpoint('web', 'b'));
  assert.partialDeepStrictEqual(rows(made.views, 'networks'), [
    { status: 'active', since: at(minute), createdAt: at(0), endpoints: 2, fault: null },
  ]);
});

test('networks: one that is deleted stays until the worker has said so, then it is gone', () => {
  const deleting = [network('web'), reported, did('DeleteNetwork', { network: 'web' })];
  assert.partialDeepStrictEqual(rows(after(...deleting).views, 'networks'), [{ status: 'deleting' }]);
  assert.deepEqual(rows(after(...deleting, reported).views, 'networks'), []);
  const { views } = after(...deleting, failed('NetworkDeleteRequested'));
  assert.partialDeepStrictEqual(rows(views, 'networks'), [{ status: 'stuck', fault: { code: 'KERNEL_ERROR' } }]);
});

test('networks: a creation that failed takes endpoints, addresses and sandboxes along', () => {
  const { views } = after(
    network('web'),
    endpoint('web', 'a'),
    joined('web', 'a', 's1'),
    failed('NetworkCreateRequested'),
  );
  for (const view of ['networks', 'endpoints', 'addresses', 'sandboxes', 'garbage'] as const) {
    assert.deepEqual(rows(views, view), [], view);
  }
});

test('endpoints: with the names of network and host, and joined with key and interface', () => {
  const steps = [network('web'), endpoint('web', 'a', { aliases: ['x'] }), joined('web', 'a', 's1')];
  assert.partialDeepStrictEqual(rows(after(...steps).views, 'endpoints'), [
    { name: 'a', network: 'web', host: 'h1', status: 'joining', sandbox: 's1', sandboxKey: null, aliases: ['x'] },
  ]);
  const { world, views } = after(...steps, later(minute), reported);
  const key = [...world.state.sandboxes.values()][0]?.facts.key ?? '';
  assert.partialDeepStrictEqual(rows(views, 'endpoints'), [
    { status: 'joined', since: at(minute), sandboxKey: key, lastSandbox: 's1', ipv4: world.endpoint('a').facts.ipv4 },
  ]);
});

test('endpoints: a join that failed leaves it with its addresses, the fault and no sandbox, as if it had never joined', () => {
  const { world, views } = after(
    network('web'),
    endpoint('web', 'a'),
    reported,
    joined('web', 'a', 's1'),
    later(minute),
    (w) => w.fail('EndpointJoinRequested'),
  );
  assert.partialDeepStrictEqual(rows(views, 'endpoints'), [
    {
      ...{ status: 'created', sandbox: null, interface: null, lastSandbox: null, idleSince: at(minute) },
      ...{ fault: { errno: 'EPERM' }, ipv4: world.endpoint('a').facts.ipv4 },
    },
  ]);
});

test('endpoints: an outcome that comes when a later intent has moved the state on moves it no more', () => {
  const steps = [network('web'), endpoint('web', 'a'), reported, joined('web', 'a', 's1')];
  const { world } = after(...steps);
  const [join] = [...world.state.intents.values()];
  assert.ok(join);
  left('web', 'a')(world);
  const before = { status: 'leaving', sandboxKey: null, sandbox: 's1' } as const;
  assert.partialDeepStrictEqual(rows(viewsOf(world), 'endpoints'), [before]);
  world.succeedOne(join);
  // It is in there until it is out.
  const { key = '' } = [...world.state.sandboxes.values()][0]?.facts ?? {};
  assert.notEqual(key, '');
  assert.partialDeepStrictEqual(rows(viewsOf(world), 'endpoints'), [{ ...before, sandboxKey: key }]);
  // Its deadline had passed.
  world.report(outcomeOf(join, fault()), join);
  assert.partialDeepStrictEqual(rows(viewsOf(world), 'endpoints'), [before]);
});

test('sandboxes: members of several networks, their lifecycle with times, gone when removed', () => {
  const attach = did('AttachSandbox', { sandbox: 's1', networks: [{ network: 'web' }, { network: 'db' }] });
  const steps = [network('web'), network('db'), reported, attach];
  const asked = rows(after(...steps).views, 'sandboxes')[0];
  assert.partialDeepStrictEqual(asked, { id: 's1', host: 'h1', status: 'creating', createdAt: at(0), readyAt: null });
  assert.deepEqual(
    asked?.members.map((member) => member.network),
    ['web', 'db'],
  );
  const ready = rows(after(...steps, later(minute), reported).views, 'sandboxes');
  assert.partialDeepStrictEqual(ready, [{ status: 'ready', readyAt: at(minute), removingAt: null }]);
  const detach = [...steps, reported, later(2 * minute), did('DetachSandbox', { sandbox: 's1' })];
  const removing = rows(after(...detach).views, 'sandboxes');
  assert.partialDeepStrictEqual(removing, [{ status: 'removing', members: [], removingAt: at(2 * minute) }]);
  assert.equal(removing[0]?.leaving.length, 2);
  assert.deepEqual(rows(after(...detach, reported).views, 'sandboxes'), []);
});

test('addresses: of gateways, auxiliary ones and endpoints, held until the deletion is reported', () => {
  const subnets = [{ subnet: '10.9.0.0/24', aux: { router: '10.9.0.9' } }];
  const steps = [network('web', { ipam: { subnets } }), endpoint('web', 'a', { interfaces: [{ ipv4: '10.9.0.7' }] })];
  const all = [
    { address: '10.9.0.1', kind: 'gateway', network: 'web', holder: null },
    { address: '10.9.0.9', kind: 'aux', holder: 'router' },
    { address: '10.9.0.7', kind: 'endpoint', holder: 'a', since: at(0) },
  ];
  assert.partialDeepStrictEqual(rows(after(...steps).views, 'addresses'), all);
  const deleting = [...steps, reported, did('DeleteEndpoint', { network: 'web', endpoint: 'a' })];
  assert.equal(rows(after(...deleting).views, 'addresses').length, 3);
  assert.partialDeepStrictEqual(rows(after(...deleting, reported).views, 'addresses'), all.slice(0, 2));
  const gone = [...deleting, reported, did('DeleteNetwork', { network: 'web' }), reported];
  assert.deepEqual(rows(after(...gone).views, 'addresses'), []);
});

test('hosts: their facts, when first seen, and when last heard of', () => {
  const { views } = after(network('web'), later(minute), reported);
  assert.partialDeepStrictEqual(rows(views, 'hosts'), [
    { host: 'h1', kernel: '6.12.0', firstSeen: at(0), statedAt: at(0), lastReport: at(minute), lastReportPosition: 3 },
  ]);
});

test('drivers: the options of each host, and whether they were taken', () => {
  const configure = did('ConfigureDriver', { driver: 'bridge', options: {} });
  assert.partialDeepStrictEqual(rows(after(configure).views, 'drivers'), [
    { host: 'h1', driver: 'bridge', options: {}, status: 'configuring' },
  ]);
  assert.partialDeepStrictEqual(rows(after(configure, reported).views, 'drivers'), [{ status: 'configured' }]);
  const more = did('ConfigureDriver', { driver: 'bridge', options: { 'com.docker.network.driver.mtu': '1400' } });
  assert.partialDeepStrictEqual(rows(after(configure, reported, more).views, 'drivers'), [
    { options: { 'com.docker.network.driver.mtu': '1400' } },
  ]);
  const { views } = after(configure, reported, more, failed('DriverConfigureRequested'));
  assert.partialDeepStrictEqual(rows(views, 'drivers'), [{ status: 'failed', options: {}, fault: { errno: 'EPERM' } }]);
});

test('commands: what became of each, with ids and addresses', () => {
  const { world, views } = after(
    network('web'),
    reported,
    did('AttachSandbox', { sandbox: 's1', networks: [{ network: 'web' }] }),
  );
  assert.partialDeepStrictEqual(rows(views, 'commands'), [
    { actor: 'alice', host: 'h1', command: 'CreateNetwork', status: 'succeeded', network: { name: 'web' }, open: [] },
    { command: 'AttachSandbox', status: 'accepted', endedPosition: null },
  ]);
  world.succeed();
  const [, attached] = rows(viewsOf(world), 'commands');
  assert.equal(attached?.status, 'succeeded');
  assert.equal(attached?.endpoints[0]?.id, world.endpoint('s1').facts.id);
  assert.equal(attached?.sandbox?.id, 's1');
  assert.equal(attached?.host, 'h1');
});

test('commands: refused, failed and timed out; what comes later changes nothing', () => {
  const refused = new World();
  const data = { command: 'DeleteNetwork', code: 'NETWORK_NOT_FOUND', detail: 'no', culprits: [] };
  refused.record({ type: 'CommandRefused', data }, { type: 'DeleteNetwork', id: commandId(startMs, 'r') });
  assert.partialDeepStrictEqual(rows(viewsOf(refused), 'commands'), [
    { status: 'refused', refusal: { code: 'NETWORK_NOT_FOUND' }, host: 'h1' },
  ]);
  const lost = after(network('web'), failed('NetworkCreateRequested'));
  assert.partialDeepStrictEqual(rows(lost.views, 'commands'), [{ status: 'failed', fault: { step: 'create veth' } }]);

  const { world } = after(network('web'));
  const [record] = [...world.state.progress.values()];
  assert.ok(record);
  world.nowMs += minute;
  world.run('ExpireCommand', { actor: record.actor, commandId: record.commandid });
  world.succeed();
  assert.partialDeepStrictEqual(rows(viewsOf(world), 'commands'), [
    { command: 'CreateNetwork', status: 'timed-out', endedAt: at(minute) },
    { command: 'ExpireCommand', status: 'succeeded' },
  ]);
});

test('commands: two actors may use the same id, and each finds its own', () => {
  const world = new World();
  const id = commandId(startMs, 'same');
  for (const [actor, name] of [
    ['alice', 'a'],
    ['bob', 'b'],
  ] as const)
    world.run('CreateNetwork', { name }, { actor, id });
  world.succeed();
  const views = viewsOf(world);
  assert.partialDeepStrictEqual(rows(views, 'commands'), [
    { actor: 'alice', commandid: id, status: 'succeeded', network: { name: 'a' } },
    { actor: 'bob', commandid: id, status: 'succeeded', network: { name: 'b' } },
  ]);
  for (const actor of ['alice', 'bob']) {
    const found = [...selectRows(views, 'commands', { actor, commandid: id })].map(([, row]) => row);
    assert.partialDeepStrictEqual(found, [{ actor }]);
  }
  assert.equal([...selectRows(views, 'commands', { commandid: id })].length, 2);
  assert.equal([...selectRows(views, 'commands', { actor: 'carol', commandid: id })].length, 0);
});

test('commands: ended ones are forgotten with their ids, by the clock of the log', () => {
  const { world } = after(network('web'), reported, network('slow'), later(31 * 24 * 60 * minute), network('new'));
  assert.deepEqual(
    rows(viewsOf(world), 'commands').map((row) => row.network?.name),
    ['slow', 'new'],
  );
});

test('garbage: endpoints in no sandbox, with since when, due when and why', () => {
  const never = after(network('web'), endpoint('web', 'a'), reported);
  assert.partialDeepStrictEqual(rows(never.views, 'garbage'), [
    { endpoint: 'a', network: 'web', since: at(0), dueAt: at(24 * 60 * minute), reason: 'never joined a sandbox' },
  ]);
  const inside = [network('web'), endpoint('web', 'a'), joined('web', 'a', 's1'), reported];
  assert.deepEqual(rows(after(...inside).views, 'garbage'), []);
  const out = [...inside, left('web', 'a'), later(minute)];
  assert.deepEqual(rows(after(...out).views, 'garbage'), []);
  const { world, views } = after(...out, reported);
  assert.partialDeepStrictEqual(rows(views, 'garbage'), [
    {
      ...{ since: at(minute), dueAt: at(6 * minute), reason: 'left its last sandbox', lastSandbox: 's1' },
      ...{ suspected: false, generation: world.endpoint('a').generation },
    },
  ]);
  world.nowMs += 5 * minute;
  const { id: endpointId } = world.endpoint('a').facts;
  world.run('SuspectEndpoint', { endpointId, generation: world.endpoint('a').generation });
  assert.partialDeepStrictEqual(rows(viewsOf(world), 'garbage'), [
    { suspected: true, generation: world.endpoint('a').generation, since: at(minute) },
  ]);
  world.run('CollectEndpoint', { endpointId, generation: world.endpoint('a').generation });
  assert.deepEqual(rows(viewsOf(world), 'garbage'), []);
});

test('garbage: a join that failed does not make it one that has left', () => {
  const { views } = after(
    network('web'),
    endpoint('web', 'a'),
    reported,
    joined('web', 'a', 's1'),
    failed('EndpointJoinRequested'),
  );
  assert.partialDeepStrictEqual(rows(views, 'garbage'), [{ reason: 'never joined a sandbox', lastSandbox: null }]);
});

test('the garbage rule: the endpoint before its network before the default; static ones only by their own number', () => {
  const idle: IdleEndpoint = { everJoined: true, idleSince: at(0), static: false, endpointGc: null, networkGc: null };
  const due = (changes: Partial<IdleEndpoint>): number | null => {
    const { dueAt } = garbageOf({ ...idle, ...changes });
    return dueAt === null ? null : Date.parse(dueAt) - startMs;
  };
  assert.equal(due({}), gcPeriods.leftMs);
  assert.equal(due({ everJoined: false }), gcPeriods.neverJoinedMs);
  assert.equal(due({ networkGc: 7_000 }), 7_000);
  assert.equal(due({ networkGc: 7_000, everJoined: false }), 7_000);
  assert.equal(due({ networkGc: 'off' }), null);
  assert.equal(due({ endpointGc: 'off', networkGc: 7_000 }), null);
  assert.equal(due({ endpointGc: 3_000, networkGc: 'off' }), 3_000);
  assert.equal(due({ static: true }), null);
  assert.equal(due({ static: true, networkGc: 7_000 }), null);
  assert.equal(due({ static: true, endpointGc: 3_000 }), 3_000);
  assert.match(garbageOf({ ...idle, static: true }).reason, /asked for/);
});
