import assert from 'node:assert/strict';
import { BlockList, isIP, SocketAddress } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type Cidr,
  cidrOf,
  contains,
  containsCidr,
  FAMILY_BITS,
  type Family,
  formatCidr,
  formatIp,
  hostCount,
  hostRange,
  type Ip,
  ipv4ToNumber,
  lastAddress,
  numberToIpv4,
  overlaps,
  parseCidr,
  parseIp,
} from '../../events/ip.ts';
import { isUnicastMac, macFromIpv4, macFromIpv6, parseMac } from '../../events/ipam.ts';

const nameOf = (family: Family) => (family === 4 ? 'ipv4' : 'ipv6');
const ipv4 = fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }).map((value): Ip => ({ family: 4, value }));
/** Groups of which many are zero, so that runs to be shortened are common. */
const ipv6 = fc
  .array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { minLength: 8, maxLength: 8 })
  .map((groups): Ip => ({ family: 6, value: groups.reduce((value, group) => (value << 16n) | BigInt(group), 0n) }));
const ip = fc.oneof(ipv4, ipv6);
const cidr = ip.chain((address) =>
  fc.integer({ min: 0, max: FAMILY_BITS[address.family] }).map((n) => cidrOf(address, n)),
);

test('text and number are one to one', () => {
  fc.assert(fc.property(ip, (address) => assert.deepEqual(parseIp(formatIp(address.family, address.value)), address)));
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), (number) =>
      assert.equal(ipv4ToNumber(numberToIpv4(number)), number),
    ),
  );
  fc.assert(fc.property(cidr, (subnet) => assert.deepEqual(parseCidr(formatCidr(subnet))?.cidr, subnet)));
});

test('what is an address, node:net says too', () => {
  const almost = fc
    .array(fc.constantFrom('0', '1', '25', '255', '256', 'f', 'ffff', '00', '.', '.', ':', ':', '::', 'g'), {
      maxLength: 16,
    })
    .map((parts) => parts.join(''));
  const text = fc.oneof(almost, fc.ipV4(), fc.ipV6(), fc.ipV4Extended(), fc.string());
  fc.assert(
    fc.property(text, (candidate) => {
      fc.pre(!candidate.includes('%'));
      assert.equal(parseIp(candidate)?.family ?? 0, isIP(candidate), candidate);
    }),
    { numRuns: 20_000 },
  );
});

test('canonical text is what node:net writes', () => {
  fc.assert(
    fc.property(ip, ({ family, value }) => {
      // libuv also writes the deprecated ::a.b.c.d, which RFC 5952 does not ask for.
      fc.pre(family === 4 || value >> 32n !== 0n);
      const text = formatIp(family, value);
      assert.equal(new SocketAddress({ address: text, family: nameOf(family) }).address, text);
    }),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.oneof(fc.ipV6(), fc.ipV4()), (text) => {
      const address = parseIp(text) ?? assert.fail(text);
      fc.pre(address.family === 4 || address.value >> 32n !== 0n);
      assert.equal(
        formatIp(address.family, address.value),
        new SocketAddress({ address: text, family: nameOf(address.family) }).address,
      );
    }),
  );
});

test('contains is what node:net says', () => {
  const near = fc.tuple(cidr, ip, fc.bigInt({ min: -2n, max: 2n })).map(([subnet, other, step]) => {
    const edge = lastAddress(subnet) + step;
    const isAddress = edge >= 0n && edge < 1n << BigInt(FAMILY_BITS[subnet.family]);
    return { subnet, address: isAddress ? { family: subnet.family, value: edge } : other };
  });
  fc.assert(
    fc.property(near, ({ subnet, address }) => {
      fc.pre(subnet.family === address.family);
      // A BlockList takes mapped addresses for IPv4.
      fc.pre(subnet.family === 4 || address.value >> 32n !== 0xffffn);
      const list = new BlockList();
      list.addSubnet(formatIp(subnet.family, subnet.base), subnet.prefix, nameOf(subnet.family));
      const expected = list.check(formatIp(address.family, address.value), nameOf(address.family));
      assert.equal(contains(subnet, address), expected);
    }),
    { numRuns: 2000 },
  );
});

test('two subnets overlap exactly if they share an address', () => {
  const shares = (a: Cidr, b: Cidr) => a.family === b.family && a.base <= lastAddress(b) && b.base <= lastAddress(a);
  fc.assert(
    fc.property(cidr, cidr, fc.boolean(), (a, b, nested) => {
      const other = nested ? cidrOf({ family: a.family, value: lastAddress(a) }, FAMILY_BITS[a.family] - 1) : b;
      assert.equal(overlaps(a, other), shares(a, other));
      assert.equal(overlaps(a, other), overlaps(other, a));
      if (containsCidr(a, other)) assert.ok(contains(a, { family: a.family, value: lastAddress(other) }));
    }),
  );
});

test('hosts lie in their subnet, and there is always one', () => {
  fc.assert(
    fc.property(cidr, (subnet) => {
      const { first, last } = hostRange(subnet);
      assert.ok(contains(subnet, { family: subnet.family, value: first }));
      assert.ok(contains(subnet, { family: subnet.family, value: last }));
      assert.ok(hostCount(subnet) >= 1n);
    }),
  );
});

test('derived MACs are canonical, unicast, and one to one with IPv4', () => {
  const macOf = ({ family, value }: Ip) =>
    (family === 4 ? macFromIpv4 : macFromIpv6)(formatIp(family, value)) ?? assert.fail();
  fc.assert(
    fc.property(ip, (address) => {
      const mac = macOf(address);
      assert.equal(parseMac(mac.toUpperCase()), mac);
      assert.ok(isUnicastMac(mac));
      if (address.family === 4) assert.equal(BigInt(`0x${mac.replaceAll(':', '').slice(4)}`), address.value);
    }),
  );
});
