// Specifications of hosts that do not come back with what they had: everything of them ends, in state and views alike.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isLost } from '../../events/state.ts';
import { encodeState } from '../../events/state-codec.ts';
import { applyCommit, createViews } from '../../projections/views.ts';
import { did, endpoint, given, joined, network, reported, type Step } from '../support/specification.ts';
import { hostFacts, type World } from '../support/world.ts';

const lapsed: Step = (world) =>
  void world.run('LapseHost', { host: 'h1', epoch: 1, since: '2026-11-21T01:09:24.001Z' }, { actor: 'collector' });
const declare = { host: 'h1', reason: 'burnt down' };
const lost: Step = (world) => void world.run('DeclareHostLost', declare);
const drifted: Step = (world) => {
  const of = { kind: 'network', name: 'web', networkId: null, endpointId: null, sandbox: null } as const;
  const found = { more: 0, by: 'census', policy: 'report', times: 1 } as const;
  const data = { drift: 'drift0000001', host: 'h1', of, changes: [], suspects: [], ...found };
  world.report({ type: 'DriftDetected', data }, null);
  const use = { what: 'files', ofNetwork: null, used: 7, limit: 10, percent: 70 };
  world.report({ type: 'CapacityPressure', data: { host: 'h1', ...use, band: 70 } }, null);
};
const web = network('web', { ipv6: true, leaseMs: 60_000 });
const busy: readonly Step[] = [
  did('ConfigureDriver', { driver: 'bridge', options: { 'com.docker.network.driver.mtu': '1400' } }),
  web,
  endpoint('web', 'idle'),
  endpoint('web', 'a', { ports: [{ hostPort: 80, port: 80 }] }),
  joined('web', 'a', 's1'),
  did('AttachSandbox', {
    sandbox: 's2',
    leaseMs: 60_000,
    ports: [{ hostPort: 81, port: 81 }],
    networks: [{ network: 'web' }],
  }),
  reported,
  network('late'),
  did('LeaveEndpoint', { network: 'web', endpoint: 'a' }),
  did('AttachSandbox', { sandbox: 's3', networks: [{ network: 'late' }] }),
];

/** What the views show after the log of a world. */
const viewed = (world: World) => {
  const views = createViews();
  for (const [index, event] of world.log.entries()) {
    const subject = event.meta.commandseq === undefined ? 'cnm.outcome.h1' : 'cnm.event.host.h1';
    applyCommit(views, subject, index + 1, [event]);
  }
  return views.rows;
};

test('DeclareHostLost: only of a host that is known to be away', () => {
  const { world, when } = given();
  when('DeclareHostLost', declare).refuses('HOST_ALIVE', { kind: 'host', id: 'h1' });
  lapsed(world);
  when('DeclareHostLost', declare).records(
    { type: 'PeersForgotten', data: { host: 'h1', epoch: 1 } },
    { type: 'HostLost', data: { ...declare, epoch: 1, networks: [], endpoints: [], sandboxes: [], commands: [] } },
  );
  assert.equal(isLost(world.state), true);
  world.report({ type: 'HostFacts', data: hostFacts('h1', { epoch: 1 }) }, null);
  assert.equal(isLost(world.state), true, 'a statement of the same epoch was on its way');
  world.report({ type: 'HostFacts', data: hostFacts('h1', { epoch: 2 }) }, null);
  assert.equal(isLost(world.state), false);
  when('DeclareHostLost', declare).refuses('HOST_ALIVE', { kind: 'host' });
});

test('everything that it holds is free, and who waits is told', () => {
  const { world, when } = given(...busy, drifted, lapsed);
  const open = [...world.state.progress.values()]
    .map(({ actor, commandid: commandId }) => ({ actor, commandId }))
    .sort((a, b) => (a.commandId < b.commandId ? -1 : 1));
  assert.equal(open.length, 3);
  const { networks, endpoints, sandboxes } = world.state;
  const ids = {
    networks: [...networks.keys()].sort(),
    endpoints: [...endpoints.keys()].sort(),
    sandboxes: [...sandboxes.keys()].sort(),
    commands: open,
  };
  when('DeclareHostLost', declare).records({ type: 'PeersForgotten' }, { type: 'HostLost', data: ids });
  // What is remembered of it: that it was there, what was decided, and what rests.
  const left = new Set(['block', 'rested', 'remembered', 'routes', 'commands', 'facts', 'lapsed', 'lost']);
  for (const [kind, table] of encodeState(world.state))
    assert.ok(left.has(kind === 'row' ? String(table) : kind), String(table));
  for (const table of [
    'networks',
    'networkNames',
    'endpoints',
    'sandboxes',
    'sandboxIds',
    'occupants',
    'ports',
    'intents',
    'progress',
    'expired',
    'drivers',
    'cells',
    'outlets',
  ] as const)
    assert.equal(world.state[table].size, 0, table);
  const rows = viewed(world);
  for (const view of [
    'networks',
    'endpoints',
    'sandboxes',
    'addresses',
    'names',
    'ports',
    'drivers',
    'garbage',
    'leases',
    'drift',
    'capacity',
  ] as const)
    assert.deepEqual([...rows[view].values()], [], view);
  for (const { commandId } of open) {
    const row = rows.commands.get(commandId);
    assert.deepEqual([row?.status, row?.fault?.code, row?.open], ['failed', 'HOST_LOST', []]);
  }
  assert.partialDeepStrictEqual(rows.hosts.get('h1'), { alive: false, lost: { actor: 'alice', reason: 'burnt down' } });
});

test('a command that was under way there is known to have failed, and its id is not used again', () => {
  const { world, when } = given(...busy, lapsed);
  const [record] = world.state.progress.values();
  lost(world);
  when('CancelCommand', { commandId: record?.commandid ?? '' }).refuses('COMMAND_ENDED');
});

test('its addresses and subnets rest before others get them', () => {
  const taken = (world: World) => world.network('web').facts.subnets[0]?.subnet;
  const { world } = given(web, reported, lapsed);
  const before = taken(world);
  lost(world);
  world.report({ type: 'HostFacts', data: hostFacts('h1', { epoch: 2 }) }, null);
  world.run('CreateNetwork', { name: 'web' });
  assert.notEqual(taken(world), before);
});

test('a worker that had stated another epoch by then was not lost: nothing changes, in state and views alike', () => {
  const { world } = given(...busy, lapsed);
  const decision = world.decide('DeclareHostLost', declare);
  assert.ok(decision.ok);
  world.report({ type: 'HostFacts', data: hostFacts('h1', { epoch: 2 }) }, null);
  const lines = () =>
    [...encodeState(world.state)].filter(([kind, table]) => kind !== 'remembered' && table !== 'commands');
  const before = JSON.stringify(lines());
  const shown = viewed(world);
  world.recordAll(decision.facts, { type: 'DeclareHostLost', id: 'mhx3k2p1-late' });
  assert.equal(JSON.stringify(lines()), before);
  const { commands: _, ...rows } = viewed(world);
  for (const [view, row] of Object.entries(rows)) assert.deepEqual(row, shown[view as keyof typeof rows], view);
  assert.equal(isLost(world.state), false);
});

test('what its worker reports that does not know it yet changes nothing', () => {
  const { world } = given(...busy, lapsed);
  const intents = [...world.state.intents.values()];
  lost(world);
  const before = JSON.stringify([...encodeState(world.state)]);
  for (const intent of intents) world.succeedOne(intent);
  assert.equal(JSON.stringify([...encodeState(world.state)]), before);
  const rows = viewed(world);
  assert.equal(rows.endpoints.size + rows.sandboxes.size + rows.networks.size + rows.names.size, 0);
});
