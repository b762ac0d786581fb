// What sandboxes get answered out of the names of their networks: kinds of names, families, places, and what is asked of others.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { arpaName } from '../../services/dns/arpa.ts';
import { answer, type LocalAnswer, type Question } from '../../services/dns/lookup.ts';
import { createZone, type Zone, type ZoneMember } from '../../services/dns/zone.ts';
import { endpointFacts, member, networkFacts, sandboxFacts } from '../support/dns.ts';

const never = () => 0;
const zoneOf = (...members: readonly ZoneMember[]): Zone => {
  const zone = createZone();
  for (const one of members) zone.joined(one);
  return zone;
};

const ask = (zone: Zone, sandbox: string, name: string, type = 'A', more: Partial<Question> = {}) =>
  answer(zone, `i-${sandbox}`, { name, type, class: 'IN', ...more }, never);

const local = (zone: Zone, sandbox: string, name: string, type = 'A'): LocalAnswer => {
  const found = ask(zone, sandbox, name, type);
  return found === 'forward' ? assert.fail(`${name} ${type} was forwarded`) : found;
};

/** What an answer says, in no order; it must be one of ours. */
const says = (zone: Zone, sandbox: string, name: string, type = 'A'): readonly unknown[] => {
  const { rcode, authoritative, answers } = local(zone, sandbox, name, type);
  assert.deepEqual({ rcode, authoritative }, { rcode: 'NOERROR', authoritative: true }, `${name} ${type}`);
  return answers.map(({ data }) => data).sort();
};

const [web, db] = [networkFacts('web'), networkFacts('db.internal', { internal: true })];
const [one, two, three] = [sandboxFacts('s1'), sandboxFacts('s2'), sandboxFacts('s3')];
const a = member(web, { id: 'a', ipv4: '10.0.0.2/24', ipv6: 'fd00::2/64', aliases: ['app'] }, one);
const b = member(web, { id: 'b', ipv4: '10.0.0.3/24', aliases: ['app', 'B-Alias'] }, two);
const c = member(db, { id: 'c', name: 'c.master', ipv4: '10.1.0.2/24' }, two);
const alone = member(db, { id: 'alone', ipv4: '10.1.0.9/24' }, three);

test('an endpoint is found by its name and its aliases, in any case, in its own networks', () => {
  const zone = zoneOf(a, b, c);
  assert.deepEqual(says(zone, 's1', 'b'), ['10.0.0.3']);
  assert.deepEqual(says(zone, 's1', 'B'), ['10.0.0.3']);
  assert.deepEqual(says(zone, 's1', 'b-aliaS'), ['10.0.0.3']);
  assert.deepEqual(says(zone, 's1', 'a'), ['10.0.0.2'], 'and by itself');
  assert.deepEqual(says(zone, 's2', 'c.master'), ['10.1.0.2']);
  assert.equal(ask(zone, 's1', 'c.master'), 'forward', 'no network in common');
});

test('the answer has the name as it was asked', () => {
  assert.deepEqual(local(zoneOf(a), 's1', 'aPP').answers, [{ type: 'A', name: 'aPP', data: '10.0.0.2' }]);
});

test('an alias leads to all that have it, and to those only that are left', () => {
  const zone = zoneOf(a, b);
  assert.deepEqual(says(zone, 's1', 'app'), ['10.0.0.2', '10.0.0.3']);
  zone.left('b');
  assert.deepEqual(says(zone, 's1', 'app'), ['10.0.0.2']);
});

test('which of them comes first is by chance', () => {
  const zone = zoneOf(a, b);
  const first = (random: number) => {
    const found = answer(zone, 'i-s1', { name: 'app', type: 'A', class: 'IN' }, (limit) => random % limit);
    return found === 'forward' ? null : found.answers[0]?.data;
  };
  assert.deepEqual(new Set([first(0), first(1)]), new Set(['10.0.0.2', '10.0.0.3']));
});

test('a name with its network behind it, dots in both', () => {
  const zone = zoneOf(a, b, c);
  assert.deepEqual(says(zone, 's1', 'b.web'), ['10.0.0.3']);
  assert.deepEqual(says(zone, 's1', 'b.WEB'), ['10.0.0.3']);
  assert.deepEqual(says(zone, 's2', 'c.master.db.internal'), ['10.1.0.2']);
  assert.equal(ask(zone, 's1', 'b.db.internal'), 'forward', 'not in that network');
  assert.equal(ask(zone, 's1', 'c.master.db.internal'), 'forward', 'not a network of this sandbox');
});

test('a name that is an endpoint of one network and NAME.NETWORK of another: the endpoint', () => {
  const dotted = member(db, { id: 'x', name: 'b.web', ipv4: '10.1.0.7/24' }, two);
  assert.deepEqual(says(zoneOf(b, dotted), 's2', 'b.web'), ['10.1.0.7']);
});

test('the network of the gateway is looked at first', () => {
  const other = networkFacts('other');
  const low = member(web, { id: 'low', ipv4: '10.0.0.8/24', aliases: ['same'] }, one);
  const high = member(other, { id: 'high', ipv4: '10.2.0.8/24', aliases: ['same'], gatewayPriority: 5 }, one);
  assert.deepEqual(says(zoneOf(low, high), 's1', 'same'), ['10.2.0.8']);
  const equal = { ...high, endpoint: { ...high.endpoint, gatewayPriority: 0 } };
  assert.deepEqual(says(zoneOf(low, equal), 's1', 'same'), ['10.0.0.8'], 'of equal ones the first joined');
  const six = { ...high, endpoint: { ...high.endpoint, ipv4: null, ipv6: 'fd00:2::8/64' } };
  assert.deepEqual(says(zoneOf(low, six), 's1', 'same'), ['10.0.0.8'], 'it has none of this family');
});

test('a known name has an empty answer where there is nothing of that type', () => {
  const zone = zoneOf(a, b);
  assert.deepEqual(says(zone, 's1', 'a', 'AAAA'), ['fd00::2']);
  for (const type of ['AAAA', 'MX', 'TXT', 'SRV', 'CNAME', 'UNKNOWN_65']) {
    assert.deepEqual(says(zone, 's1', 'b', type), [], type);
    assert.deepEqual(says(zone, 's1', 'b.web', type), [], type);
  }
  assert.deepEqual(says(zone, 's1', 'a', 'ANY'), ['10.0.0.2', 'fd00::2']);
});

test('links are for their own sandbox alone, also with the network behind them', () => {
  const linking = { ...a, endpoint: { ...a.endpoint, links: { Database: 'B', app: 'b' } } };
  const zone = zoneOf(linking, b);
  assert.deepEqual(says(zone, 's1', 'database'), ['10.0.0.3']);
  assert.deepEqual(says(zone, 's1', 'database.web'), ['10.0.0.3']);
  assert.deepEqual(says(zone, 's1', 'app'), ['10.0.0.3'], 'before names');
  assert.equal(local(zone, 's2', 'database').rcode, 'NXDOMAIN');
  zone.left('b');
  assert.equal(local(zone, 's1', 'database').rcode, 'NXDOMAIN', 'as long as there is who is meant');
});

test('a sandbox is found by its hostname', () => {
  const named = sandboxFacts('s9', { hostname: 'Mail', domainname: 'corp.example' });
  const zone = zoneOf(a, member(web, { id: 'm', ipv4: '10.0.0.9/24' }, named));
  for (const name of ['mail', 'mail.corp.example', 'mail.web', 'm']) {
    assert.deepEqual(says(zone, 's1', name), ['10.0.0.9'], name);
  }
  assert.equal(ask(zone, 's1', 'corp.example'), 'forward');
});

test('a hostname that is no name in messages is no name here', () => {
  const odd = sandboxFacts('s9', { hostname: 'a b\u0000\n', domainname: '..' });
  const zone = zoneOf(a, member(web, { id: 'm', ipv4: '10.0.0.9/24' }, odd));
  assert.equal(local(zone, 's1', 'a b\u0000\n').rcode, 'NXDOMAIN');
  assert.deepEqual(says(zone, 's1', 'm'), ['10.0.0.9']);
});

test('addresses lead to names', () => {
  const zone = zoneOf(a, b, c);
  assert.deepEqual(says(zone, 's1', '2.0.0.10.in-addr.arpa', 'PTR'), ['a.web']);
  assert.deepEqual(says(zone, 's1', arpaName('fd00::2') ?? '', 'PTR'), ['a.web']);
  assert.deepEqual(says(zone, 's1', (arpaName('fd00::2') ?? '').toUpperCase(), 'PTR'), ['a.web']);
  assert.deepEqual(says(zone, 's1', '2.0.0.10.in-addr.arpa', 'A'), []);
  assert.equal(ask(zone, 's1', '2.0.1.10.in-addr.arpa', 'PTR'), 'forward', 'of another network');
  for (const name of ['0.0.10.in-addr.arpa', '02.0.0.10.in-addr.arpa', '1.2.ip6.arpa', 'x.0.0.10.in-addr.arpa'])
    assert.equal(ask(zone, 's1', name, 'PTR'), 'forward', name);
  zone.left('a');
  assert.equal(ask(zone, 's2', '2.0.0.10.in-addr.arpa', 'PTR'), 'forward', 'left');
});

test('a name that fits into no message is answered by another of its names, else not at all', () => {
  const id = 'f'.repeat(64);
  const long = member(web, { id: 'l', name: id, ipv4: '10.0.0.4/24', aliases: ['short'] }, two);
  const question = '4.0.0.10.in-addr.arpa';
  assert.deepEqual(says(zoneOf(a, long), 's1', question, 'PTR'), ['short.web']);
  const nameless = { ...long, endpoint: { ...long.endpoint, aliases: [] } };
  assert.equal(local(zoneOf(a, nameless), 's1', question, 'PTR').rcode, 'SERVFAIL');
});

test('services lead to where they are offered', () => {
  const http = { name: 'http', protocol: 'tcp', port: 8080 } as const;
  const offering = (one_: ZoneMember, ...services: readonly (typeof http)[]): ZoneMember => ({
    ...one_,
    endpoint: { ...one_.endpoint, services: [...services] },
  });
  const zone = zoneOf(offering(a, http), offering(b, { ...http, port: 8081 } as unknown as typeof http));
  const target = (port: number, name: string) => ({ priority: 0, weight: 0, port, target: name });
  const found = local(zone, 's1', '_http._tcp.app', 'SRV');
  assert.deepEqual(
    new Set(found.answers.map(({ data }) => data)),
    new Set([target(8080, 'a.web'), target(8081, 'b.web')]),
  );
  assert.deepEqual(
    new Set(found.additionals.map(({ name, data }) => `${name} ${String(data)}`)),
    new Set(['a.web 10.0.0.2', 'a.web fd00::2', 'b.web 10.0.0.3']),
  );
  assert.deepEqual(says(zone, 's1', '_http._tcp.a.web', 'SRV'), [target(8080, 'a.web')]);
  assert.deepEqual(says(zone, 's1', '_http._udp.app', 'SRV'), [], 'not by that protocol');
  assert.deepEqual(says(zone, 's1', '_ssh._tcp.app', 'SRV'), []);
  assert.deepEqual(says(zone, 's1', '_http._tcp.app', 'A'), []);
  assert.equal(ask(zone, 's1', '_http._tcp.unknown.example', 'SRV'), 'forward');
});

test('position.cnm tells how far the names are', () => {
  const zone = zoneOf(a);
  zone.reached(17);
  zone.reached(12);
  assert.deepEqual(says(zone, 's1', 'position.cnm', 'TXT'), ['position=17']);
  assert.deepEqual(says(zone, 's1', 'position.cnm', 'A'), []);
});

test('what is asked of others: names with dots, and what the tree is made of', () => {
  const zone = zoneOf(a, b);
  assert.equal(ask(zone, 's1', 'example.com'), 'forward');
  assert.equal(ask(zone, 's1', 'example.com', 'MX'), 'forward');
  for (const type of ['A', 'AAAA', 'MX', 'TXT', 'ANY', 'UNKNOWN_65'])
    assert.equal(local(zone, 's1', 'unknown', type).rcode, 'NXDOMAIN', type);
  for (const type of ['NS', 'SOA', 'DS', 'DNSKEY']) assert.equal(ask(zone, 's1', 'com', type), 'forward', type);
  assert.equal(ask(zone, 's1', '', 'NS'), 'forward');
  assert.equal(answer(zone, 'i-s1', { name: null, type: 'A', class: 'IN' }, never), 'forward', 'a name of odd bytes');
});

test('a sandbox with nothing but internal networks asks nobody', () => {
  const zone = zoneOf(alone, c, b);
  for (const [name, type] of [
    ['example.com', 'A'],
    ['com', 'NS'],
    ['', 'NS'],
    ['9.9.9.9.in-addr.arpa', 'PTR'],
  ] as const)
    assert.equal(local(zone, 's3', name, type).rcode, 'NXDOMAIN', name);
  assert.equal(answer(zone, 'i-s3', { name: null, type: 'A', class: 'IN' }, never) === 'forward', false);
  assert.deepEqual(says(zone, 's3', 'c.master'), ['10.1.0.2']);
  assert.equal(ask(zone, 's2', 'example.com'), 'forward', 'another network of it is not internal');
  zone.left('b');
  assert.equal(local(zone, 's2', 'example.com').rcode, 'NXDOMAIN', 'and is no longer there');
  const none = networkFacts('none', { driver: 'null' });
  assert.equal(local(zoneOf(member(none, { id: 'n' }, one)), 's1', 'example.com').rcode, 'NXDOMAIN');
});

test('refused: other classes, transfers, and who is in no network', () => {
  const zone = zoneOf(a);
  const rcode = (sandbox: string, more: Partial<Question>) => {
    const found = ask(zone, sandbox, 'a', more.type ?? 'A', more);
    return found === 'forward' ? found : found.rcode;
  };
  assert.equal(rcode('s1', { class: 'CH' }), 'REFUSED');
  assert.equal(rcode('s1', { type: 'AXFR' }), 'REFUSED');
  assert.equal(rcode('s2', {}), 'REFUSED');
});

test('servers: those of the sandbox, else of its networks, else of the host', () => {
  const dns = (servers: string[] | null) => ({ servers, search: null, options: null });
  const first = networkFacts('n1', { dns: dns(['10.0.0.53', '10.0.0.54']) });
  const second = networkFacts('n2', { dns: dns(['10.0.0.54', '10.0.0.55']) });
  const of = (...members: readonly ZoneMember[]) => zoneOf(...members).of('i-s1')?.servers;
  assert.deepEqual(of(a), null);
  assert.deepEqual(of(a, member(first, { id: 'x' }, one), member(second, { id: 'y' }, one)), [
    '10.0.0.53',
    '10.0.0.54',
    '10.0.0.55',
  ]);
  assert.deepEqual(of(member(first, { id: 'x' }, { ...one, dns: dns(['9.9.9.9']) })), ['9.9.9.9']);
  assert.deepEqual(of(member(first, { id: 'x' }, { ...one, dns: dns([]) })), [], 'nobody was said');
});

test('changes in place', () => {
  const zone = zoneOf(a, b);
  zone.endpointChanged({ ...b.endpoint, aliases: ['new'] });
  assert.deepEqual(says(zone, 's1', 'new'), ['10.0.0.3']);
  assert.deepEqual(says(zone, 's1', 'app'), ['10.0.0.2']);
  zone.networkChanged({ ...web, dns: { servers: ['10.0.0.53'], search: null, options: null } });
  assert.deepEqual(zone.of('i-s1')?.servers, ['10.0.0.53']);
  assert.deepEqual(zone.of('i-s2')?.servers, ['10.0.0.53']);
  zone.endpointChanged(endpointFacts('nobody', 'web', { aliases: ['nothing'], ipv4: '10.0.0.77/24' }));
  assert.equal(local(zone, 's1', 'nothing').rcode, 'NXDOMAIN');
});

test('who joins again is in one place, and the last to leave takes the network along', () => {
  const zone = zoneOf(a, b);
  zone.joined({ ...a, sandbox: three });
  assert.equal(zone.of('i-s1'), undefined);
  assert.deepEqual(says(zone, 's3', 'b'), ['10.0.0.3']);
  zone.left('a');
  zone.left('a');
  zone.left('b');
  assert.equal(zone.endpoints, 0);
  assert.equal(zone.of('i-s2'), undefined);
});

test('an endpoint on another host has its names, address and services here, for those on its network, until it has left', () => {
  const zone = zoneOf(a, c);
  const far = {
    endpointId: 'far',
    network: web,
    names: ['far', 'app'],
    services: [{ name: 'http', protocol: 'tcp' as const, port: 80 }],
    ipv4: '10.0.0.77',
    ipv6: null,
  };
  zone.met(far);
  assert.deepEqual(says(zone, 's1', 'far'), ['10.0.0.77']);
  assert.deepEqual(says(zone, 's1', 'far.web'), ['10.0.0.77']);
  assert.deepEqual(says(zone, 's1', 'app'), ['10.0.0.2', '10.0.0.77']);
  assert.deepEqual(says(zone, 's1', arpaName('10.0.0.77') ?? '', 'PTR'), ['far.web']);
  assert.deepEqual(
    local(zone, 's1', '_http._tcp.far', 'SRV').answers.map(({ data }) => data),
    [{ priority: 0, weight: 0, port: 80, target: 'far.web' }],
  );
  assert.equal(local(zone, 's2', 'far').rcode, 'NXDOMAIN', 'not its network');
  zone.reset([a, c]);
  assert.deepEqual(says(zone, 's1', 'far'), ['10.0.0.77'], 'others are not told anew when ours are');
  zone.met({ ...far, names: ['far'], ipv4: '10.0.0.78' });
  assert.deepEqual(says(zone, 's1', 'far'), ['10.0.0.78']);
  assert.deepEqual(says(zone, 's1', 'app'), ['10.0.0.2']);
  zone.left('far');
  assert.deepEqual(ask(zone, 's1', 'far.web'), ask(zone, 's1', 'nobody.web'));
});

test('a network goes with the last who is in it, and is there anew for the next', () => {
  const far = { endpointId: 'far', network: web, names: ['far'], services: [], ipv4: '10.0.0.77', ipv6: null };
  const bare = member(web, { id: 'bare' }, three);
  const zone = zoneOf(a, b, c, bare);
  zone.met(far);
  zone.networkChanged(web);
  assert.equal(zone.networks, 2);
  for (const id of ['a', 'b', 'far', 'c']) zone.left(id);
  assert.equal(zone.networks, 1, 'it has one without a name');
  assert.equal(local(zone, 's3', 'b').rcode, 'NXDOMAIN');
  zone.joined(b);
  assert.deepEqual(says(zone, 's3', 'b.web'), ['10.0.0.3'], 'what was made of the network before still holds');
  for (const id of ['b', 'bare']) zone.left(id);
  assert.equal(zone.networks, 0);
  zone.met(far);
  zone.joined(b);
  assert.deepEqual(says(zone, 's2', 'far'), ['10.0.0.77']);
});

test('an endpoint that is on another host now is in no sandbox here', () => {
  const zone = zoneOf(a);
  zone.met({ endpointId: 'a', network: web, names: ['a'], services: [], ipv4: '10.0.0.2', ipv6: null });
  assert.equal(zone.of('i-s1'), undefined);
  zone.left('a');
  assert.equal(zone.networks, 0);
});
