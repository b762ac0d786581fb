// Lists of a state that grow with use are written in lines that stay small, and are read again as they were.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatIp } from '../../events/ip.ts';
import {
  type AddressPool,
  holdAddress,
  holdSubnet,
  releaseAddress,
  releaseSubnet,
  setRoutes,
} from '../../events/ipam.ts';
import { type BoundaryState, initialState } from '../../events/state.ts';
import { encodeState, type StateLine, takeState } from '../../events/state-codec.ts';
import { World } from '../support/world.ts';

const LINE_BYTES_MAX = 64 * 1024;
const RELEASED = 20_000;

const written = (state: BoundaryState): readonly string[] =>
  [...encodeState(state)].map((line) => JSON.stringify(line));

const read = (lines: Iterable<string>): BoundaryState => {
  const state = initialState();
  for (const line of lines) takeState(state, JSON.parse(line) as StateLine);
  return state;
};

const poolsOf = (state: BoundaryState): readonly AddressPool[] => [...state.cells].flatMap(([, { pools }]) => pools);
const pooled = ({ held, releases, cursor }: AddressPool) => ({
  held: [...held],
  releases: [...releases.oldestFirst()],
  next: cursor.get('next'),
});
const spaced = ({ subnets: { families, routes } }: BoundaryState) => ({
  blocks: [...families[4].tree.blocks, ...families[6].tree.blocks],
  rested: [...families[4].releases.oldestFirst(), ...families[6].releases.oldestFirst()],
  routes: [...routes],
});

/** A network of a subnet from whose pool addresses were released one after another, the last first, and some are held. */
const usedNetwork = (world: World, subnet: string, heldCount: number): AddressPool => {
  const family = subnet.includes(':') ? 6 : 4;
  world.run('CreateNetwork', { name: 'web', ipam: { subnets: [{ subnet }] }, ipv4: family === 4, ipv6: family === 6 });
  const pool = poolsOf(world.state).at(-1) ?? assert.fail();
  const addressAt = (n: number): string => formatIp(family, pool.range.first + BigInt(n + 1));
  for (let n = 0; n < RELEASED + heldCount; n++)
    assert.ok(holdAddress(pool, addressAt(n), { kind: 'endpoint', id: `id${n}`, name: `endpoint-${n}` }));
  for (let n = RELEASED - 1; n >= 0; n--)
    assert.ok(releaseAddress(pool, addressAt(n), `id${n}`, world.nowMs + RELEASED - n));
  return pool;
};

/** Lines as they were before long lists went on in further ones; for a single pool. */
const inOneLine = (lines: readonly string[]): readonly string[] => {
  const parsed = lines.map((line) => JSON.parse(line) as readonly [kind: string, ...rest: readonly unknown[]]);
  const all = (kind: string) => parsed.flatMap((line) => (line[0] === kind ? (line[3] as readonly unknown[]) : []));
  return parsed.flatMap((line) => {
    const [kind, id, index, row] = line;
    if (kind === 'addresses' || kind === 'released') return [];
    if (kind !== 'pool') return [JSON.stringify(line)];
    const { held, releases, next } = row as Readonly<Record<string, readonly unknown[]>>;
    const whole = { held: [...(held ?? []), ...all('addresses')], releases: [...(releases ?? []), ...all('released')] };
    return [JSON.stringify([kind, id, index, { ...whole, next }])];
  });
};

for (const [name, subnet] of [
  ['an IPv6 /64', 'fd00:1234:5678:9abc::/64'],
  ['an IPv4 /16', '10.77.0.0/16'],
] as const)
  test(`${name} with ${RELEASED} released addresses is written in small lines, and read again as it was`, () => {
    const world = new World();
    const pool = usedNetwork(world, subnet, 1_200);
    assert.equal(pool.releases.size, RELEASED);
    const lines = written(world.state);
    for (const line of lines) assert.ok(Buffer.byteLength(line) < LINE_BYTES_MAX, line.slice(0, 80));
    const again = read(lines);
    assert.deepEqual(poolsOf(again).map(pooled), poolsOf(world.state).map(pooled));
    assert.deepEqual(written(again), lines);
    const before = inOneLine(lines);
    assert.ok(before.some((line) => line.length > 448 * 1024));
    assert.deepEqual(written(read(before)), lines);
  });

test('each pool of a network has its own lists', () => {
  const world = new World();
  const subnets = [{ subnet: '10.77.0.0/16' }, { subnet: 'fd00:7::/64' }];
  world.run('CreateNetwork', { name: 'web', ipam: { subnets }, ipv6: true });
  for (const [index, pool] of poolsOf(world.state).entries())
    for (let n = 0; n < 1_000 + index; n++) {
      const address = formatIp(pool.subnet.family, pool.range.first + BigInt(n + 1));
      holdAddress(pool, address, { kind: 'endpoint', id: 'a' });
      releaseAddress(pool, address, 'a', n);
    }
  const again = read(written(world.state));
  assert.deepEqual(poolsOf(again).map(pooled), poolsOf(world.state).map(pooled));
  assert.deepEqual(
    poolsOf(again).map(({ releases }) => releases.size),
    [1_000, 1_001],
  );
});

test('resting subnets, routes of a host and those who share a subnet are written in small lines', () => {
  const { state } = new World();
  for (let n = 0; n < 4_000; n++) {
    const subnet = `fd00:0:0:${n.toString(16)}::/64`;
    holdSubnet(state.subnets, subnet, { kind: 'network', id: 'a' });
    releaseSubnet(state.subnets, subnet, 'a', n);
  }
  const routes = Array.from({ length: 2_500 }, (_, n) => `10.${n >> 8}.${n & 255}.0/24`);
  setRoutes(state.subnets, 'h1', routes);
  for (let n = 0; n < 1_700; n++)
    holdSubnet(state.subnets, '192.168.7.0/24', { kind: 'network', id: `${n}`, name: `network-${n}` });
  const lines = written(state);
  for (const line of lines) assert.ok(Buffer.byteLength(line) < LINE_BYTES_MAX, line.slice(0, 80));
  const again = read(lines);
  assert.deepEqual(spaced(again), spaced(state));
  assert.deepEqual(written(again), lines);
});

test('exactly as many as one line has room for need no further one', () => {
  const { state } = new World();
  for (const length of [249, 250, 251, 500, 501]) {
    setRoutes(
      state.subnets,
      'h1',
      Array.from({ length }, (_, n) => `10.${n >> 8}.${n & 255}.0/24`),
    );
    const lines = written(state);
    assert.equal(lines.filter((line) => /^\["route[sd]"/.test(line)).length, Math.ceil(length / 250));
    assert.deepEqual(spaced(read(lines)), spaced(state));
  }
});
