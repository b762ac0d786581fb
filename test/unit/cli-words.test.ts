// The words of the command line: how calls are taken apart, and values read.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Outcome } from '../../events/queries.ts';
import type { Context } from '../../services/cli/context.ts';
import {
  endpointFields,
  parseAttachment,
  parseExtraHost,
  parseInteger,
  parseLinks,
  parseRoute,
  parseService,
} from '../../services/cli/endpoint-values.ts';
import { networkFilter, pruneFilter } from '../../services/cli/network-filter.ts';
import { nouns } from '../../services/cli/nouns.ts';
import { describeBindings, describeSocket, parsePort } from '../../services/cli/port-values.ts';
import { findSpec, parseCall, type Spec, UsageError, usageOf } from '../../services/cli/spec.ts';
import {
  interfaceOf,
  parseDriverOptions,
  parseDuration,
  parseGc,
  parseMoment,
  parsePairs,
  parseSubnets,
  splitName,
} from '../../services/cli/values.ts';
import { CommandFailed } from '../../services/client/errors.ts';
import type { Client } from '../../services/client/index.ts';
import { systemClock } from '../../services/lib/clock.ts';

const spec = (path: string, args: readonly string[], options: Spec['options'] = {}): Spec => ({
  path,
  args,
  summary: '',
  options,
  run: async () => undefined,
});

const create = spec('network create', ['NAME'], {
  driver: { short: 'd', value: 'DRIVER', help: '' },
  opt: { short: 'o', value: 'K=V', multiple: true, help: '' },
  internal: { help: '' },
});
const exec = spec('sandbox exec', ['ID', 'CMD...'], { host: { value: 'HOST', help: '' } });
const list = spec('endpoint ls', ['[NETWORK]']);

const usage = (run: () => unknown, pattern: RegExp): void => {
  assert.throws(run, (error) => error instanceof UsageError && pattern.test(error.message));
};

test('cli words: arguments, options and flags, in any order', () => {
  const call = parseCall(create, ['-o', 'a=1', 'web', '--internal', '-d', 'bridge', '--opt=b=2']);
  assert.deepEqual(call.args, ['web']);
  assert.equal(call.text('driver'), 'bridge');
  assert.deepEqual(call.texts('opt'), ['a=1', 'b=2']);
  assert.equal(call.flag('internal'), true);
});

test('cli words: what is missing, too much or unknown is told', () => {
  usage(() => parseCall(create, []), /^NAME is missing$/);
  usage(() => parseCall(create, ['a', 'b']), /^one word too many: b$/);
  usage(() => parseCall(create, ['a', '--nope']), /Unknown option '--nope'/);
  usage(() => parseCall(create, ['a', '-d']), /argument missing/);
  assert.deepEqual(parseCall(list, []).args, []);
  assert.deepEqual(parseCall(list, ['web']).args, ['web']);
});

test('cli words: behind -- everything is the command to run', () => {
  const call = parseCall(exec, ['c1', '--host', 'h1', '--', 'ip', '--json', 'a']);
  assert.deepEqual([call.args, call.rest, call.text('host')], [['c1'], ['ip', '--json', 'a'], 'h1']);
  assert.deepEqual(parseCall(exec, ['c1', 'ip', 'a']).rest, ['ip', 'a']);
  usage(() => parseCall(exec, ['c1']), /CMD\.\.\. is missing/);
  assert.equal(usageOf(exec), 'cnm sandbox exec ID [--host HOST] -- CMD...');
});

test('cli words: a command is found by its noun and verb', () => {
  assert.equal(findSpec([create, exec], ['network', 'create', 'web'])?.spec, create);
  assert.equal(findSpec([create, exec], ['network', 'destroy']), null);
});

test('cli values: durations', () => {
  assert.deepEqual(
    ['500ms', '30s', '5m', '1.5h', '7d'].map((text) => parseDuration(text, '--wait')),
    [500, 30_000, 300_000, 5_400_000, 604_800_000],
  );
  for (const text of ['', '5', '5 m', '-1s', '1y'])
    usage(() => parseDuration(text, '--wait'), /^--wait: .*is no duration/);
  assert.deepEqual([parseGc('off'), parseGc('5m'), parseGc(undefined)], ['off', 300_000, undefined]);
});

test('cli values: positions and times', () => {
  assert.equal(parseMoment('42'), 42);
  assert.equal(parseMoment('2026-01-31T14:03:00+01:00'), '2026-01-31T13:03:00.000Z');
  // As listings show it: in UTC.
  assert.equal(parseMoment('2026-01-31 14:03:07'), '2026-01-31T14:03:07.000Z');
  assert.equal(parseMoment('2026-01-31T14:03'), '2026-01-31T14:03:00.000Z');
  assert.equal(parseMoment('2026-01-31'), '2026-01-31T00:00:00.000Z');
  assert.equal(parseMoment('2028-02-29t14:03:07.25z'), '2028-02-29T14:03:07.250Z');
  // What Date reads as some other day, or as a day in this machine's zone.
  const wrong = [
    'last tuesday',
    '3.7',
    '10.0',
    '-1',
    '2026-02-30',
    '2026-02-29T00:00:00Z',
    '2026-01-31T25:00',
    '1 May 2026',
    '14:03',
    '',
  ];
  for (const text of wrong) usage(() => parseMoment(text), /neither a position nor a time/);
});

test('cli values: pairs', () => {
  assert.deepEqual(parsePairs(['a=1', 'b=c=d', 'e='], '-o'), { a: '1', b: 'c=d', e: '' });
  usage(() => parsePairs(['a'], '-o'), /write KEY=VALUE/);
  usage(() => parsePairs(['=1'], '-o'), /write KEY=VALUE/);
  assert.deepEqual(parseDriverOptions(['encrypted', 'a=b=c'], '-o'), { encrypted: '', a: 'b=c' });
  for (const text of ['', '=1']) usage(() => parseDriverOptions([text], '-o'), /write KEY=VALUE/);
});

const ports: Readonly<Record<string, object>> = {
  '8080:80': { hostPort: 8080, port: 80 },
  '127.0.0.1:8080:80/udp': { hostPort: 8080, port: 80, hostAddress: '127.0.0.1', protocol: 'udp' },
  '[fd00::1]:53:53': { hostPort: 53, port: 53, hostAddress: 'fd00::1' },
  '[::]:53:53/sctp': { hostPort: 53, port: 53, hostAddress: '::', protocol: 'sctp' },
  'any:80:8080': { hostPort: 80, port: 8080, hostAddress: 'any' },
  '8000-8009:9000-9009': { hostPort: 8000, hostPortEnd: 8009, port: 9000, portEnd: 9009 },
  '0.0.0.0:8000-8009:80': { hostPort: 8000, hostPortEnd: 8009, port: 80, hostAddress: '0.0.0.0' },
  '80': { port: 80 },
  '80/udp': { port: 80, protocol: 'udp' },
  '9000-9009': { port: 9000, portEnd: 9009 },
  '127.0.0.1::80': { port: 80, hostAddress: '127.0.0.1' },
  '[fd00::1]::80-81/tcp': { port: 80, portEnd: 81, hostAddress: 'fd00::1', protocol: 'tcp' },
};

test('cli values: every form of a published port', () => {
  for (const [text, port] of Object.entries(ports)) assert.deepEqual(parsePort(text), port, text);
});

test('cli values: what is no published port is told with the forms that are', () => {
  const wrong = [
    ...['', ':', ':80', '80:', 'a:b', '::1:53:53', '1:2:3:4', '127.0.0.1:80', '[::1]:80', '80/', '80-', '-80'],
    ...['80--90', '8080:80:', '[]:80:80', '[g::]:80:80', 'host:80:80', '123456:80', '80 81', '80/tcp/udp', '-1:80'],
  ];
  for (const text of wrong) usage(() => parsePort(text), /write \[IP:\]\[HOST\[-END\]:\]PORT/);
});

test('cli values: ports as they are shown', () => {
  assert.equal(describeSocket('127.0.0.1', 8080, 1), '127.0.0.1:8080');
  assert.equal(describeSocket('::', 8000, 10), '[::]:8000-8009');
  assert.equal(describeSocket('0.0.0.0', 0, 1), '0.0.0.0:?');
  const binding = { protocol: 'udp', hostAddress: '::', hostPort: 53, address: 'fd00::2', port: 5353, count: 2 };
  assert.equal(describeBindings([binding]), '[::]:53-54/udp -> [fd00::2]:5353-5354');
});

test('cli values: routes, links, services, extra hosts and numbers', () => {
  assert.deepEqual(parseRoute('10.9.0.0/16=10.1.0.1'), { destination: '10.9.0.0/16', gateway: '10.1.0.1' });
  assert.deepEqual(parseRoute('fd00:9::/64'), { destination: 'fd00:9::/64' });
  for (const text of ['', '=10.1.0.1', '10.9.0.0/16=', 'a=b=c']) usage(() => parseRoute(text), /write CIDR=GATEWAY/);
  assert.deepEqual(parseLinks(['db:database', 'web']), { database: 'db', web: 'web' });
  for (const text of ['', ':a', 'a:', 'a:b:c']) usage(() => parseLinks([text]), /write ENDPOINT:ALIAS/);
  assert.deepEqual(parseService('dns:53/udp'), { name: 'dns', port: 53, protocol: 'udp' });
  for (const text of ['http', 'http:', ':80', 'http:eighty']) usage(() => parseService(text), /write NAME:PORT/);
  assert.deepEqual(parseExtraHost('db:10.0.0.9'), { name: 'db', address: '10.0.0.9' });
  assert.deepEqual(parseExtraHost('db:fd00::9'), { name: 'db', address: 'fd00::9' });
  assert.deepEqual(parseExtraHost('db=[fd00::9]'), { name: 'db', address: 'fd00::9' });
  assert.deepEqual(parseExtraHost('me:host-gateway'), { name: 'me', address: 'host-gateway' });
  for (const text of ['', 'db', 'db:', ':10.0.0.9']) usage(() => parseExtraHost(text), /--add-host .*write NAME:IP/);
  assert.equal(parseInteger('-5', 'n'), -5);
  for (const text of ['', '1.5', 'ten', '1e3', '9999999999']) usage(() => parseInteger(text, 'n'), /whole number/);
});

test('cli values: settings that are not given are left out', () => {
  const none = endpointFields({ one: () => undefined, all: () => [] });
  assert.deepEqual(none, {});
});

test('cli filters of networks: what the query can do it does, names and ids are tried here', () => {
  const { filter, passes } = networkFilter([
    'driver=bridge',
    'driver=null',
    'label=a',
    'label=b=1',
    'dangling=1',
    'name=^we',
  ]);
  assert.deepEqual(filter, { driver: ['bridge', 'null'], label: ['a', 'b=1'], dangling: 'true' });
  const row = (name: string, id = 'x1') => ({ name, id }) as Parameters<typeof passes>[0];
  assert.deepEqual(
    ['web', 'db', 'we'].map((name) => passes(row(name))),
    [true, false, true],
  );
  const both = networkFilter(['name=db', 'name=web', 'id=9$']);
  assert.deepEqual([row('web', 'a9'), row('db', 'b9'), row('web', '9a'), row('other', 'a9')].map(both.passes), [
    true,
    true,
    false,
    false,
  ]);
  assert.deepEqual(networkFilter(['type=custom', 'scope=local']).filter, { type: ['custom'], scope: ['local'] });
});

test('cli filters of networks: what means nothing is told', () => {
  usage(() => networkFilter(['colour=red']), /colour is none of dangling, driver, id, label, name, scope, type/);
  usage(() => networkFilter(['driver']), /write KEY=VALUE/);
  usage(() => networkFilter(['=x']), /write KEY=VALUE/);
  usage(() => networkFilter(['dangling=maybe']), /write true or false/);
  usage(() => networkFilter(['dangling=true', 'dangling=false']), /give it once/);
  usage(() => networkFilter(['type=special']), /write builtin or custom/);
  usage(() => networkFilter(['name=(']), /--filter name=\(: /);
});

test('cli prune: what is gone is told, also of a command that failed part of the way', async () => {
  const { pruneAll, pruneSpec } = await import('../../services/cli/network-prune.ts');
  const networks = ['web', 'db', 'old'].map((name) => ({ id: name, name, host: 'h1' }));
  const fault = { code: 'KERNEL_ERROR', step: 'delete bridge', errno: 'EBUSY', text: 'busy', undoFaults: [] };
  const failed = new CommandFailed({ status: 'failed', position: 9, fault } as unknown as Outcome);
  const asked: unknown[] = [];
  const client = {
    mintId: () => 'mhx3k2p1-prune',
    networks: async (query: { readonly atLeast?: number }) => {
      asked.push(query.atLeast);
      return { position: 9, rows: query.atLeast === undefined ? networks : networks.slice(2) };
    },
    pruneNetworks: async () => ({ position: 5, outcome: Promise.reject(failed) }),
  } as unknown as Client;
  const printed = async (...words: string[]) => {
    let [out, err] = ['', ''];
    const output = {
      clock: systemClock,
      out: (text: string) => (out += text),
      err: (text: string) => (err += text),
      errIsTerminal: false,
    } as unknown as Context;
    return { exit: await pruneAll(parseCall(pruneSpec, words), output, client), out, err };
  };
  const text = await printed();
  assert.equal(text.exit, 1);
  assert.match(text.err, /^KERNEL_ERROR: /);
  assert.equal(text.out, 'deleted network h1/web\ndeleted network h1/db\n');
  assert.deepEqual(JSON.parse((await printed('--json')).out), { deleted: ['h1/web', 'h1/db'] });
  assert.deepEqual(asked, [undefined, 9, undefined, 9]);
});

test('cli filters of a prune: labels that are wanted or not, and until when', () => {
  const nowMs = Date.UTC(2026, 0, 31, 12);
  assert.deepEqual(pruneFilter(['label=a', 'label!=b=1', 'until=24h'], nowMs), {
    labels: ['a'],
    not: ['b=1'],
    until: '2026-01-30T12:00:00.000Z',
  });
  assert.deepEqual(pruneFilter([], nowMs), { labels: [], not: [] });
  assert.equal(pruneFilter(['until=2026-01-05T00:00:00+01:00'], nowMs).until, '2026-01-04T23:00:00.000Z');
  usage(() => pruneFilter(['until=42'], nowMs), /write a time such as/);
  usage(() => pruneFilter(['until=1h', 'until=2h'], nowMs), /give it once/);
  usage(() => pruneFilter(['name=web'], nowMs), /name is none of label, label!, until/);
});

test('cli values: options of a subnet come together by family and order', () => {
  const subnets = parseSubnets({
    subnets: ['fd00:1::/64', '10.1.0.0/24'],
    ranges: ['10.1.0.128/25'],
    gateways: ['10.1.0.254', 'fd00:1::1'],
    aux: { router: '10.1.0.3' },
  });
  assert.deepEqual(subnets, [
    { family: 4, subnet: '10.1.0.0/24', range: '10.1.0.128/25', gateway: '10.1.0.254', aux: { router: '10.1.0.3' } },
    { family: 6, subnet: 'fd00:1::/64', gateway: 'fd00:1::1' },
  ]);
  assert.deepEqual(parseSubnets({ subnets: [], ranges: [], gateways: [], aux: {} }), []);
});

test('cli values: an interface is one address per family', () => {
  assert.deepEqual(interfaceOf(['10.0.0.5', 'fd00::5'], '02:00:00:00:00:01'), [
    { ipv4: '10.0.0.5', ipv6: 'fd00::5', mac: '02:00:00:00:00:01' },
  ]);
  assert.deepEqual(interfaceOf([], undefined), []);
  usage(() => interfaceOf(['10.0.0.5', '10.0.0.6'], undefined), /one address per family/);
});

test('cli values: attachments with their options', () => {
  assert.deepEqual(parseAttachment('h1/web'), { network: 'h1/web' });
  assert.deepEqual(parseAttachment('web:ip=10.0.0.5,ip6=fd00::5,name=db,alias=a,alias=b,gc=off'), {
    network: 'web',
    name: 'db',
    gc: 'off',
    aliases: ['a', 'b'],
    interfaces: [{ ipv4: '10.0.0.5', ipv6: 'fd00::5' }],
  });
  assert.deepEqual(
    parseAttachment(
      'web:gw-priority=-5,ifname=wan0,publish=8080:80,sysctl=net.ipv4.conf.IFNAME.arp_notify=1,link=db:d',
    ),
    {
      network: 'web',
      ports: [{ hostPort: 8080, port: 80 }],
      gatewayPriority: -5,
      interface: 'wan0',
      sysctls: { 'net.ipv4.conf.IFNAME.arp_notify': '1' },
      links: { d: 'db' },
    },
  );
  usage(() => parseAttachment('web:color=red'), /color=red is none of name=/);
  usage(() => parseAttachment(':ip=10.0.0.5', '--to'), /--to :ip=10.0.0.5: the network is missing/);
  usage(() => parseAttachment('web:gw-priority=high'), /write a whole number/);
  usage(() => parseAttachment('web:ip=10.0.0.5,ip=10.0.0.6'), /ip= is given twice/);
});

test('cli values: names with and without their host', () => {
  assert.deepEqual(splitName('h1/web', undefined), { host: 'h1', name: 'web' });
  assert.deepEqual(splitName('h1/web', 'h1'), { host: 'h1', name: 'web' });
  assert.deepEqual(splitName('web', undefined), { host: undefined, name: 'web' });
  assert.deepEqual(splitName('web', 'h2'), { host: 'h2', name: 'web' });
  for (const text of ['/web', 'h1/', 'a/b/c', '/'])
    usage(() => splitName(text, undefined), /write HOST\/NAME or NAME$/);
  usage(() => splitName('h1/web', 'h2'), /^h1\/web and --host h2: name one host$/);
});

test('words: whatever lists or shows can do so as of any moment', async () => {
  const specs = (await Promise.all(nouns.map(({ load }) => load()))).flat();
  const shows = specs.filter(({ path }) => / (ls|inspect)$/.test(path));
  assert.ok(shows.length >= 10, shows.map(({ path }) => path).join());
  for (const { path, options } of shows) assert.ok('as-of' in options, `cnm ${path} has --as-of`);
});
