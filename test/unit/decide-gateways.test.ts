// Specifications of gateways: who carries the default routes of a sandbox, each family by itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { did, failed, given, network, reported, type Step } from '../support/specification.ts';
import type { World } from '../support/world.ts';

const web = network('web');
const db = network('db');
const dual = network('dual', { ipv6: true });
const inner = network('inner', { internal: true, ipv6: true });

const attach = (...networks: readonly (readonly [network: string, priority?: number])[]): Step =>
  did('AttachSandbox', {
    sandbox: 's1',
    networks: networks.map(([name, gatewayPriority = 0]) => ({ network: name, name, gatewayPriority })),
  });
const leave = (name: string): Step => did('LeaveEndpoint', { network: name, endpoint: name });

/** Names of the endpoints that carry the routes: IPv4 and IPv6. */
const carriers = (world: World): readonly (string | null)[] => {
  const [row] = world.state.sandboxes.values();
  return [row?.gateways.ipv4, row?.gateways.ipv6].map((id) => world.state.endpoints.get(id ?? '')?.facts.name ?? null);
};
const elected = (...steps: readonly Step[]) => carriers(given(web, db, dual, inner, ...steps).world);

test('the highest priority carries, of equal ones the first that joined', () => {
  assert.deepEqual(elected(attach(['web'], ['db'])), ['web', null]);
  assert.deepEqual(elected(attach(['web'], ['db', 1])), ['db', null]);
  assert.deepEqual(elected(attach(['web', 1], ['db', 1])), ['web', null]);
  assert.deepEqual(elected(attach(['web', -1], ['db'])), ['db', null]);
});

test('each family is elected by itself, among those that can carry it', () => {
  assert.deepEqual(elected(attach(['web', 5], ['dual'])), ['web', 'dual']);
  assert.deepEqual(elected(attach(['inner', 9], ['dual'])), ['dual', 'dual']);
  assert.deepEqual(elected(attach(['inner', 9])), [null, null]);
});

test('who joins later takes over only with a higher priority', () => {
  assert.deepEqual(elected(attach(['web', 1]), reported, attach(['db', 1])), ['web', null]);
  assert.deepEqual(elected(attach(['web', 1]), reported, attach(['db', 2])), ['db', null]);
});

test('when the gateway leaves the next takes over, by the same rule', () => {
  const all = attach(['web', 3], ['db', 1], ['dual', 2]);
  assert.deepEqual(elected(all, reported, leave('web')), ['dual', 'dual']);
  assert.deepEqual(elected(all, reported, leave('web'), leave('dual')), ['db', null]);
  const { when } = given(web, db, attach(['web'], ['db']), reported);
  const [fact] = when('LeaveEndpoint', { network: 'web', endpoint: 'web' }).records({
    type: 'EndpointLeaveRequested',
    data: { last: false, before: { index: 0 } },
  });
  assert.ok(fact?.type === 'EndpointLeaveRequested');
  assert.notEqual(fact.data.gateways.ipv4, fact.data.before.gateways.ipv4);
  assert.equal(fact.data.before.gateways.ipv4, fact.data.endpointId);
});

test('what every join and leave says of the gateways is what holds after it', () => {
  const { world } = given(web, db, dual);
  const said = (events: readonly { readonly data: object }[]) =>
    events.flatMap(({ data }) => ('gateways' in data ? [data.gateways] : []));
  const joined = world.run('AttachSandbox', {
    sandbox: 's1',
    networks: [{ network: 'web' }, { network: 'dual', gatewayPriority: 1 }, { network: 'db' }],
  });
  const ids = [...world.state.endpoints.keys()];
  assert.deepEqual(said(joined), [
    { ipv4: ids[0], ipv6: null },
    { ipv4: ids[1], ipv6: ids[1] },
    { ipv4: ids[1], ipv6: ids[1] },
  ]);
  const left = world.run('DetachSandbox', { sandbox: 's1' });
  assert.deepEqual(said(left), [
    { ipv4: ids[1], ipv6: ids[1] },
    { ipv4: ids[2], ipv6: null },
    { ipv4: null, ipv6: null },
  ]);
});

test('a gateway that failed to join gives back what it took', () => {
  const taken = [attach(['web', 1], ['db']), reported, attach(['dual', 2])];
  assert.deepEqual(elected(...taken), ['dual', 'dual']);
  assert.deepEqual(elected(...taken, failed('EndpointJoinRequested')), ['web', null]);
  assert.deepEqual(elected(...taken, failed('EndpointCreateRequested')), ['web', null]);
});
