// What is published: leases, where they lead, and who says so, through updates, moves and failures.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { selectRows } from '../../projections/filter.ts';
import { exposureOf } from '../../projections/ports.ts';
import type { ViewRows, Views } from '../../projections/views.ts';
import { binding, lease, Told } from '../support/told.ts';
import { fault, startMs } from '../support/world.ts';

const rows = <View extends keyof ViewRows>(views: Views, view: View): readonly ViewRows[View][] => [
  ...views.rows[view].values(),
];
const portsOf = (log: Told) => rows(log.views(), 'ports');
const row = (log: Told, name: string): ViewRows['endpoints'] => {
  const found = log.views().rows.endpoints.get(`end${name}`);
  return found ?? assert.fail(`no endpoint ${name}`);
};

/** As many rows, each with these fields. */
const exactly = (actual: readonly object[], expected: readonly object[]): void => {
  assert.equal(actual.length, expected.length, JSON.stringify(actual));
  assert.partialDeepStrictEqual(actual, expected);
};

const http = lease(8080, 80);
const dns = lease(53, 5353, { protocol: 'udp' });

/** An endpoint with a published port, in a sandbox. */
const published = (): Told => {
  const log = new Told();
  log.network('web');
  log.endpoint('web', 'a', { ipv4: '10.0.0.2/24', ports: [http] });
  log.joined('web', 'a', 's1', log.join('web', 'a', 's1'), [binding(http, '10.0.0.2')]);
  return log;
};

/** A sandbox on two networks, with a port of its own; a carries the default route. */
const twice = (): Told => {
  const log = new Told();
  for (const name of ['web', 'db']) log.network(name);
  log.endpoint('web', 'a', { ipv4: '10.0.0.2/24', ports: [http] });
  log.endpoint('db', 'b', { ipv4: '10.1.0.2/24' });
  log.sandbox('s1', { ports: [dns] });
  const [one, other] = [log.join('web', 'a', 's1'), log.join('db', 'b', 's1', 'eth1')];
  const leads = [binding(dns, '10.0.0.2'), binding(http, '10.0.0.2')];
  log.joined('web', 'a', 's1', one, leads);
  log.joined('db', 'b', 's1', other, leads);
  return log;
};

test('ports: held from the creation, with who asked for it, since when and who can reach it', () => {
  const log = new Told();
  log.network('web');
  log.endpoint('web', 'a', { ports: [lease(8000, 80, { hostAddresses: ['0.0.0.0', '::'], count: 10 })] });
  const shared = { host: 'h1', protocol: 'tcp', hostPort: 8000, count: 10, port: 80, exposure: 'any', status: 'held' };
  const holder = { holderKind: 'endpoint', holderId: 'enda', holder: 'a', network: 'web', networkId: 'netweb' };
  const since = new Date(startMs).toISOString();
  const more = { sandbox: null, endpoint: null, address: null, actor: 'alice', since, boundSince: null };
  exactly(portsOf(log), [
    { hostAddress: '0.0.0.0', family: 4, ...shared, ...holder, ...more },
    { hostAddress: '::', family: 6, ...shared, ...holder, ...more },
  ]);
});

test('ports: who can reach an address', () => {
  const exposures = ['127.0.0.1', '127.9.9.9', '::1', '0.0.0.0', '::', '192.0.2.1', 'fd00::1'].map(exposureOf);
  assert.deepEqual(exposures, ['loopback', 'loopback', 'loopback', 'any', 'any', 'address', 'address']);
});

test('ports: bound when the worker says so, in the port map too, and not any more when the endpoint has left', () => {
  const log = published();
  const led = { status: 'bound', address: '10.0.0.2', endpoint: 'a', sandbox: 's1', hostPort: 8080 };
  exactly(portsOf(log), [led]);
  assert.deepEqual(row(log, 'a').portMap, [binding(http, '10.0.0.2')]);
  assert.deepEqual(row(log, 'a').gateway, { ipv4: true, ipv6: false });
  const leave = log.leave('web', 'a', 's1', true);
  exactly(portsOf(log), [led]);
  assert.deepEqual(row(log, 'a').gateway, { ipv4: false, ipv6: false });
  log.left('web', 'a', 's1', leave);
  exactly(portsOf(log), [{ status: 'held', address: null, sandbox: null, boundSince: null }]);
  assert.deepEqual(row(log, 'a').portMap, []);
});

test('ports: where nothing is translated, bound too: they lead to the endpoint by its own numbers', () => {
  const log = new Told();
  log.network('web');
  const wide = (hostPort: number, port: number, more = {}) =>
    lease(hostPort, port, { hostAddresses: ['0.0.0.0'], ...more });
  const asked = [wide(8080, 80), wide(9000, 90, { count: 3 }), wide(8053, 53, { protocol: 'udp' })];
  const chosen = lease(8080, 80, { hostAddresses: ['192.0.2.1'], protocol: 'sctp' });
  log.endpoint('web', 'a', { ipv4: '10.0.0.2/24', ports: [...asked, chosen] });
  const direct = asked.map((one) => ({ ...binding(one, '10.0.0.2'), hostAddress: '10.0.0.2', hostPort: one.port }));
  log.joined('web', 'a', 's1', log.join('web', 'a', 's1'), direct);
  const led = { status: 'bound', address: '10.0.0.2', endpoint: 'a', sandbox: 's1' };
  exactly(portsOf(log), [
    { hostPort: 8080, port: 80, ...led },
    { hostPort: 9000, port: 90, ...led },
    { hostPort: 8053, port: 53, ...led },
    { hostPort: 8080, port: 80, status: 'held', address: null },
  ]);
});

test('ports: gone with the endpoint, also when its creation fails or its network is undone', () => {
  const log = published();
  const create = log.commits.find(({ event }) => event.type === 'EndpointCreateRequested')?.event.meta.id ?? '';
  log.failed('EndpointCreateFailed', 'web', 'a', create);
  assert.deepEqual(portsOf(log), []);
  const undone = new Told();
  const intent = undone.network('web');
  undone.endpoint('web', 'a', { ports: [http] });
  undone.tell('NetworkCreateFailed', { networkId: 'netweb', name: 'web', fault: fault() }, intent);
  assert.deepEqual(portsOf(undone), []);
});

test('ports: those of a sandbox are held from its first join until it is gone', () => {
  const log = twice();
  const own = portsOf(log).filter(({ holderKind }) => holderKind === 'sandbox');
  assert.partialDeepStrictEqual(own, [
    { holderId: 'boxs1', holder: 's1', sandbox: 's1', network: null, hostPort: 53, endpoint: 'a', status: 'bound' },
  ]);
  const leaves = [log.leave('db', 'b', 's1'), log.leave('web', 'a', 's1', true)];
  log.left('db', 'b', 's1', leaves[0] ?? '');
  log.left('web', 'a', 's1', leaves[1] ?? '');
  exactly(
    portsOf(log).filter(({ holder }) => holder === 's1'),
    [{ status: 'held', address: null }],
  );
  log.tell('SandboxRemoved', { sandbox: log.sandbox('s1') }, leaves[1]);
  assert.deepEqual(
    portsOf(log).map(({ holder }) => holder),
    ['a'],
  );
});

test('ports: when the gateway leaves, what is not its own leads to the next, and its own nowhere', () => {
  const log = twice();
  assert.deepEqual(row(log, 'a').portMap.length, 2);
  assert.deepEqual([row(log, 'a').gateway.ipv4, row(log, 'b').gateway.ipv4], [true, false]);
  const leave = log.leave('web', 'a', 's1');
  assert.deepEqual([row(log, 'a').gateway.ipv4, row(log, 'b').gateway.ipv4], [false, true]);
  log.left('web', 'a', 's1', leave);
  assert.deepEqual(row(log, 'b').portMap, [binding(dns, '10.1.0.2')]);
  assert.deepEqual(row(log, 'a').portMap, []);
  exactly(portsOf(log), [
    { holder: 'a', status: 'held', address: null },
    { holder: 's1', status: 'bound', address: '10.1.0.2', endpoint: 'b' },
  ]);
});

test('ports: a host port that was found takes the place of the one that was looked for', () => {
  const log = new Told();
  log.network('web');
  const choice = { from: 9000, to: 9009 };
  const intent = log.endpoint('web', 'a', { ports: [lease(0, 80), lease(0, 80), lease(0, 81, { choice })] });
  assert.deepEqual(
    portsOf(log).map(({ status, hostPort }) => [status, hostPort]),
    Array(3).fill(['finding', 0]),
  );
  const found = [1, 0, 2].map((index) => ({ holder: 'enda', index, hostPort: 9000 + index }));
  log.tell('PortsLeased', { intent, ports: found });
  const leased = portsOf(log).map(({ status, hostPort, port }) => [status, hostPort, port]);
  assert.deepEqual(leased.sort(), [
    ['held', 9000, 80],
    ['held', 9001, 80],
    ['held', 9002, 81],
  ]);
  assert.deepEqual(
    row(log, 'a').ports.map(({ hostPort }) => hostPort),
    [9000, 9001, 9002],
  );
  assert.equal(row(log, 'a').ports[2]?.choice, choice);
});

test('ports: found for a sandbox they stand in its own list', () => {
  const log = new Told();
  log.network('web');
  log.endpoint('web', 'a');
  log.sandbox('s1', { ports: [lease(0, 80)] });
  const intent = log.join('web', 'a', 's1');
  log.tell('PortsLeased', { intent, ports: [{ holder: 'boxs1', index: 0, hostPort: 32_768 }] });
  exactly(portsOf(log), [{ holder: 's1', hostPort: 32_768, status: 'held' }]);
  assert.equal(rows(log.views(), 'sandboxes')[0]?.ports[0]?.hostPort, 32_768);
});

const settings = (ports = [http], more: object = {}) => ({ aliases: [], ports, gatewayPriority: 0, ...more });
const https = lease(8443, 443);
const statuses = (log: Told) => portsOf(log).map(({ hostPort, status }) => [hostPort, status]);

test('updates of endpoints: settings change at once, old and new leases are held until the worker has said so', () => {
  const log = published();
  const update = log.update('web', 'a', settings([https], { aliases: ['x'], gatewayPriority: 7 }));
  assert.partialDeepStrictEqual(row(log, 'a'), {
    ...{ status: 'joined', aliases: ['x'], gatewayPriority: 7, ports: [https], updateFault: null },
    update: { intent: update, before: { aliases: [], ports: [http], gatewayPriority: 0 }, earlier: null },
  });
  assert.deepEqual(statuses(log), [
    [8080, 'releasing'],
    [8443, 'held'],
  ]);
  log.updated('web', 'a', update, [binding(https, '10.0.0.2')]);
  assert.deepEqual(statuses(log), [[8443, 'bound']]);
  assert.equal(row(log, 'a').update, null);
  assert.deepEqual(row(log, 'a').portMap, [binding(https, '10.0.0.2')]);
});

test('updates of endpoints: what stays keeps who asked for it and since when', () => {
  const log = published();
  [log.actor, log.nowMs] = ['bob', startMs + 60_000];
  log.updated(
    'web',
    'a',
    log.update('web', 'a', settings([http, https])),
    [http, https].map((one) => binding(one, '10.0.0.2')),
  );
  const [since, later] = [startMs, log.nowMs].map((ms) => new Date(ms).toISOString());
  exactly(portsOf(log), [
    { hostPort: 8080, actor: 'alice', since, boundSince: since, status: 'bound' },
    { hostPort: 8443, actor: 'bob', since: later, boundSince: later, status: 'bound' },
  ]);
});

test('updates of endpoints: one that fails leaves what was before it, and says why', () => {
  const log = published();
  log.failed('EndpointUpdateFailed', 'web', 'a', log.update('web', 'a', settings([https], { gatewayPriority: 7 })));
  assert.deepEqual(statuses(log), [[8080, 'bound']]);
  assert.partialDeepStrictEqual(row(log, 'a'), {
    ...{ status: 'joined', ports: [http], gatewayPriority: 0, update: null, fault: null },
    updateFault: { code: 'KERNEL_ERROR' },
  });
});

test('updates of endpoints: several may be open; the last one counts, whatever becomes of the others', () => {
  const log = published();
  const first = log.update('web', 'a', settings([https]));
  const second = log.update('web', 'a', settings([dns]));
  assert.deepEqual(statuses(log), [
    [8080, 'releasing'],
    [8443, 'releasing'],
    [53, 'held'],
  ]);
  log.failed('EndpointUpdateFailed', 'web', 'a', first);
  assert.deepEqual(row(log, 'a').ports, [dns]);
  assert.deepEqual(statuses(log), [
    [8080, 'releasing'],
    [53, 'held'],
  ]);
  log.failed('EndpointUpdateFailed', 'web', 'a', second);
  assert.deepEqual(row(log, 'a').ports, [http]);
  assert.deepEqual(statuses(log), [[8080, 'bound']]);
});

test('updates of endpoints: done after its time is up counts for nothing, since it will be taken back', () => {
  const log = published();
  const update = log.update('web', 'a', settings([https]));
  const { commandid: commandId } = log.commits.at(-1)?.event.meta ?? assert.fail();
  log.tell('CommandTimedOut', { actor: 'alice', commandId, command: 'UpdateEndpoint', intents: [update] });
  log.updated('web', 'a', update, [], commandId);
  assert.equal(row(log, 'a').update?.intent, update);
  log.failed('EndpointUpdateFailed', 'web', 'a', update);
  assert.deepEqual(row(log, 'a').ports, [http]);
});

test('updates of endpoints: a higher priority takes the default route over', () => {
  const log = twice();
  const update = log.update('db', 'b', settings([], { gatewayPriority: 9 }));
  assert.deepEqual([row(log, 'a').gateway.ipv4, row(log, 'b').gateway.ipv4], [false, true]);
  log.updated('db', 'b', update, [binding(dns, '10.1.0.2'), binding(http, '10.1.0.2')]);
  assert.equal(row(log, 'b').portMap.length, 2);
  assert.deepEqual(row(log, 'a').portMap, []);
  assert.deepEqual(
    portsOf(log).map(({ endpoint }) => endpoint),
    ['b', 'b'],
  );
});

test('updates of networks: settings change at once, and are what they were when it fails', () => {
  const log = new Told();
  log.network('web', { labels: { team: 'shop' } });
  const dnsOf = { servers: ['192.0.2.53'], search: null, options: null };
  const about = { networkId: 'netweb', name: 'web' };
  const change = { labels: {}, mtu: 1400, dns: dnsOf, options: { mtu: '1400' }, drift: 'report' as const };
  const update = log.tell('NetworkUpdateRequested', { ...about, settings: change });
  assert.partialDeepStrictEqual(rows(log.views(), 'networks'), [
    { status: 'active', ...change, update: { intent: update } },
  ]);
  log.tell('NetworkUpdateFailed', { ...about, fault: fault() }, update);
  assert.partialDeepStrictEqual(rows(log.views(), 'networks'), [
    { status: 'active', labels: { team: 'shop' }, mtu: 1500, update: null, updateFault: { code: 'KERNEL_ERROR' } },
  ]);
});

/** s1 is to go from web to db, where it is c. */
const moving = () => {
  const log = twice();
  log.network('new');
  const create = log.endpoint('new', 'c', { ipv4: '10.2.0.2/24', origin: 'attach' });
  const join = log.join('new', 'c', 's1', 'eth2');
  const leave = log.leave('web', 'a', 's1');
  const remove = log.tell('EndpointDeleteRequested', {
    ...{ endpointId: 'enda', networkId: 'netweb', name: 'a', cause: 'command', garbage: null },
  });
  return { log, create, join, leave, remove };
};

test('moves: the sandbox stays, its ports follow, the old endpoint is gone with its own', () => {
  const { log, join, leave, remove } = moving();
  log.joined('new', 'c', 's1', join, [binding(dns, '10.1.0.2')]);
  log.left('web', 'a', 's1', leave);
  log.tell('EndpointDeleted', { endpointId: 'enda', networkId: 'netweb', name: 'a' }, remove);
  const [sandbox] = rows(log.views(), 'sandboxes');
  assert.partialDeepStrictEqual(sandbox, { status: 'ready', leaving: [], gateways: { ipv4: 'endb', ipv6: null } });
  assert.deepEqual(
    sandbox?.members.map(({ endpoint }) => endpoint),
    ['b', 'c'],
  );
  exactly(portsOf(log), [{ holder: 's1', endpoint: 'b', address: '10.1.0.2', status: 'bound' }]);
});

for (const order of ['leave first', 'deletion first'] as const) {
  test(`moves: one that fails leaves the endpoint where it was, ports included (${order})`, () => {
    const { log, create, leave, remove } = moving();
    log.failed('EndpointCreateFailed', 'new', 'c', create);
    const stays = () => log.leaveReverted('web', 'a', 's1', leave);
    if (order === 'leave first') stays();
    const about = { endpointId: 'enda', networkId: 'netweb', name: 'a', fault: fault() };
    log.tell('EndpointDeleteReverted', about, remove);
    if (order === 'deletion first') stays();
    const [sandbox] = rows(log.views(), 'sandboxes');
    assert.deepEqual(
      sandbox?.members.map(({ endpoint }) => endpoint),
      ['a', 'b'],
    );
    assert.partialDeepStrictEqual(sandbox, { status: 'ready', leaving: [], gateways: { ipv4: 'enda' } });
    assert.partialDeepStrictEqual(row(log, 'a'), { status: 'joined', sandbox: 's1', gateway: { ipv4: true } });
    assert.equal(row(log, 'a').portMap.length, 2);
    assert.deepEqual(
      portsOf(log).map(({ endpoint, status }) => [endpoint, status]),
      Array(2).fill(['a', 'bound']),
    );
  });
}

test('sandboxes: where their files are', () => {
  const log = published();
  assert.deepEqual(rows(log.views(), 'sandboxes')[0]?.paths, {
    hosts: '/run/files/s1/hosts',
    resolvConf: '/run/files/s1/resolv.conf',
    hostname: '/run/files/s1/hostname',
  });
});

test('filters: ports by exposure, by what holds them and by where they lead; of lists one, of labels all', () => {
  const log = twice();
  log.network('other', { labels: { team: 'shop', tier: '1' }, driver: 'null' });
  const views = log.views();
  const count = (view: keyof ViewRows, filter: Parameters<typeof selectRows>[2]) =>
    [...selectRows(views, view, filter)].length;
  assert.equal(count('ports', { exposure: 'loopback' }), 2);
  assert.equal(count('ports', { exposure: ['any', 'address'] }), 0);
  assert.equal(count('ports', { sandbox: 's1' }), 2);
  assert.equal(count('ports', { endpoint: 'A', protocol: ['udp', 'sctp'] }), 1);
  assert.equal(count('ports', { network: 'web' }), 1);
  assert.equal(count('networks', { driver: ['null', 'host'] }), 1);
  assert.equal(count('networks', { label: ['team', 'tier=1'] }), 1);
  assert.equal(count('networks', { label: ['team', 'tier=2'] }), 0);
  assert.deepEqual([count('networks', { dangling: 'true' }), count('networks', { dangling: 'false' })], [1, 2]);
  assert.deepEqual([count('networks', { type: 'builtin' }), count('networks', { scope: 'local' })], [0, 3]);
});
