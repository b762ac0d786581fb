// The words of the command line: how calls are taken apart, and values read.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findSpec, parseCall, type Spec, UsageError, usageOf } from '../../services/cli/spec.ts';
import {
  interfaceOf,
  parseAttachment,
  parseDuration,
  parseGc,
  parseMoment,
  parsePairs,
  parsePort,
  parseSubnets,
  splitName,
} from '../../services/cli/values.ts';

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
    ['500ms', '30s', '5m', '1.5h', '7d'].map(parseDuration),
    [500, 30_000, 300_000, 5_400_000, 604_800_000],
  );
  for (const text of ['', '5', '5 m', '-1s', '1y']) usage(() => parseDuration(text), /is no duration/);
  assert.deepEqual([parseGc('off'), parseGc('5m'), parseGc(undefined)], ['off', 300_000, undefined]);
});

test('cli values: positions and times', () => {
  assert.equal(parseMoment('42'), 42);
  assert.equal(parseMoment('2026-01-31T14:03:00+01:00'), '2026-01-31T13:03:00.000Z');
  usage(() => parseMoment('last tuesday'), /neither a position nor a time/);
});

test('cli values: pairs', () => {
  assert.deepEqual(parsePairs(['a=1', 'b=c=d', 'e='], '-o'), { a: '1', b: 'c=d', e: '' });
  usage(() => parsePairs(['a'], '-o'), /write KEY=VALUE/);
  usage(() => parsePairs(['=1'], '-o'), /write KEY=VALUE/);
});

test('cli values: published ports', () => {
  assert.deepEqual(parsePort('8080:80'), { hostPort: 8080, port: 80 });
  assert.deepEqual(parsePort('127.0.0.1:8080:80/udp'), {
    hostPort: 8080,
    port: 80,
    hostAddress: '127.0.0.1',
    protocol: 'udp',
  });
  assert.deepEqual(parsePort('[::1]:53:53'), { hostPort: 53, port: 53, hostAddress: '::1' });
  for (const text of ['80', 'a:b', '::1:53:53', '1:2:3:4']) usage(() => parsePort(text), /write \[IP:\]/);
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
  usage(() => parseAttachment('web:color=red'), /color=red is none of ip=/);
  usage(() => parseAttachment('web:ip=10.0.0.5,ip=10.0.0.6'), /ip= is given twice/);
});

test('cli values: names with and without their host', () => {
  assert.deepEqual(splitName('h1/web'), { host: 'h1', name: 'web' });
  assert.deepEqual(splitName('web'), { host: undefined, name: 'web' });
});
