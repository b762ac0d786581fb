// What a new user gets wrong: every answer names what is in the way and the next step, and none takes long.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { inOwnNamespaces, sh } from '../support/netns.ts';
import { launcher, makePlace, type Place, type Running } from './cli-harness.ts';

const vni = 'com.docker.network.driver.overlay.vxlanid_list';

if (inOwnNamespaces(import.meta.filename)) {
  let place: Place;
  let up: Running;

  before(async () => {
    sh(`ip link set lo up
      ip link add up0 type veth peer name far0
      ip addr add 192.0.2.1/24 dev up0
      ip link set up0 up
      ip link set far0 up`);
    place = makePlace({ env: { CNM_UNDERLAY: 'up0' } });
    const [sockets, specs] = [join(place.folder, 'sockets'), join(place.folder, 'specs')];
    for (const directory of [sockets, specs]) mkdirSync(directory);
    const dead = JSON.stringify(join(sockets, 'dead.sock'));
    spawnSync('python3', ['-c', `import socket; socket.socket(socket.AF_UNIX).bind(${dead})`]);
    writeFileSync(join(sockets, 'file.sock'), '');
    writeFileSync(join(specs, 'astray.spec'), 'nonsense');
    Object.assign(place.env, { CNM_PLUGIN_SOCKETS: sockets, CNM_PLUGIN_SPECS: specs });
    up = await place.up();
  });
  after(async () => {
    await up.end();
    place.remove();
  });

  /** The answer to a call that must fail. */
  const refusalOf = (line: string): string => {
    const { exit, err } = place.cnm(...line.split(' '));
    assert.ok(exit === 1 || exit === 2, `cnm ${line}: exit ${exit}: ${err}`);
    assert.match(err, exit === 1 ? /^[A-Z_]+: .*\nnext: \S/s : /^cnm: .*\nusage: cnm /s, `cnm ${line}`);
    return err;
  };
  const refuses = (line: string, pattern: RegExp): void => assert.match(refusalOf(line), pattern, `cnm ${line}`);

  test('cli wrong: whoever may not read the state file may not command, and whoever may has the server for programs of his own', () => {
    const { exit, out } = place.cnm('url');
    assert.deepEqual([exit, out], [0, `${up.url}\n`]);
    assert.match(up.url, /^nats:\/\/cnm:[a-z0-9]{32}@127\.0\.0\.1:\d+$/);
    const without = place.cnmWith({ CNM_NATS_URL: up.url.replace(/\/\/.*@/, '//') }, 'network', 'ls');
    assert.equal(without.exit, 1);
    assert.match(without.err, /^NOT_PERMITTED: .*`cnm url`/);
    const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups', launcher, 'network', 'ls'];
    const stranger = spawnSync('setpriv', nobody, { env: place.env, encoding: 'utf8' });
    assert.equal(stranger.status, 3, stranger.stderr);
    assert.match(stranger.stderr, /for root and the group cnm/);
  });

  test('cli wrong: drivers and plugins that are not there', () => {
    refuses('network create a -d absent', /^DRIVER_NOT_FOUND: there is no driver absent; .*next: .*cnm doctor/s);
    refuses('network create a -d file', /^DRIVER_NOT_FOUND: there is no driver file/);
    refuses('network create a -d dead', /^PLUGIN_UNREACHABLE: .* plugin dead: connect ECONNREFUSED .*next: Start the/s);
    refuses('network create a -d astray', /^PLUGIN_UNREACHABLE: .*astray\.spec: Unknown protocol.*mend its file/s);
    // By then it may have been given up for a while.
    refuses(
      'network create a --ipam-driver dead',
      /^PLUGIN_UNREACHABLE: .* plugin dead: (connect ECONNREFUSED|not called: the last)/,
    );
    refuses('network create a --ipam-driver absent', /^IPAM_DRIVER_NOT_FOUND: there is no IPAM driver absent/);
    refuses('driver configure absent -o a=b', /^DRIVER_NOT_FOUND/);
    refuses('driver inspect absent', /^NOT_FOUND: there is no driver absent/);
    const { exit, out } = place.cnm('doctor');
    assert.equal(exit, 1);
    assert.match(out, /^BAD +plugin dead +\S+dead\.sock: nobody listens: .*\n +-> start the plugin/m);
    assert.match(out, /^BAD +no plugin +\S+file\.sock: it is no socket/m);
  });

  test('cli wrong: options of overlay, macvlan and ipvlan', () => {
    for (const value of ['abc', '0', '4096,4097'])
      refuses(`network create o -d overlay -o ${vni}=${value}`, /^OPTION_INVALID: option \S+vxlanid_list/);
    refuses('network create o -d overlay -o encrypted=maybe', /^OPTION_INVALID: option encrypted .* not "maybe"/);
    refuses('network create o -d overlay -o encrypted', /^CAPABILITY_MISSING: .*\n {2}capability esp/);
    refuses('network create o -d overlay -o com.docker.network.driver.mtu=67', /^OPTION_INVALID: .* not "67"/);
    refuses('network create o -d overlay -o parent=up0', /^OPTION_UNSUPPORTED: .* option parent/);
    refuses('network create m -d macvlan -o parent=lo', /^OPTION_INVALID: option parent/);
    refuses('network create m -d macvlan -o parent', /^OPTION_INVALID: option parent .* not ""/);
    refuses(
      'network create m -d macvlan -o parent=nope0',
      /^KERNEL_ERROR: look for interface nope0: no interface nope0/,
    );
    refuses('network create m -d macvlan -o parent=up0.5000', /^OPTION_INVALID: up0\.5000 is no interface/);
    refuses('network create m -d macvlan -o macvlan_mode=bogus', /^OPTION_INVALID: option macvlan_mode/);
    refuses('network create m -d macvlan -o =x', /^cnm: -o =x: write KEY=VALUE/);
    place.json('network', 'create', 'lan', '-d', 'macvlan', '-o', 'parent=up0', '--subnet', '192.0.2.0/24');
    refuses('endpoint create lan e -p 80:80', /^DRIVER_FORBIDS: ports of network lan .* at their own addresses/);
  });

  test('cli wrong: hosts and names', () => {
    refuses('network create o -d overlay --host nowhere', /^HOST_NOT_FOUND: .* nowhere; known: h1/);
    refuses('network create h1/o -d overlay --host h2', /^cnm: h1\/o and --host h2: name one host/);
    place.json('network', 'create', 'span', '-d', 'overlay', '--host', 'h1');
    for (const name of ['span', 'h1/span']) assert.equal(place.json('network', 'inspect', name).name, 'span');
    assert.match(place.cnm('network', 'ls', '--host', 'h1').out, /^span +\w+ +all +overlay /m);
    const way = 'eth1 on cnm-gateway, since none of its networks leads out of the host';
    assert.match(place.cnm('sandbox', 'attach', 's', '--network', 'span').out, new RegExp(`^  way out ${way}$`, 'm'));
    assert.match(place.cnm('sandbox', 'inspect', 's').out, new RegExp(`^way out: +${way}$`, 'm'));
    place.json('sandbox', 'detach', 's');
    refuses(
      'sandbox attach s --network span -p 203.0.113.7:80:80',
      /^PORT_ADDRESS_INVALID: .*\.7 is no address of this/,
    );
    refuses('network ls --host nowhere', /^NOT_FOUND: there is no host nowhere\nnext: See `cnm host ls`/);
    refuses('network inspect nowhere/span', /^NOT_FOUND: there is no host nowhere/);
    refuses('network inspect nothing', /^NOT_FOUND: there is no network nothing\nnext: See `cnm network ls`/);
    refuses('network rm nowhere/span', /^HOST_NOT_FOUND/);
    refuses('endpoint ls nothing', /^NOT_FOUND: there is no network nothing\nnext: See `cnm network ls`/);
    refuses('endpoint inspect nowhere/span e', /^NOT_FOUND: there is no host nowhere/);
    refuses('endpoint inspect span e', /^NOT_FOUND: there is no endpoint span\/e/);
    refuses('network create h1/ -d overlay', /^cnm: h1\/: write HOST\/NAME or NAME/);
    refuses('network ls --as-of 999999', /^QUERY_POSITION_UNKNOWN: .*\nnext: Name a position/);
    refuses('sandbox attach s --network nothing', /^NETWORK_NOT_FOUND/);
    refuses('sandbox detach s', /^SANDBOX_NOT_FOUND/);
    refuses('network create web --gc never', /^cnm: gc: never is no duration/);
  });

  test('cli wrong: subnets that overlap, and how they may', () => {
    const range = '10.77.0.0/24';
    refuses('network create o --overlap', /^cnm: --overlap needs --subnet/);
    place.json('network', 'create', 'first', '--subnet', range);
    refuses(`network create second --subnet ${range}`, /^SUBNET_OVERLAPS: .*network first.*next: .*`--overlap`/s);
    place.json('network', 'create', 'second', '--subnet', range, '--overlap');
    for (const name of ['second', 'first']) place.json('network', 'rm', name);
  });

  test('cli wrong: quotas, leases and commands', () => {
    refuses('quota rm nobody', /^QUOTA_NOT_FOUND: .* actor nobody/);
    refuses('quota set alice --burst 5', /^cnm: --burst needs --rate/);
    refuses('quota set alice --rate 0', /^COMMAND_MALFORMED: data\.limits\.rate/);
    refuses('quota set alice --networks many', /^cnm: --networks many: write a whole number/);
    refuses('lease renew', /^cnm: name either --sandbox ID or --network NETWORK/);
    refuses('lease renew --sandbox nothing', /^SANDBOX_NOT_FOUND/);
    refuses('lease renew --network span', /^LEASE_NOT_FOUND: network span was made without a lease/);
    refuses('command cancel nothing', /^COMMAND_MALFORMED: data\.commandId/);
    refuses('command cancel mwqeorqx-nothing', /^COMMAND_NOT_FOUND: no command mwqeorqx-nothing of /);
    refuses('capacity ls --host nowhere', /^NOT_FOUND: there is no host nowhere/);
  });

  test('cli wrong: a command of which nothing is recorded may have been refused in a sum', async () => {
    const id = `${(Date.now() - 1_000).toString(36)}-lost`;
    refuses(`history command ${id}`, /^NOT_FOUND: .*in a sum.*\nnext: None was refused in a sum since it was sent/s);
    refuses('history command nothing', /^NOT_FOUND: nothing is recorded about command nothing\nnext: See `cnm events`/);
    place.json('quota', 'set', 'mallory', '--rate', '0.001', '--burst', '1');
    const asMallory = (line: string) => place.cnmWith({ CNM_ACTOR: 'mallory' }, ...line.split(' '));
    assert.equal(asMallory('network create m').exit, 0);
    const refused = asMallory('network create n');
    assert.match(refused.err, /^RATE_LIMITED: actor mallory may send 0\.001 commands a second.*\nnext: \S/s);
    assert.match(
      refusalOf(`history command ${id}`),
      /next: Refused in sums since it was sent: 1 of mallory as RATE_LIMITED at \d+\.0\. Is it one of these/,
    );
    place.json('quota', 'rm', 'mallory');
    place.json('network', 'rm', 'm');
  });

  test('cli wrong: hosts, parked events, drift, views', () => {
    refuses('host lost h1', /^cnm: --reason is missing/);
    refuses('host lost h1 --reason gone', /^HOST_/);
    refuses('host lost nowhere --reason gone', /^HOST_NOT_FOUND: .* known: h1/);
    refuses('host resume h1', /^cnm: say either --keep or --remove/);
    refuses('host resume h1 --remove', /^HOST_NOT_STOPPED/);
    refuses('sandbox restore nothing', /^SANDBOX_NOT_FOUND/);
    refuses('drift ls nothing', /^NOT_FOUND: there is no network nothing/);
    refuses('network create q --drift sometimes', /^cnm: --drift sometimes: write repair or report/);
    refuses('parked show x', /^cnm: x is no event/);
    refuses('parked show 812.0', /^NOT_FOUND: there is no parked 812\.0/);
    refuses('parked discard 812.0 --reason gone', /^NOT_FOUND: there is no event 812\.0: the log ends at /);
    refuses('parked discard 1.0 --reason gone', /^NOT_FOUND: no view has parked 1\.0/);
    refuses('rebuild nothing', /^cnm: no view nothing: there are /);
    refuses('why 192.0.2.77', /^NOT_FOUND: .*not ours/);
    refuses('ledger address 192.0.2.77', /^NOT_FOUND: nobody held address/);
  });

  test('cli wrong: audits, exports and keys', () => {
    const file = (name: string) => join(place.folder, name);
    const [key, log, junk] = [file('key.pem'), file('log.ndjson'), file('junk')];
    writeFileSync(junk, 'nonsense\n');
    assert.equal(place.cnm('audit', 'keygen', key).exit, 0);
    refuses(`audit keygen ${key}`, /^KEY_EXISTS/);
    assert.equal(place.cnm('audit', 'export', log).exit, 0);
    refuses(`audit import ${log}`, /^IMPORT_NOT_EMPTY/);
    refuses(`audit verify ${file('absent')}`, /^NOT_FOUND: no such file/);
    refuses(`audit verify ${junk}`, /^EXPORT_INVALID/);
    refuses(`audit verify ${log} --key ${junk}`, /^KEY_INVALID/);
    refuses(`audit export ${file('absent')}/log.ndjson`, /^NOT_FOUND: no such file or directory/);
    refuses(`audit segment ${file('segment')}`, /^cnm: --yes is missing/);
    refuses(`audit segment ${file('segment')} --yes`, /^SEGMENT_UNSIGNED/);
    refuses('audit hold lift nothing --reason done', /^HOLD_NOT_FOUND/);
    refuses('seal open nothing', /^SEAL_DAMAGED/);
    refuses('seal shred nothing', /^cnm: --reason is missing/);
  });

  test('cli wrong: a server with accounts keeps what was said of it', () => {
    const folder = join(place.folder, 'server');
    const config = (): string => readFileSync(join(folder, 'nats.conf'), 'utf8');
    const write = (line: string) => place.cnm('nats-config', folder, ...line.split(' ').filter(Boolean));
    const certificates = '--tls-cert /etc/pem/server --tls-key /etc/pem/key';
    const first = write(`--actor alice --listen 10.0.0.1:4333 --monitor none --url tls://n1:4333 ${certificates}`);
    assert.equal(first.exit, 0, first.err);
    assert.match(first.err, /^\/etc\/pem\/server is not here: it has to be where the server is$/m);
    const before = config();
    assert.match(before, /listen: "10\.0\.0\.1:4333"[\s\S]*\/etc\/pem\/server/);
    assert.equal(write('').exit, 0);
    assert.equal(config(), before, 'the same');
    assert.equal(write('--actor bob').exit, 0);
    assert.match(config(), /listen: "10\.0\.0\.1:4333"[\s\S]*\/etc\/pem\/server/, 'an actor more, and TLS as before');
    assert.doesNotMatch(config(), /^http:/m);
    for (const actor of ['alice', 'bob'])
      assert.match(
        readFileSync(join(folder, 'keys', `actor-${actor}`, 'env'), 'utf8'),
        /^CNM_NATS_URL=tls:\/\/n1:4333$/m,
      );
    assert.equal(write('--tls-cert none --listen 0.0.0.0:4222').exit, 0);
    assert.doesNotMatch(config(), /pem/);
    assert.match(config(), /listen: "0\.0\.0\.0:4222"/);
    refuses(`nats-config ${folder} --listen nonsense`, /^cnm: --listen nonsense: write HOST:PORT/);
    refuses(`nats-config ${folder} --monitor 127.0.0.1:99999`, /^cnm: --monitor \S+: write HOST:PORT/);
    refuses(`nats-config ${folder} --url n1`, /^cnm: --url n1: write nats:/);
    refuses(`nats-config ${folder} --tls-ca /etc/pem/ca`, /^cnm: --tls-ca takes --tls-cert/);
    refuses(`nats-config ${folder} --actor =`, /^cnm: = is no name of an actor/);
    refuses(`nats-config ${folder} --remove actor-carol`, /^CREDENTIALS_UNREADABLE: .* but actor-alice, actor-bob/);
    refuses('nats-config /proc/cnm-absent', /^NOT_FOUND: no such file or directory: \/proc\/cnm-absent/);
    refuses(`nats-config ${folder}/nats.conf/below`, /^NOT_FOUND: .*nats\.conf/);
    writeFileSync(join(folder, 'settings.json'), '{}');
    refuses(`nats-config ${folder}`, /^CREDENTIALS_UNREADABLE: .*settings\.json holds no settings/);
  });
}
