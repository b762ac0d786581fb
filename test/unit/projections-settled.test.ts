// Views show what was settled: subnets, addresses, interfaces, and who carries the default routes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyCommit, createViews, rowsOf } from '../../projections/views.ts';
import { addresses, attached, ipam, lan, plug, pool, settled, subnets } from '../support/settling.ts';
import { endpoint, givenIn, network, reported, type Step } from '../support/specification.ts';

const viewsAfter = (...steps: readonly Step[]) => {
  const { world } = givenIn({ facts: { drivers: ['weave'] } }, ...steps);
  const views = createViews();
  for (const [at, event] of world.log.entries()) {
    const reports = event.meta.commandseq === undefined;
    applyCommit(views, `cnm.${reports ? 'outcome' : 'event.host'}.h1`, at + 1, [event]);
  }
  return { world, views };
};

const addressesIn = ({ views }: ReturnType<typeof viewsAfter>): readonly string[] =>
  [...rowsOf(views, 'addresses').values()].map(({ address, kind, holder }) => `${address} ${kind} ${holder}`).sort();

test('addresses of a plugin’s pool, and of endpoints in it, stand in the views once they are settled', () => {
  const made = [
    ipam('lan', 'bridge'),
    settled(subnets(pool('10.251.0.0/24', { gateway: '10.251.0.1', aux: { rtr: '10.251.0.5' } }))),
    reported,
    endpoint('lan', 'a'),
  ];
  const open = viewsAfter(...made);
  assert.deepEqual(addressesIn(open), ['10.251.0.1 gateway null', '10.251.0.5 aux rtr']);
  assert.deepEqual(
    [...rowsOf(open.views, 'networks').values()].map((row) => row.subnets.map(({ subnet }) => subnet)),
    [['10.251.0.0/24']],
  );
  const answered = viewsAfter(...made, settled(addresses('10.251.0.7/24')), settled(addresses('10.251.0.8/24')));
  assert.deepEqual(addressesIn(answered), ['10.251.0.1 gateway null', '10.251.0.5 aux rtr', '10.251.0.8 endpoint a']);
  const [row] = rowsOf(answered.views, 'endpoints').values();
  assert.deepEqual([row?.ipv4, row?.mac], ['10.251.0.8/24', '02:42:0a:fb:00:08']);
});

test('a join shows its interface and its gateway when it is settled, for the sandbox too', () => {
  const { world, views } = viewsAfter(
    lan,
    network('web'),
    reported,
    attached('web', 'lan'),
    settled(plug({ gateway4: '10.200.1.1' })),
  );
  const [web, own] = rowsOf(views, 'endpoints').values();
  assert.deepEqual([web?.interface, own?.interface, own?.plug?.link], ['eth0', 'eth1', 'pc0']);
  assert.deepEqual([web?.gateway.ipv4, own?.gateway.ipv4], [true, false], 'of equal ones the first carries the routes');
  const [sandbox] = rowsOf(views, 'sandboxes').values();
  assert.deepEqual(
    sandbox?.members.map((member) => member.interface),
    ['eth0', 'eth1'],
  );
  const [decided] = world.state.sandboxes.values();
  assert.deepEqual(sandbox?.gateways, decided?.gateways);
});

test('what a plugin gives a gateway carries the default route from then on, and no more when it has left', () => {
  const settledLan = viewsAfter(
    lan,
    network('web', { internal: true }),
    reported,
    attached('web', 'lan'),
    settled(plug({ gateway4: '10.200.0.1' })),
  );
  const [, own] = rowsOf(settledLan.views, 'endpoints').values();
  assert.deepEqual([own?.gateway.ipv4, own?.status], [true, 'joining']);
  const gone = viewsAfter(
    lan,
    reported,
    attached('lan'),
    settled(plug({ gateway4: '10.200.0.1' })),
    reported,
    (world) => {
      world.run('LeaveEndpoint', { network: 'lan', endpoint: 's1' });
      world.succeed();
    },
  );
  const [left] = rowsOf(gone.views, 'endpoints').values();
  assert.deepEqual([left?.plug, left?.interface, left?.gateway.ipv4], [null, null, false]);
});
