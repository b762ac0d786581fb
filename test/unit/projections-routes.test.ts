// Default routes in the view of endpoints: where reports have put them, while `gateway` says where they are to be.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Told } from '../support/told.ts';

const own = { destination: '10.9.0.0/16', gateway: '10.0.0.9' };
const through = (gateway: string) => ({ destination: '0.0.0.0/0', gateway });

/** A sandbox on three networks; a carries the default route, and has one of its own. */
const three = (): Told => {
  const log = new Told();
  for (const [at, name] of ['a', 'b', 'c'].entries()) {
    log.network(name);
    log.endpoint(name, name);
    const routes = name === 'a' ? [through('10.0.0.1'), own] : [];
    log.joined(name, name, 's1', log.join(name, name, 's1', `eth${at}`), [], routes);
  }
  return log;
};

/** What the views show after all that was told: gateways of the routes of each endpoint, and who is to carry the default route. */
const shown = (log: Told): readonly string[] =>
  ['a', 'b', 'c'].flatMap((name) => {
    const row = log.views().rows.endpoints.get(`end${name}`);
    return row
      ? [`${name}${row.gateway.ipv4 ? '*' : ''} ${row.routes.map(({ gateway }) => gateway).join(' ')}`.trim()]
      : [];
  });
const settings = (gatewayPriority: number) => ({ aliases: [], ports: [], gatewayPriority });

test('routes: as they were reported, and with whoever carries them once an update is reported', () => {
  const log = three();
  assert.deepEqual(shown(log), ['a* 10.0.0.1 10.0.0.9', 'b', 'c']);
  const intent = log.update('b', 'b', settings(5));
  assert.deepEqual(shown(log), ['a 10.0.0.1 10.0.0.9', 'b*', 'c'], 'asked for, and not done');
  log.updated('b', 'b', intent);
  assert.deepEqual(shown(log), ['a 10.0.0.9', 'b* 10.1.0.1', 'c']);
  log.failed('EndpointUpdateFailed', 'c', 'c', log.update('c', 'c', settings(9)));
  assert.deepEqual(shown(log), ['a 10.0.0.9', 'b* 10.1.0.1', 'c']);
});

test('routes: of one that is out go to the next, however late it is reported', () => {
  const log = three();
  const intent = log.leave('a', 'a', 's1');
  assert.deepEqual(shown(log), ['a 10.0.0.1 10.0.0.9', 'b*', 'c']);
  log.join('a', 'a', 's2');
  log.left('a', 'a', 's1', intent);
  assert.deepEqual(shown(log), ['a*', 'b* 10.1.0.1', 'c']);
});

test('routes: what is reported meanwhile leaves them with one that has yet to leave', () => {
  const log = three();
  const [first, second] = [log.leave('c', 'c', 's1'), log.leave('a', 'a', 's1')];
  log.update('b', 'b', settings(-1));
  log.left('c', 'c', 's1', first);
  assert.deepEqual(shown(log), ['a 10.0.0.1 10.0.0.9', 'b*', 'c']);
  log.left('a', 'a', 's1', second);
  assert.deepEqual(shown(log), ['a', 'b* 10.1.0.1', 'c']);
});

test('routes: one that joins has what it reports, and the others have it no more', () => {
  const log = three();
  log.endpoint('a', 'd', { gatewayPriority: 1 });
  log.joined('a', 'd', 's1', log.join('a', 'd', 's1', 'eth3'), [], [through('10.0.0.1')]);
  assert.deepEqual(shown(log), ['a 10.0.0.9', 'b', 'c']);
  log.leaveReverted('a', 'd', 's1', log.leave('a', 'd', 's1', false, 3), 3);
  assert.deepEqual(shown(log), ['a 10.0.0.9', 'b', 'c']);
  log.left('a', 'd', 's1', log.leave('a', 'd', 's1'));
  assert.deepEqual(shown(log), ['a* 10.0.0.1 10.0.0.9', 'b', 'c']);
});

test('routes: one that has joined while it was to leave has them as reported when it stays after all', () => {
  const log = three();
  log.endpoint('a', 'd', { gatewayPriority: 1 });
  const joining = log.join('a', 'd', 's1', 'eth3');
  const leaving = log.leave('a', 'd', 's1', false, 3);
  log.joined('a', 'd', 's1', joining, [], [through('10.0.0.1')]);
  log.leaveReverted('a', 'd', 's1', leaving, 3);
  assert.deepEqual(shown(log), ['a 10.0.0.9', 'b', 'c']);
  const { status, routes, sandboxKey } = log.views().rows.endpoints.get('endd') ?? {};
  assert.deepEqual([status, routes, sandboxKey], ['joined', [through('10.0.0.1')], '/run/s1']);
});

test('routes: both families, IPv4 first, and over the link where the network has no gateway', () => {
  const log = new Told();
  const subnet = { range: null, aux: {}, vni: null, pool: null };
  log.network('a');
  log.network('b', {
    ipv6: true,
    defaultRoute: 'link',
    subnets: [
      { family: 4, subnet: '10.7.0.0/24', gateway: null, ...subnet },
      { family: 6, subnet: 'fd00:7::/64', gateway: null, ...subnet },
    ],
  });
  for (const name of ['a', 'b']) log.endpoint(name, name);
  log.joined('a', 'a', 's1', log.join('a', 'a', 's1'), [], [through('10.0.0.1')]);
  log.joined('b', 'b', 's1', log.join('b', 'b', 's1', 'eth1'), [], [{ destination: '::/0', gateway: '' }, own]);
  log.left('a', 'a', 's1', log.leave('a', 'a', 's1'));
  assert.deepEqual(log.views().rows.endpoints.get('endb')?.routes, [
    { destination: '0.0.0.0/0', gateway: '' },
    { destination: '::/0', gateway: '' },
    own,
  ]);
});
