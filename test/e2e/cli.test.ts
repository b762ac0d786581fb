// The command line as a user drives it, against a `cnm up` with the real kernel, in namespaces of the test's own.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { eventVersions } from '../../events/envelope.ts';
import type { HistoryRow } from '../../events/past-queries.ts';
import { waitFor } from '../support/nats.ts';
import { inOwnNamespaces, ipLinks, sh } from '../support/netns.ts';
import { launcher, makePlace, type Place, type Running } from './cli-harness.ts';

if (inOwnNamespaces(import.meta.filename)) {
  let place: Place;
  let up: Running;

  before(async () => {
    sh('ip link set lo up; sysctl -qw net.ipv4.ip_forward=1');
    place = makePlace();
    up = await place.up();
  });
  after(async () => {
    await up.end();
    place.remove();
  });

  const fails = (exit: number, pattern: RegExp, ...words: string[]): void => {
    const said = place.cnm(...words);
    assert.equal(said.exit, exit, `cnm ${words.join(' ')}: ${said.out}${said.err}`);
    assert.match(said.err, pattern);
  };
  const works = (...words: string[]): string => {
    const said = place.cnm(...words);
    assert.equal(said.exit, 0, `cnm ${words.join(' ')}: ${said.err}`);
    return said.out;
  };

  test('cli: status names all services, doctor finds the machine able', () => {
    const { services, streams, missing } = place.json('status');
    assert.deepEqual(
      services.map(({ name }: { name: string }) => name),
      ['cnm-collector', 'cnm-controller', 'cnm-projector', 'cnm-worker'],
    );
    assert.ok(streams.log.last > 0);
    assert.deepEqual(missing, []);
    assert.match(works('status'), /^host {7}h1, alive, kernel /m);
    assert.match(works('host', 'ls'), /^HOST +STATUS +EPOCH.*\nh1 +alive +1 /);
    assert.match(works('host', 'inspect', 'h1'), /^status: +alive$/m);
    assert.equal(place.cnm('host', 'inspect', 'h9').exit, 1);
    const { healthy, checks } = place.json('doctor');
    assert.equal(healthy, true, JSON.stringify(checks));
    assert.match(works('doctor'), /^ok {3}veth +works$/m);
    assert.match(
      works('doctor'),
      /^ +overlay secret +CNM_OVERLAY_SECRET_FILE is not set\n +-> only encrypted overlays/m,
    );
    const open = place.cnmWith({ CNM_OVERLAY_SECRET_FILE: import.meta.filename }, 'doctor');
    assert.equal(open.exit, 1);
    assert.match(open.out, /^BAD +overlay secret +\S+ has mode 0\d{3}: others must have no part in it/m);
    assert.match(works('network', 'rotate-keys'), /^no network is encrypted now/);
    assert.equal(place.json('network', 'rotate-keys').status, 'succeeded');
    const astray = place.cnmWith({ CNM_UNDERLAY: 'eth7' }, 'doctor');
    assert.equal(astray.exit, 1);
    assert.match(astray.out, /^BAD +underlay +CNM_UNDERLAY=eth7 is no IPv4 address .*\n +-> name one of /m);
  });

  test('cli: a network, two sandboxes on it, a ping, and nothing left afterwards', () => {
    assert.match(
      works('network', 'create', 'web', '--subnet', '10.9.1.0/24'),
      /^created network web \(bridge, 10\.9\.1\.0\/24/,
    );
    assert.match(works('network', 'ls'), /^web +\w+ +h1 +bridge +10\.9\.1\.0\/24 +active/m);
    const attached = place.json('sandbox', 'attach', 'c1', '--network', 'web:ip=10.9.1.5');
    assert.equal(attached.status, 'succeeded');
    assert.equal(attached.endpoints[0].ipv4, '10.9.1.5/24');
    const key = join(place.env.CNM_RUN_DIR ?? '', 'e2e-h1/netns/c1');
    assert.equal(attached.sandbox.key, key);
    assert.match(works('sandbox', 'attach', 'c2', '--network', 'web'), /^ {2}key .*\/c2$/m);
    assert.match(
      works('sandbox', 'exec', 'c2', '--', 'ping', '-c1', '-W1', 'c1'),
      /^PING c1 \(10\.9\.1\.5\).*1 received/s,
    );
    assert.match(works('sandbox', 'inspect', 'c1'), new RegExp(`^key: +${key}$`, 'm'));
    assert.match(works('endpoint', 'ls', 'web'), /^web +c1 .* 10\.9\.1\.5\/24 .* joined +c1$/m);
    assert.match(works('endpoint', 'inspect', 'web', 'c1'), /^interface: +eth0$/m);
    fails(
      1,
      /^NETWORK_HAS_ENDPOINTS: .*\n {2}endpoint c1 .*\n {2}endpoint c2 .*\nnext: Delete/s,
      'network',
      'rm',
      'web',
    );
    works('sandbox', 'detach', 'c1');
    works('sandbox', 'detach', 'c2');
    works('network', 'rm', 'web');
    assert.deepEqual(place.json('network', 'ls').rows, []);
    assert.ok(ipLinks().every(({ ifname }) => !ifname.startsWith('cb')));
    assert.deepEqual(readdirSync(join(place.env.CNM_RUN_DIR ?? '', 'e2e-h1/netns')), []);
  });

  test('cli: exec passes on exit code, output and arguments of the command', () => {
    works('network', 'create', 'x');
    works('sandbox', 'attach', 's1', '--network', 'x');
    const script = 'echo "$1"; echo oops >&2; exit 7';
    const said = place.cnm('sandbox', 'exec', 's1', '--', 'sh', '-c', script, 'sh', '--json');
    assert.deepEqual(said, { exit: 7, out: '--json\n', err: 'oops\n' });
    assert.equal(place.cnm('sandbox', 'exec', 's1', '--', 'no-such-command').exit, 127);
    assert.equal(place.cnm('sandbox', 'exec', 's1', '--', '/etc/passwd').exit, 126);
    fails(1, /^NOT_FOUND: there is no sandbox s9$/m, 'sandbox', 'exec', 's9', '--', 'true');
    works('sandbox', 'detach', 's1');
    works('network', 'prune');
    assert.deepEqual(place.json('network', 'ls').rows, []);
  });

  test('cli: an endpoint has a life of its own', () => {
    works('network', 'create', 'n1', '--subnet', '10.9.2.0/24', '--gc', '1h', '--label', 'team=a');
    assert.match(works('network', 'inspect', 'n1'), /^labels: +team=a$/m);
    works('endpoint', 'create', 'n1', 'db', '--ip', '10.9.2.9', '--mac', '02:00:00:00:00:09', '--alias', 'database');
    assert.match(
      works('endpoint', 'join', 'n1', 'db', '--sandbox', 'c3', '--hostname', 'dbhost'),
      /^joined db to sandbox c3$/m,
    );
    fails(1, /^ENDPOINT_JOINED: /, 'endpoint', 'rm', 'n1', 'db');
    works('endpoint', 'leave', 'n1', 'db');
    assert.match(works('garbage', 'ls'), /^n1 +db +h1 .* never +its address was asked for +c3$/m);
    works('endpoint', 'rm', 'h1/n1', 'db');
    works('network', 'rm', 'h1/n1');
  });

  test('cli: ports are published, shown, changed in place and follow a move', () => {
    works('network', 'create', 'front', '--subnet', '10.9.4.0/24', '--label', 'tier=front');
    works('network', 'create', 'other', '--subnet', '10.9.5.0/24');
    const attach = ['sandbox', 'attach', 'w1', '--network', 'front:alias=www', '-p', '0.0.0.0:8081:80', '-p', '53/udp'];
    assert.match(
      works(...attach, '--hostname', 'w', '--add-host', 'gw:host-gateway'),
      /0\.0\.0\.0:8081\/tcp -> 10\.9\.4\.2:80$/m,
    );
    const listed = works('port', 'ls');
    assert.match(
      listed,
      /^h1 +0\.0\.0\.0 +8081 +tcp +10\.9\.4\.2:80 +sandbox w1 +w1 +any +bound +tester \(claimed\) /m,
    );
    assert.match(listed, /^h1 +127\.0\.0\.1 +\d+ +udp +10\.9\.4\.2:53 +sandbox w1 +w1 +loopback /m);
    assert.equal(place.json('port', 'ls', '--exposure', 'any').rows.length, 1);
    fails(1, /^PORT_IN_USE: .*\n {2}sandbox w1/, 'endpoint', 'create', 'other', 'e', '-p', '8081:80');
    assert.match(
      works('endpoint', 'update', 'front', 'w1', '-p', '8444:443'),
      /127\.0\.0\.1:8444\/tcp -> 10\.9\.4\.2:443$/m,
    );
    assert.match(
      works('endpoint', 'inspect', 'front', 'w1'),
      /^port map: .*127\.0\.0\.1:8444\/tcp -> 10\.9\.4\.2:443/m,
    );
    const { position } = place.json('port', 'ls');
    assert.match(
      works('sandbox', 'move', 'w1', '--from', 'front', '--to', 'other:ifname=lan0'),
      /^ {2}lan0 +10\.9\.5\.\d+\/24/m,
    );
    assert.match(works('port', 'ls'), /^h1 +0\.0\.0\.0 +8081 +tcp +10\.9\.5\.\d+:80 /m);
    assert.equal(place.json('port', 'ls').rows.length, 2);
    assert.match(works('port', 'ls', '--as-of', String(position)), / 8444 +tcp +10\.9\.4\.2:443 /);
    const { paths } = place.json('sandbox', 'inspect', 'w1');
    assert.match(readFileSync(paths.hosts, 'utf8'), /^10\.9\.5\.1\s+gw$/m);
    assert.match(readFileSync(paths.resolvConf, 'utf8'), /^nameserver 127\.0\.0\.11$/m);
    works('sandbox', 'detach', 'w1');
    assert.deepEqual(place.json('port', 'ls').rows, []);
  });

  test('cli: networks are filtered, changed in place, taken from others and pruned by their labels', () => {
    works(
      'network',
      'create',
      'base',
      '--config-only',
      '-o',
      'com.docker.network.driver.mtu=1400',
      '--label',
      'tier=base',
    );
    works('network', 'create', 'made', '--config-from', 'base');
    assert.match(works('network', 'inspect', 'made'), /^config from: +base$/m);
    fails(1, /^NETWORK_IN_USE: /, 'network', 'rm', 'base');
    fails(1, /^NETWORK_CONFIG_ONLY: /, 'endpoint', 'create', 'base', 'e');
    const named = (...words: string[]) =>
      place
        .json('network', 'ls', ...words.flatMap((word) => ['--filter', word]))
        .rows.map(({ name }: { name: string }) => name);
    assert.deepEqual(named('label=tier=front'), ['front']);
    assert.deepEqual(named('name=^fr', 'name=^ot', 'dangling=true'), ['front', 'other']);
    assert.deepEqual(named('dangling=false'), []);
    fails(2, /colour is none of dangling/, 'network', 'ls', '--filter', 'colour=red');
    works('network', 'update', 'other', '--label', 'tier=front', '--icc', 'off', '--mtu', '1300');
    assert.match(works('network', 'inspect', 'other'), /^mtu: +1300$/m);
    fails(2, /nothing to change/, 'network', 'update', 'other');
    assert.deepEqual(place.json('network', 'prune', '--filter', 'label=tier=front').deleted.sort(), [
      'h1/front',
      'h1/other',
    ]);
    works('network', 'rm', 'made');
    works('network', 'rm', 'base');
    assert.match(
      works('network', 'create', 'six', '--ipv6', '--no-ipv4'),
      /^created network six \(bridge, fd[0-9a-f:]+\/64, /,
    );
    works('network', 'rm', 'six');
    fails(1, /^IPAM_INVALID: a network needs IPv4 or IPv6$/m, 'network', 'create', 'none', '--no-ipv4');
    assert.match(works('network', 'prune'), /^nothing to delete/);
  });

  test('cli: the past and its reasons can be asked for', async () => {
    const before = place.json('status').streams.log.last;
    works('network', 'create', 'past');
    const { endpoints } = place.json('sandbox', 'attach', 'p1', '--network', 'past');
    const then = place.json('network', 'ls').position;
    const address = endpoints[0].ipv4.replace(/\/.*/, '');
    const chain = new RegExp(
      `-> endpoint past/p1 \\(${endpoints[0].id}\\) -> EndpointCreateRequested .*AttachSandbox .* by tester \\(claimed\\)`,
    );
    const link = ipLinks().find(({ ifalias = '' }) => ifalias.endsWith(`:e:${endpoints[0].id}`));
    assert.match(works('why', link?.ifname ?? assert.fail('no link of it')), chain);
    assert.match(works('why', address), chain);
    assert.match(works('why', place.json('sandbox', 'inspect', 'p1').key), /-> sandbox p1 .*AttachSandbox/);
    fails(1, /not ours/, 'why', 'lo');
    fails(1, /no interface nosuch here: not ours/, 'why', 'nosuch');
    fails(1, /nobody listens: not ours/, 'why', '9/udp');
    const server = createServer().listen(18_080, '127.0.0.1');
    await once(server, 'listening');
    fails(1, new RegExp(`port 18080/tcp of pid ${process.pid} \\(.*\\): not ours`), 'why', '18080');
    server.close();
    works('sandbox', 'attach', 'p2', '--network', 'past', '-p', '18081:80');
    assert.match(works('why', '18081'), /^port 18081\/tcp -> sandbox p2 .*AttachSandbox .* by tester/);
    assert.match(works('history', 'port', '18081/tcp'), /AttachSandbox +succeeded/);
    assert.equal(place.json('ledger', 'port', 'h1/tcp/18081').rows[0].holder, 'p2');
    works('sandbox', 'detach', 'p2');
    works('sandbox', 'detach', 'p1');
    works('network', 'rm', 'past');
    assert.match(works('network', 'ls', '--as-of', String(then)), /^past /m);
    assert.match(works('sandbox', 'inspect', 'p1', '--as-of', String(then)), /^status: +ready$/m);
    fails(1, /there is no sandbox p1/, 'sandbox', 'inspect', 'p1');
    const told: readonly HistoryRow[] = place.json('history', 'sandbox', 'p1').rows;
    assert.deepEqual(
      told.map(({ command, status, actor }) => [command, status, actor]),
      [
        ['AttachSandbox', 'succeeded', 'tester'],
        ['DetachSandbox', 'succeeded', 'tester'],
      ],
    );
    const types = told.flatMap((row) => row.events.map(({ type }) => type));
    assert.equal(types.filter((type) => type === 'EndpointJoined').length, 1);
    const [held] = place.json('ledger', 'address', address, '--network', 'past').rows;
    assert.deepEqual([held.holder, held.from.command, held.until.command], ['p1', 'AttachSandbox', 'DetachSandbox']);
    assert.match(works('ledger', 'address', address, '--as-of', String(then)), /endpoint p1/);
    fails(1, /nobody held address/, 'ledger', 'address', '203.0.113.9');
    fails(1, /held by endpoint p1 until .*: not ours/, 'why', address);
    assert.match(works('history', 'network', 'past'), /NetworkDeleted/);
    assert.match(works('history', 'address', endpoints[0].ipv4.replace(/\/.*/, '')), /EndpointCreateRequested/);
    assert.match(works('history', 'endpoint', 'p1'), /EndpointLeft/);
    fails(1, /there never was a network nowhere/, 'history', 'network', 'nowhere');
    const between = works('diff', String(before), String(then));
    assert.match(between, /^\+ network past on h1$/m);
    assert.match(between, /^\+ sandbox p1 on h1$/m);
    assert.match(works('diff', String(then)), /^- endpoint past\/p1 on h1$/m);
    fails(1, /there never was a network nowhere/, 'diff', String(before), '--network', 'nowhere');
    fails(1, /there is no host nowhere/, 'diff', String(before), '--host', 'nowhere');
    assert.equal(works('diff', String(then), String(then), '--network', 'past'), '');
    fails(1, /QUERY_POSITION_UNKNOWN/, 'diff', '999999');
    fails(2, /FROM is missing/, 'diff');
    const events = place.json('events', '--since', String(before + 1)).rows;
    assert.equal(events[0].type, `cnm.NetworkCreateRequested.v${eventVersions.NetworkCreateRequested}`);
    assert.deepEqual([events[0].actor, events[0].host], ['tester', 'h1']);
    assert.match(works('events', '--since', '1', '--type', 'HostFacts'), /host h1 kernel /);
  });

  test('cli: views are rebuilt, compared, put in place and put back', () => {
    assert.match(works('rebuild', 'all', '--dry-run'), /^projector \w+: all at position \d+ is equal \(/);
    const { projectors } = place.json('rebuild', 'endpoints', '--rate', '50000');
    assert.deepEqual([projectors.length, projectors[0].equal, projectors[0].swapped], [1, true, true]);
    assert.match(works('rebuild', 'endpoints', '--rollback'), /: put back endpoints at position \d+$/m);
    fails(1, /no view was replaced/, 'rebuild', 'all', '--rollback');
    fails(2, /no view rooms/, 'rebuild', 'rooms');
    fails(2, /events per second/, 'rebuild', 'all', '--rate', 'fast');
  });

  test('cli: events are followed, one JSON line each', async () => {
    const child = spawn(launcher, ['events', '--follow', '--json', '--type', 'NetworkCreated,NetworkDeleted'], {
      env: place.env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      out += text;
    });
    try {
      // the follower says nothing before the first event: networks are made until it has seen one
      const lines = () => out.split('\n').filter((line) => line !== '');
      await waitFor(
        () => {
          works('network', 'create', 'seen');
          works('network', 'rm', 'seen');
          return lines().length >= 2;
        },
        { what: 'two events', timeoutMs: 20_000 },
      );
      const event = JSON.parse(lines()[0] ?? '');
      assert.match(event.type, /^cnm\.Network(Created|Deleted)\.v1$/);
      assert.match(event.position, /^\d+\.\d+$/);
    } finally {
      child.kill();
    }
  });

  test('cli: what is wrong is refused with its code, and nothing is half done', () => {
    works('network', 'create', 'dup');
    fails(1, /^NETWORK_EXISTS: /, 'network', 'create', 'DUP');
    fails(1, /^SUBNET_INVALID: /, 'network', 'create', 'odd', '--subnet', '10.9.3.7/24');
    fails(1, /^COMMAND_MALFORMED: /, 'network', 'create', '../x');
    fails(1, /^DRIVER_NOT_FOUND: /, 'network', 'create', 'far', '-d', 'weave');
    fails(1, /^ADDRESS_OUTSIDE_SUBNET: /, 'endpoint', 'create', 'dup', 'e', '--ip', '192.0.2.1');
    fails(1, /^PORT_ADDRESS_INVALID: /, 'endpoint', 'create', 'dup', 'e', '-p', '[::1]:8080:80');
    fails(1, /^COMMAND_MALFORMED: /, 'endpoint', 'create', 'dup', 'e', '-p', '8080:70000');
    fails(1, /^PORT_INVALID: /, 'endpoint', 'create', 'dup', 'e', '-p', '8000-8009:80-82');
    fails(1, /^SYSCTL_INVALID: /, 'endpoint', 'create', 'dup', 'e', '--sysctl', 'kernel.hostname=x');
    fails(1, /^NETWORK_NOT_FOUND: /, 'sandbox', 'attach', 'c9', '--network', 'dup', '--network', 'nowhere');
    fails(1, /^SANDBOX_NOT_FOUND: /, 'sandbox', 'detach', 'c9');
    fails(1, /^HOST_NOT_FOUND: /, 'network', 'create', 'h9/web');
    fails(1, /^FOREIGN_OBJECT: |^NETWORK_/, 'network', 'rm', 'nowhere');
    assert.deepEqual(place.json('endpoint', 'ls').rows, []);
    const refused = place.cnm('network', 'create', 'dup', '--json');
    assert.equal(refused.exit, 1);
    assert.equal(JSON.parse(refused.out).error.code, 'NETWORK_EXISTS');
    works('network', 'rm', 'dup');
  });

  test('cli: an interface that is not ours is refused, and untouched', () => {
    sh('ip link add foreign0 type bridge');
    fails(1, /^FOREIGN_OBJECT: /, 'network', 'create', 'f', '-o', 'com.docker.network.bridge.name=foreign0');
    assert.ok(ipLinks().some(({ ifname }) => ifname === 'foreign0'));
    sh('ip link del foreign0');
  });

  test('cli: usage is 2, a server that is not there is 3, bad settings are 78', () => {
    fails(2, /--sandbox ID is missing/, 'endpoint', 'join', 'a', 'b');
    fails(2, /is no duration/, 'network', 'create', 'n', '--gc', 'soon');
    fails(2, /--network NET is missing/, 'sandbox', 'attach', 'c');
    fails(2, /--to NET is missing/, 'sandbox', 'move', 'c', '--from', 'a');
    fails(2, /port nope: write /, 'endpoint', 'create', 'a', 'b', '-p', 'nope');
    const dead = place.cnmWith({ CNM_NATS_URL: 'nats://127.0.0.1:1' }, 'network', 'ls');
    assert.equal(dead.exit, 3, dead.err);
    const nowhere = place.cnmWith({ CNM_RUN_DIR: join(place.folder, 'other') }, 'network', 'ls');
    assert.match(nowhere.err, /no cnm runs here: start `npx cnm up`/);
    assert.equal(nowhere.exit, 3);
    const bad = place.cnmWith({ CNM_HOST: 'a b', CNM_REALM: 'X' }, 'network', 'ls');
    assert.equal(bad.exit, 78);
    assert.match(bad.err, /CNM_HOST=a b: .*\n.*CNM_REALM=X: /);
    assert.equal(place.cnm('serve', 'worker').exit, 78);
  });

  test('cli: a command that nobody decides is given up, and not started later', () => {
    const lonely = place.cnmWith({ CNM_HOST: 'h1' }, 'network', 'create', 'late', '--wait', '1ms');
    // either it was quick enough, or it was given up
    assert.ok(lonely.exit === 0 || lonely.exit === 3 || lonely.exit === 1, lonely.err);
    if (lonely.exit === 3) assert.match(lonely.err, /it will not be started any more/);
    place.cnm('network', 'rm', 'late');
  });

  test('cli: drivers', () => {
    assert.match(works('driver', 'ls'), /^bridge +yes +any +1023 +any +-$/m);
    works('driver', 'configure', 'bridge', '-o', 'com.docker.network.driver.mtu=1400');
    assert.match(
      works('driver', 'inspect', 'bridge'),
      /^configured: +configured on h1: com\.docker\.network\.driver\.mtu=1400$/m,
    );
    fails(1, /^OPTION_/, 'driver', 'configure', 'bridge', '-o', 'color=red');
    fails(1, /there is no driver vxlan/, 'driver', 'inspect', 'vxlan');
  });

  test('cli: a second start finds everything as it was; SIGTERM ends it in order', async () => {
    works('network', 'create', 'kept');
    works('sandbox', 'attach', 'k1', '--network', 'kept');
    const refused = place.cnm('up');
    assert.equal(refused.exit, 1);
    assert.match(refused.err, /^DATA_DIR_IN_USE: /m);
    assert.equal(await up.end(), 0);
    assert.equal(existsSync(join(place.env.CNM_RUN_DIR ?? '', 'e2e-h1.json')), false);
    const { url } = up;
    up = await place.up();
    assert.equal(up.url, url);
    works('sandbox', 'exec', 'k1', '--', 'true');
    works('sandbox', 'detach', 'k1');
    works('network', 'rm', 'kept');
  });
}
