// Random answers of plugins, in any order, early and late: what is settled is held once, views show it, and it is gone with its holder.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CommandInput, CommandType } from '../../events/commands.ts';
import type { IntentType } from '../../events/events.ts';
import { evolve } from '../../events/evolve.ts';
import { holderOf } from '../../events/ipam.ts';
import { isSettled } from '../../events/settled.ts';
import { type BoundaryState, initialState, plugOf } from '../../events/state.ts';
import { applyCommit, createViews, rowsOf, type Views } from '../../projections/views.ts';
import { World } from '../support/world.ts';

const names = ['a', 'b', 'c'] as const;
const name = fc.constantFrom(...names);
const octet = fc.integer({ min: 1, max: 6 });
const move = fc.oneof(
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('network' as const),
      name,
      driver: fc.constantFrom('bridge', 'weave'),
      asked: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('pool' as const),
      at: fc.nat(9),
      subnet: fc.constantFrom(1, 2, 3),
      wide: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('endpoint' as const), name, network: name, wanted: fc.option(octet) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('attach' as const),
      sandbox: name,
      networks: fc.uniqueArray(name, { minLength: 1 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('address' as const),
      at: fc.nat(9),
      subnet: fc.constantFrom(1, 2, 3),
      octet,
      mac: fc.option(octet),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('join' as const),
      at: fc.nat(9),
      link: fc.option(octet),
      gateway: fc.option(octet),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), name, network: name }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), name, network: name }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('detach' as const), sandbox: name }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('end' as const), name }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('report' as const), fails: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'late' as const }) },
);
/** So that there is something to be settled in. */
const prelude: readonly Move[] = [
  { kind: 'network', name: 'a', driver: 'bridge', asked: false },
  { kind: 'pool', at: 0, subnet: 1, wide: false },
  { kind: 'network', name: 'b', driver: 'weave', asked: true },
  { kind: 'pool', at: 1, subnet: 2, wide: false },
  { kind: 'network', name: 'c', driver: 'weave', asked: false },
  { kind: 'report', fails: false },
];
type Move = typeof move extends fc.Arbitrary<infer T> ? T : never;

const tries = <T extends CommandType>(world: World, type: T, data: CommandInput<T>, actor = 'alice'): void => {
  const decision = world.decide(type, data, { actor });
  if (!decision.ok) return;
  const id = `${world.log.length.toString(36).padStart(8, '0')}-m`;
  for (const fact of decision.facts) world.record(fact, { type, actor, id });
};

/** One of the open intents of a type; what is wrong with it, the decider says. */
const pick = (world: World, type: IntentType, at: number): string => {
  const all = [...world.state.intents.values()].filter((intent) => intent.type === type);
  return all[at % Math.max(1, all.length)]?.meta.id ?? 'none';
};

const settle = (world: World, intent: string, answer: CommandInput<'SettleIntent'>['answer']): void =>
  tries(world, 'SettleIntent', { intent, epoch: 1, answer }, 'worker:h1');

/** The worker says of everything that it could carry out how it went. */
const report = (world: World, fails: boolean): void => {
  for (const intent of [...world.state.intents.values()]) {
    if (!world.state.intents.has(intent.meta.id)) continue;
    const isMade = !world.state.expired.has(intent.meta.id) && isSettled(world.state, intent);
    if (isMade && !fails) world.succeedOne(intent);
    else if (fails || world.state.expired.has(intent.meta.id)) world.fail(intent.type);
  }
};

const expireAll = (world: World): void => {
  world.nowMs += 60_000;
  for (const { meta } of [...world.state.intents.values()])
    tries(world, 'ExpireCommand', { actor: meta.actor, commandId: meta.commandid }, 'collector');
};

/** Number of the subnet that the network of an open creation has, as far as the prelude made it. */
const homeOf = ({ state }: World, intent: string): number => {
  const open = state.intents.get(intent);
  const id = open?.type === 'EndpointCreateRequested' ? open.data.endpoint.networkId : '';
  return (names as readonly string[]).indexOf(state.networks.get(id)?.facts.name ?? '') + 1;
};

const subnetOf = (n: number): string => `10.251.${n}.0/24`;
const addressOf = (subnet: number, last: number): string => `10.251.${subnet}.${last}`;

const play = (world: World, one: Move): void => {
  switch (one.kind) {
    case 'network': {
      const asked = one.asked ? [{ subnet: subnetOf(names.indexOf(one.name) + 1) }] : [];
      const ipam = one.name === 'c' ? {} : { driver: 'weave', subnets: asked };
      tries(world, 'CreateNetwork', { name: one.name, driver: one.driver, ipam });
      return;
    }
    case 'pool': {
      const subnet = one.wide ? '0.0.0.0/0' : subnetOf(one.subnet);
      const gateway = one.wide ? null : addressOf(one.subnet, 1);
      const answer = { family: 4 as const, subnet, range: null, gateway, aux: {}, pool: `p${one.subnet}` };
      settle(world, pick(world, 'NetworkCreateRequested', one.at), { kind: 'network', subnets: [answer] });
      return;
    }
    case 'endpoint': {
      const ipv4 = one.wanted === null ? [] : [{ ipv4: addressOf(names.indexOf(one.network) + 1, one.wanted) }];
      tries(world, 'CreateEndpoint', { network: one.network, name: one.name, interfaces: ipv4 });
      return;
    }
    case 'attach':
      tries(world, 'AttachSandbox', {
        sandbox: one.sandbox,
        networks: one.networks.map((network) => ({ network, name: `${one.sandbox}.${network}` })),
      });
      return;
    case 'address': {
      const intent = pick(world, 'EndpointCreateRequested', one.at);
      const ipv4 = `${addressOf(one.subnet === 3 ? 3 : homeOf(world, intent), one.octet)}/24`;
      const mac = one.mac === null ? null : `02:00:00:00:00:0${one.mac}`;
      settle(world, intent, { kind: 'endpoint', ipv4, ipv6: null, mac });
      return;
    }
    case 'join': {
      const link = one.link === null ? null : `pv${one.link}`;
      const gateway4 = one.gateway === null || link === null ? null : addressOf(1, one.gateway);
      const rest = { prefix: 'eth', gateway6: null, routes: [], outlet: false };
      settle(world, pick(world, 'EndpointJoinRequested', one.at), { kind: 'join', link, gateway4, ...rest });
      return;
    }
    case 'delete':
      tries(world, 'DeleteEndpoint', { network: one.network, endpoint: one.name });
      return;
    case 'leave':
      tries(world, 'LeaveEndpoint', { network: one.network, endpoint: one.name });
      return;
    case 'detach':
      tries(world, 'DetachSandbox', { sandbox: one.sandbox });
      return;
    case 'end':
      tries(world, 'DeleteNetwork', { network: one.name });
      return;
    case 'report':
      report(world, one.fails);
      return;
    case 'late':
      expireAll(world);
      return;
    default:
      one satisfies never;
  }
};

const bare = (cidr: string): string => cidr.slice(0, cidr.indexOf('/'));

/** Every address and MAC that an endpoint has is held in its network, by it; and nothing else is. */
const checkHeld = (state: BoundaryState): void => {
  for (const [id, cell] of state.cells) {
    const rows = [...state.endpoints.values()].filter(({ facts }) => facts.networkId === id);
    const held = rows.flatMap(({ facts }) => (facts.ipv4 === null ? [] : [[bare(facts.ipv4), facts.id] as const]));
    assert.equal(new Map(held).size, held.length, 'an address is held once');
    for (const [address, holder] of held) {
      const inPool = cell.pools.map((pool) => holderOf(pool, address)?.id).find((one) => one !== undefined);
      assert.equal(inPool ?? cell.others.get(address), holder, address);
    }
    const inPools = cell.pools.flatMap((pool) => [...pool.held.values()].filter(({ kind }) => kind === 'endpoint'));
    assert.equal(inPools.length + cell.others.size, held.length, 'nothing is held that nobody has');
    const macs = rows.flatMap(({ facts }) => (facts.mac === null ? [] : [[facts.mac, facts.id] as const]));
    assert.deepEqual(new Map(cell.macs), new Map(macs));
    assert.equal(cell.macs.size, macs.length, 'a MAC is held once');
  }
};

const checkPlaces = (state: BoundaryState): void => {
  for (const { members, gateways } of state.sandboxes.values()) {
    const rows = members.flatMap((id) => state.endpoints.get(id) ?? []);
    const devices = rows.flatMap(({ sandbox }) => sandbox?.interface ?? []);
    assert.equal(new Set(devices).size, devices.length, 'an interface has a name of its own');
    const carrier = rows.find(({ facts }) => facts.id === gateways.ipv4);
    const network = state.networks.get(carrier?.facts.networkId ?? '');
    if (carrier && network?.facts.defaultRoute === 'endpoint')
      assert.notEqual(plugOf(carrier)?.gateway4 ?? null, null, 'a carrier has a gateway');
  }
};

const checkViews = (state: BoundaryState, views: Views): void => {
  const shown = new Map([...rowsOf(views, 'endpoints')].map(([id, row]) => [id, [row.ipv4, row.mac, row.interface]]));
  const rows = [...state.endpoints.values()].map(
    ({ facts, sandbox }) => [facts.id, [facts.ipv4, facts.mac, sandbox?.interface ?? null]] as const,
  );
  assert.deepEqual(shown, new Map(rows));
  const addresses = [...rowsOf(views, 'addresses').values()].filter(({ kind }) => kind === 'endpoint');
  const held = [...state.endpoints.values()].flatMap(({ facts }) => (facts.ipv4 === null ? [] : [bare(facts.ipv4)]));
  assert.deepEqual(addresses.map(({ address }) => address).sort(), held.sort());
  const subnets = [...rowsOf(views, 'networks').values()].map((row) => [row.id, row.subnets]);
  assert.deepEqual(
    subnets,
    [...state.networks.values()].map(({ facts }) => [facts.id, facts.subnets]),
  );
  for (const row of rowsOf(views, 'sandboxes').values())
    assert.deepEqual(row.gateways, state.sandboxes.get(row.incarnation)?.gateways);
};

const dump = (state: BoundaryState): unknown => [
  [...state.networks.values()],
  [...state.endpoints.values()],
  [...state.sandboxes.values()],
  [...state.cells].map(([id, { others, macs }]) => [id, [...others], [...macs]]),
];

test('what plugins answer is held once, shown, and free again with its holder', () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(fc.array(move, { minLength: 5, maxLength: 50, size: 'max' }), (moves) => {
      const world = new World({ facts: { drivers: ['weave'] } });
      const views = createViews();
      let position = 0;
      for (const one of [...prelude, ...moves]) {
        play(world, one);
        for (const event of world.log.slice(position)) {
          position += 1;
          seen.add(event.type);
          const subject = event.meta.commandseq === undefined ? 'cnm.outcome.h1' : 'cnm.event.host.h1';
          applyCommit(views, subject, position, [event]);
        }
        checkHeld(world.state);
        checkPlaces(world.state);
        checkViews(world.state, views);
      }
      const again = initialState();
      for (const [at, event] of world.log.entries()) evolve(again, event, at + 1);
      assert.deepEqual(dump(again), dump(world.state), 'folding twice gives the same state');
    }),
    { numRuns: Number(process.env.MODEL_RUNS ?? 400) },
  );
  for (const type of ['NetworkSettled', 'EndpointSettled', 'JoinSettled', 'EndpointJoined', 'EndpointDeleted'])
    assert.ok(seen.has(type), `no ${type} in any history`);
});
