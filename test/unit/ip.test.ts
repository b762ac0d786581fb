import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  broadcastAddress,
  classesOf,
  classOf,
  contains,
  containsCidr,
  formatCidr,
  formatIp,
  hostCount,
  hostRange,
  ipv4ToNumber,
  lastAddress,
  networkAddress,
  overlaps,
  parseCidr,
  parseIp,
  parseSubnet,
} from '../../events/ip.ts';
import { isUnicastMac, macFromIpv4, macFromIpv6, parseMac } from '../../events/ipam.ts';

const ip = (text: string) => parseIp(text) ?? assert.fail(`${text} is no address`);
const cidr = (text: string) => parseSubnet(text) ?? assert.fail(`${text} is no subnet`);
const canonical = (text: string) => formatIp(ip(text).family, ip(text).value);

test('IPv4 text is read strictly', () => {
  assert.deepEqual(parseIp('10.200.0.2'), { family: 4, value: 0x0ac80002n });
  assert.equal(ipv4ToNumber('255.255.255.255'), 0xffffffff);
  assert.equal(ipv4ToNumber('0.0.0.0'), 0);
  const wrong = [
    '',
    '1',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.04',
    '1..2.3',
    '1.2.3.',
    '.1.2.3',
    ' 1.2.3.4',
  ];
  for (const text of [...wrong, '1.2.3.4 ', '1.2.3.-4', '0x1.2.3.4', '1.2.3.4\n', '１.2.3.4', '1.2.3.4/24']) {
    assert.equal(parseIp(text), null, text);
  }
});

test('IPv6 text is read strictly', () => {
  const wrong = [
    ':',
    ':::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1::2::3',
    '1:2:3:4:5:6:7:8::',
    '1::2:3:4:5:6:7:8',
    '12345::',
  ];
  for (const text of [
    ...wrong,
    ':1::',
    '1::2:',
    'g::',
    'fe80::1%eth0',
    '::1.2.3',
    '1.2.3.4::',
    '::1.2.3.4:5',
    '[::1]',
    '::1 ',
  ]) {
    assert.equal(parseIp(text), null, text);
  }
  assert.equal(ip('::').value, 0n);
  assert.equal(ip('1:2:3:4:5:6:7::').value, 0x0001_0002_0003_0004_0005_0006_0007_0000n);
  assert.equal(ip('::ffff:10.0.0.1').value, 0xffff_0a00_0001n);
});

test('IPv6 text is written as in RFC 5952', () => {
  assert.equal(canonical('2001:0DB8::0001'), '2001:db8::1');
  assert.equal(canonical('2001:db8:0:1:1:1:1:1'), '2001:db8:0:1:1:1:1:1', 'one zero group stays');
  assert.equal(canonical('2001:0:0:1:0:0:0:1'), '2001:0:0:1::1', 'the longest run');
  assert.equal(canonical('2001:db8:0:0:1:0:0:1'), '2001:db8::1:0:0:1', 'the first of equal runs');
  assert.equal(canonical('0:0:0:0:0:0:0:0'), '::');
  assert.equal(canonical('1:0:0:0:0:0:0:0'), '1::');
  assert.equal(canonical('::ffff:a00:1'), '::ffff:10.0.0.1');
});

test('a CIDR says whether it names a subnet, and how it should be spelt', () => {
  const address = parseCidr('10.1.2.3/24') ?? assert.fail();
  assert.equal(address.hasHostBits, true);
  assert.equal(formatCidr(address.cidr), '10.1.2.0/24');
  assert.equal(formatIp(4, address.address.value), '10.1.2.3');
  assert.equal(parseSubnet('10.1.2.3/24'), null);
  assert.equal(parseCidr('FD00::/64')?.isCanonical, false);
  assert.equal(parseCidr('fd00::/64')?.isCanonical, true);
  for (const text of [
    '10.0.0.0',
    '10.0.0.0/',
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/08',
    '10.0.0.0/-1',
    '/24',
    '10.0.0.0/8/8',
    '10.0.0.0/ 8',
  ]) {
    assert.equal(parseCidr(text), null, text);
  }
});

test('reserved addresses', () => {
  const rows = [
    ['10.0.0.0/24', '10.0.0.1', '10.0.0.254', 254n],
    ['10.0.0.4/30', '10.0.0.5', '10.0.0.6', 2n],
    ['10.0.0.4/31', '10.0.0.4', '10.0.0.5', 2n],
    ['10.0.0.4/32', '10.0.0.4', '10.0.0.4', 1n],
    ['0.0.0.0/0', '0.0.0.1', '255.255.255.254', 2n ** 32n - 2n],
    ['fd00::/64', 'fd00::1', 'fd00::ffff:ffff:ffff:ffff', 2n ** 64n - 1n],
    ['fd00::/127', 'fd00::', 'fd00::1', 2n],
    ['fd00::5/128', 'fd00::5', 'fd00::5', 1n],
  ] as const;
  for (const [text, first, last, count] of rows) {
    const subnet = cidr(text);
    assert.deepEqual(hostRange(subnet), { first: ip(first).value, last: ip(last).value }, text);
    assert.equal(hostCount(subnet), count, text);
  }
  assert.equal(networkAddress(cidr('10.0.0.0/24')), ip('10.0.0.0').value);
  assert.equal(broadcastAddress(cidr('10.0.0.0/24')), ip('10.0.0.255').value);
  assert.equal(broadcastAddress(cidr('fd00::/64')), null);
  assert.equal(networkAddress(cidr('10.0.0.0/31')), null);
  assert.equal(lastAddress(cidr('::/0')), 2n ** 128n - 1n);
});

test('containment and overlap', () => {
  assert.ok(contains(cidr('10.0.0.0/8'), ip('10.255.255.255')));
  assert.ok(!contains(cidr('10.0.0.0/8'), ip('11.0.0.0')));
  assert.ok(!contains(cidr('::/0'), ip('10.0.0.1')), 'families are apart');
  assert.ok(containsCidr(cidr('10.0.0.0/8'), cidr('10.1.0.0/16')));
  assert.ok(!containsCidr(cidr('10.1.0.0/16'), cidr('10.0.0.0/8')));
  assert.ok(overlaps(cidr('10.1.0.0/16'), cidr('10.0.0.0/8')));
  assert.ok(!overlaps(cidr('10.0.0.0/9'), cidr('10.128.0.0/9')));
});

test('classes of addresses', () => {
  const rows = { '127.1.2.3': 'loopback', '::1': 'loopback', '224.0.0.1': 'multicast', 'ff02::1': 'multicast' };
  const more = { '169.254.1.1': 'link-local', 'febf::1': 'link-local', '0.0.0.0': 'unspecified', '::': 'unspecified' };
  const last = { '255.255.255.255': 'broadcast', '::ffff:1.2.3.4': 'v4-mapped' };
  for (const [text, name] of Object.entries({ ...rows, ...more, ...last })) assert.equal(classOf(ip(text)), name, text);
  for (const text of ['10.0.0.1', '8.8.8.8', 'fd00::1', '2001:db8::1', '::2'])
    assert.equal(classOf(ip(text)), null, text);
  assert.deepEqual(classesOf(cidr('192.0.0.0/2')), ['multicast', 'broadcast']);
  assert.deepEqual(classesOf(cidr('10.0.0.0/8')), []);
});

test('MAC addresses', () => {
  assert.equal(macFromIpv4('10.200.0.2'), '02:42:0a:c8:00:02');
  assert.equal(macFromIpv4('fd00::1'), null);
  // FNV-1a of fifteen zero bytes and a one, computed apart.
  let hash = 0x811c9dc5n;
  for (let i = 0; i < 16; i++) hash = ((hash ^ (i === 15 ? 1n : 0n)) * 0x01000193n) & 0xffffffffn;
  assert.equal(macFromIpv6('::1')?.replaceAll(':', ''), `0243${hash.toString(16).padStart(8, '0')}`);
  assert.equal(macFromIpv6('10.0.0.1'), null);
  for (const text of ['02-42-0A-C8-00-02', '0242.0ac8.0002', '02:42:0A:c8:00:02']) {
    assert.equal(parseMac(text), '02:42:0a:c8:00:02');
  }
  for (const text of [
    '02:42:0a:c8:00',
    '02:42:0a:c8:00:02:03',
    '02:42-0a:c8:00:02',
    '2:42:a:c8:0:2',
    '02420ac80002',
    'xx:42:0a:c8:00:02',
  ]) {
    assert.equal(parseMac(text), null, text);
  }
  assert.ok(isUnicastMac('02:42:0a:c8:00:02'));
  assert.ok(!isUnicastMac('01:00:5e:00:00:01'));
  assert.ok(!isUnicastMac('ff:ff:ff:ff:ff:ff'));
  assert.ok(!isUnicastMac('00:00:00:00:00:00'));
});
