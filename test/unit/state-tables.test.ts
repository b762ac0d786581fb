// Every state with every command and every event: what the tables of events/states.ts say is what the decider and the fold do.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CommandInput, CommandType } from '../../events/commands.ts';
import type { Event } from '../../events/envelope.ts';
import { decisionTypes, type EventType, type Fact, outcomeTypes } from '../../events/events.ts';
import {
  endpointAnswers,
  endpointStates,
  endpointTransitions,
  networkAnswers,
  networkStates,
  networkTransitions,
  sandboxAnswers,
  sandboxStates,
  sandboxTransitions,
} from '../../events/states.ts';
import { endpoint, failed, given, joined, left, network, reported, type Step } from '../support/specification.ts';
import { fault, type World } from '../support/world.ts';

const web = network('web');
const a = endpoint('web', 'a');
const deleteWeb: Step = (world) => void world.run('DeleteNetwork', { network: world.network('web').facts.id });
const deleteA: Step = (world) =>
  void world.run('DeleteEndpoint', { network: 'web', endpoint: world.endpoint('a').facts.id });

/** How each state is reached; some in several ways. */
const networkWays: Record<(typeof networkStates)[number], readonly (readonly Step[])[]> = {
  absent: [[], [web, failed('NetworkCreateRequested')], [web, deleteWeb, reported]],
  creating: [[web]],
  active: [[web, reported]],
  deleting: [
    [web, deleteWeb],
    [web, reported, deleteWeb],
  ],
  stuck: [[web, reported, deleteWeb, failed('NetworkDeleteRequested')]],
};
const inS1 = joined('web', 'a', 's1');
const endpointWays: Record<(typeof endpointStates)[number], readonly (readonly Step[])[]> = {
  absent: [[], [a, failed('EndpointCreateRequested')], [a, deleteA, reported]],
  creating: [[a]],
  created: [
    [a, reported],
    [a, inS1, failed('EndpointJoinRequested')],
    [a, inS1, reported, left('web', 'a'), reported],
  ],
  joining: [
    [a, inS1],
    [a, reported, inS1],
  ],
  joined: [[a, inS1, reported]],
  leaving: [
    [a, inS1, left('web', 'a')],
    [a, inS1, reported, left('web', 'a')],
  ],
  deleting: [
    [a, deleteA],
    [a, reported, deleteA],
    [a, inS1, left('web', 'a'), deleteA],
  ],
  stuck: [
    [a, inS1, reported, left('web', 'a'), failed('EndpointLeaveRequested')],
    [a, reported, deleteA, failed('EndpointDeleteRequested')],
  ],
};
const sandboxWays: Record<(typeof sandboxStates)[number], readonly (readonly Step[])[]> = {
  absent: [[a], [a, inS1, failed('EndpointJoinRequested')], [a, inS1, reported, left('web', 'a'), reported]],
  creating: [[a, inS1]],
  ready: [[a, inS1, reported]],
  removing: [
    [a, inS1, left('web', 'a')],
    [a, inS1, reported, left('web', 'a')],
  ],
};

const answers = <T extends CommandType>(
  what: string,
  steps: readonly Step[],
  expected: string,
  type: T,
  data: (world: World) => CommandInput<T>,
): void => {
  test(what, () => {
    const { world } = given(...steps);
    const decision = world.decide(type, data(world));
    assert.equal(decision.ok ? 'accepted' : decision.code, expected, decision.ok ? '' : decision.detail);
    if (!decision.ok) assert.ok(decision.culprits.length > 0, 'a refusal names its culprits');
  });
};

/** The id of the network, also when its name is free again; its name when there is none. */
const webRef = (world: World): string => [...world.state.networks.values()].at(-1)?.facts.id ?? 'web';
const aRef = (world: World): string => [...world.state.endpoints.values()].at(-1)?.facts.id ?? 'a';

for (const status of networkStates) {
  for (const [way, steps] of networkWays[status].entries()) {
    const named = (command: string) => `network ${status} (way ${way}): ${command}`;
    const { CreateNetwork, UpdateNetwork, DeleteNetwork, CreateEndpoint } = networkAnswers;
    answers(named('CreateNetwork'), steps, CreateNetwork[status], 'CreateNetwork', () => ({ name: 'WEB' }));
    answers(named('UpdateNetwork'), steps, UpdateNetwork[status], 'UpdateNetwork', (world) => ({
      network: webRef(world),
      labels: { tier: 'x' },
    }));
    answers(named('DeleteNetwork'), steps, DeleteNetwork[status], 'DeleteNetwork', (world) => ({
      network: webRef(world),
    }));
    answers(named('CreateEndpoint'), steps, CreateEndpoint[status], 'CreateEndpoint', (world) => ({
      network: webRef(world),
      name: 'b',
    }));
    answers(named('AttachSandbox'), steps, CreateEndpoint[status], 'AttachSandbox', (world) => ({
      sandbox: 's9',
      networks: [{ network: webRef(world) }],
    }));
  }
}

for (const status of endpointStates) {
  for (const [way, steps] of endpointWays[status].entries()) {
    const named = (command: string) => `endpoint ${status} (way ${way}): ${command}`;
    const all = [web, reported, ...steps];
    const at = (world: World) => ({ network: 'web', endpoint: aRef(world) });
    const { CreateEndpoint, UpdateEndpoint, JoinEndpoint, LeaveEndpoint, DeleteEndpoint } = endpointAnswers;
    answers(named('CreateEndpoint'), all, CreateEndpoint[status], 'CreateEndpoint', () => ({
      network: 'web',
      name: 'A',
    }));
    answers(named('AttachSandbox'), all, CreateEndpoint[status], 'AttachSandbox', () => ({
      sandbox: 's9',
      networks: [{ network: 'web', name: 'A' }],
    }));
    answers(named('JoinEndpoint'), all, JoinEndpoint[status], 'JoinEndpoint', (world) => ({
      ...at(world),
      sandbox: 's2',
    }));
    answers(named('UpdateEndpoint'), all, UpdateEndpoint[status], 'UpdateEndpoint', (world) => ({
      ...at(world),
      aliases: ['x'],
    }));
    answers(named('LeaveEndpoint'), all, LeaveEndpoint[status], 'LeaveEndpoint', at);
    answers(named('DeleteEndpoint'), all, DeleteEndpoint[status], 'DeleteEndpoint', at);
  }
}

for (const status of sandboxStates) {
  for (const [way, steps] of sandboxWays[status].entries()) {
    const named = (command: string) => `sandbox ${status} (way ${way}): ${command}`;
    const all = [web, reported, ...steps, endpoint('web', 'b')];
    const { JoinEndpoint, AttachSandbox, MoveSandbox, DetachSandbox } = sandboxAnswers;
    answers(named('JoinEndpoint'), all, JoinEndpoint[status], 'JoinEndpoint', () => ({
      network: 'web',
      endpoint: 'b',
      sandbox: 's1',
    }));
    answers(named('AttachSandbox'), all, AttachSandbox[status], 'AttachSandbox', () => ({
      sandbox: 's1',
      networks: [{ network: 'web' }],
    }));
    answers(named('MoveSandbox'), [...all, network('db')], MoveSandbox[status], 'MoveSandbox', () => ({
      sandbox: 's1',
      from: 'web',
      to: { network: 'db' },
    }));
    answers(named('DetachSandbox'), all, DetachSandbox[status], 'DetachSandbox', () => ({ sandbox: 's1' }));
  }
}

// ---------------------------------------------------------------- events

const eventTypes: readonly EventType[] = [...decisionTypes, ...outcomeTypes];
const isDecision = (type: EventType): boolean => (decisionTypes as readonly string[]).includes(type);

/** Folds a fact about the entity: as a decision, as the report on its latest intent, or as a late one. */
const fold = (world: World, fact: Fact, intentId: string): void => {
  if (isDecision(fact.type)) {
    world.record(fact, { type: 'Test', id: 'mhx3k2p1-test' });
    return;
  }
  world.report(fact, { meta: { id: intentId, actor: '', commandid: '', correlationid: '' } } as Event);
};

interface Case {
  readonly statuses: readonly string[];
  readonly ways: Readonly<Record<string, readonly (readonly Step[])[]>>;
  readonly table: Readonly<Record<string, Readonly<Partial<Record<EventType, string>>>>>;
  /** The entity's id, status and latest intent before. */
  readonly look: (world: World) => { readonly id: string; readonly status: string; readonly intent: string } | null;
  readonly statusOf: (world: World, id: string) => string;
  readonly facts: (world: World) => Partial<Record<EventType, Fact>>;
}

const check = (kind: string, { statuses, ways, table, look, statusOf, facts }: Case): void => {
  for (const status of statuses) {
    for (const [way, steps] of (ways[status] ?? []).entries()) {
      for (const type of eventTypes) {
        for (const isCurrent of [true, false]) {
          const { world } = given(...steps);
          const before = look(world);
          const fact = facts(world)[type];
          // Decisions and what is said of an incarnation of a sandbox are never late.
          if (!fact || (!isCurrent && (isDecision(type) || type.startsWith('Sandbox')))) continue;
          test(`${kind} ${status} (way ${way}): ${isCurrent ? '' : 'late '}${type}`, () => {
            assert.equal(before?.status ?? 'absent', status, 'the way leads there');
            const listed = table[status]?.[type] ?? status;
            const late = type.endsWith('CreateFailed') ? 'absent' : status;
            fold(world, fact, isCurrent ? (before?.intent ?? 'none.0') : 'other.0');
            assert.equal(statusOf(world, before?.id ?? 'none'), isCurrent ? listed : late);
          });
        }
      }
    }
  }
};

const cast = (type: EventType, data: unknown): Fact => ({ type, data }) as Fact;

check('network', {
  statuses: networkStates.filter((status) => status !== 'absent'),
  ways: networkWays,
  table: networkTransitions,
  look: (world) => {
    const row = [...world.state.networks.values()].at(-1);
    return row ? { id: row.facts.id, status: row.status, intent: row.intent } : null;
  },
  statusOf: (world, id) => world.state.networks.get(id)?.status ?? 'absent',
  facts: (world) => {
    const facts = world.network('web').facts;
    const data = { networkId: facts.id, name: facts.name };
    const { labels, mtu, dns, options } = facts;
    return {
      NetworkUpdateRequested: cast('NetworkUpdateRequested', {
        ...data,
        settings: { labels, mtu, dns, options, drift: 'report' },
      }),
      NetworkUpdated: cast('NetworkUpdated', data),
      NetworkUpdateFailed: cast('NetworkUpdateFailed', { ...data, fault: fault() }),
      NetworkCreateRequested: cast('NetworkCreateRequested', { network: facts }),
      NetworkDeleteRequested: cast('NetworkDeleteRequested', data),
      NetworkCreated: cast('NetworkCreated', data),
      NetworkCreateFailed: cast('NetworkCreateFailed', { ...data, fault: fault() }),
      NetworkDeleted: cast('NetworkDeleted', data),
      NetworkDeleteFailed: cast('NetworkDeleteFailed', { ...data, fault: fault() }),
    };
  },
});

const endpointFacts = (world: World): Partial<Record<EventType, Fact>> => {
  const { facts, sandbox } = world.endpoint('a');
  const data = { endpointId: facts.id, networkId: facts.networkId, name: facts.name };
  const of = world.state.sandboxes.get(sandbox?.incarnation ?? '')?.facts;
  const box = of ?? {
    id: 's1',
    incarnation: 'sandbox00001',
    key: '/run/x',
    owned: true,
    hostname: null,
    domainname: null,
    dns: { servers: null, search: null, options: null },
    extraHosts: [],
    ...{ ports: [], owner: null, leaseMs: null, afterReboot: 'recreate' as const },
    files: null,
  };
  const within = { ...data, sandbox: { id: box.id, incarnation: box.incarnation } };
  const gateways = { ipv4: null, ipv6: null };
  const problem = { fault: fault() };
  const details = {
    key: box.key,
    interface: 'eth0',
    ipv4: null,
    ipv6: null,
    mac: null,
    routes: [],
    ports: [],
    peer: null,
  };
  const before = { index: 0, gateways };
  const { aliases, ports, gatewayPriority } = facts;
  const settings = { aliases, ports, gatewayPriority };
  const garbage = { since: '2026-01-01T00:00:00.000Z', reason: 'r', lastSandbox: null };
  const join = {
    ...data,
    joinId: 'join00000001',
    sandbox: box,
    interface: 'eth0',
    ipv4: null,
    ipv6: null,
    mac: null,
    gateways,
  };
  const all: readonly Fact[] = [
    cast('EndpointCreateRequested', { endpoint: facts }),
    cast('EndpointJoinRequested', join),
    cast('EndpointUpdateRequested', { ...data, settings, sandbox: null, gateways }),
    cast('EndpointLeaveRequested', { ...join, last: true, before }),
    cast('EndpointDeleteRequested', { ...data, cause: 'command', garbage: null }),
    cast('EndpointSuspected', { ...data, ...garbage, dueAt: garbage.since }),
    cast('EndpointCreated', data),
    cast('EndpointCreateFailed', { ...data, ...problem }),
    cast('EndpointUpdated', { ...data, ports: [], peer: null }),
    cast('EndpointUpdateFailed', { ...data, ...problem }),
    cast('EndpointJoined', { ...within, ...details }),
    cast('EndpointJoinFailed', { ...within, ...problem }),
    cast('EndpointLeft', within),
    cast('EndpointLeaveFailed', { ...within, ...problem }),
    cast('EndpointLeaveReverted', { ...join, before, ...problem }),
    cast('EndpointDeleted', data),
    cast('EndpointDeleteReverted', { ...data, ...problem }),
    cast('EndpointDeleteFailed', { ...data, ...problem }),
    cast('SandboxCreated', { sandbox: box }),
    cast('SandboxRemoved', { sandbox: box }),
  ];
  return Object.fromEntries(all.map((fact) => [fact.type, fact]));
};

const withWeb = (ways: Readonly<Record<string, readonly (readonly Step[])[]>>) =>
  Object.fromEntries(Object.entries(ways).map(([status, all]) => [status, all.map((way) => [web, reported, ...way])]));

check('endpoint', {
  statuses: endpointStates.filter((status) => status !== 'absent'),
  ways: withWeb(endpointWays),
  table: endpointTransitions,
  look: (world) => {
    const { facts, status, intent } = world.endpoint('a');
    return { id: facts.id, status, intent };
  },
  statusOf: (world, id) => world.state.endpoints.get(id)?.status ?? 'absent',
  facts: (world) => {
    const { SandboxCreated: _, SandboxRemoved: __, ...facts } = endpointFacts(world);
    return facts;
  },
});

test('what an event says of an endpoint or a network that is absent changes nothing', () => {
  for (const type of eventTypes) {
    const { world } = given(web, reported, a, inS1, reported, left('web', 'a'), deleteA);
    const fact = endpointFacts(world)[type];
    if (!fact || type === 'EndpointCreateRequested') continue;
    world.succeed();
    assert.equal(world.state.endpoints.size, 0);
    fold(world, fact, 'none.0');
    assert.equal(world.state.endpoints.size, 0, type);
    assert.equal(world.state.sandboxes.size, 0, type);
    assert.equal(world.state.cells.get(world.network('web').facts.id)?.names.size, 0, type);
  }
});

const sandboxRow = (world: World) => [...world.state.sandboxes.values()].at(-1);
check('sandbox of one endpoint', {
  statuses: ['creating', 'ready', 'removing'],
  ways: withWeb(sandboxWays),
  table: sandboxTransitions,
  look: (world) => {
    const row = sandboxRow(world);
    return row ? { id: row.facts.incarnation, status: row.status, intent: world.endpoint('a').intent } : null;
  },
  statusOf: (world, id) => world.state.sandboxes.get(id)?.status ?? 'absent',
  facts: (world) => {
    const { SandboxCreated, SandboxRemoved, EndpointJoinFailed, EndpointLeaveRequested, EndpointLeaveReverted } =
      endpointFacts(world);
    const all = [SandboxCreated, SandboxRemoved, EndpointLeaveRequested, EndpointJoinFailed, EndpointLeaveReverted];
    return Object.fromEntries(all.flatMap((fact) => (fact ? [[fact.type, fact]] : [])));
  },
});

test('a sandbox with other endpoints outlives a failed join and a leave', () => {
  for (const type of ['EndpointJoinRequested', 'EndpointLeaveRequested'] as const) {
    const { world } = given(web, reported, a, inS1, reported, endpoint('web', 'b'), joined('web', 'b', 's1'));
    if (type === 'EndpointJoinRequested') world.fail(type);
    else world.run('LeaveEndpoint', { network: 'web', endpoint: 'b' });
    assert.equal(sandboxRow(world)?.status, 'ready');
    assert.deepEqual(sandboxRow(world)?.members, [world.endpoint('a').facts.id]);
  }
});
