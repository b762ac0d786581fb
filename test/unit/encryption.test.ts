// What encrypts packets between hosts: there while it is needed, renewed without a gap, and never used twice.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cutOff, EncryptedHost, encryptedHosts } from '../support/encrypted-hosts.ts';

const pair = async () => {
  const scene = await encryptedHosts(2);
  const [a, b] = scene.hosts;
  assert.ok(a && b);
  return { ...scene, a, b };
};

const step = 500;

/** Moves on in small steps, with everybody folding, and checks that packets get through all the time. */
const steadily = async ({ hosts, clock, turn }: Awaited<ReturnType<typeof encryptedHosts>>, ms: number) => {
  for (let passed = 0; passed < ms; passed += step) {
    assert.deepEqual(cutOff(hosts), [], `after ${passed} ms`);
    await clock.advance(step, turn);
  }
  assert.deepEqual(cutOff(hosts), []);
};

test('hosts that know each other have one association in each direction', async () => {
  const { hosts } = await encryptedHosts(4);
  assert.deepEqual(cutOff(hosts), []);
  for (const host of hosts) assert.equal(host.kernel.found.present.length, 2 * 3);
  const keys = hosts.flatMap((from) => hosts.flatMap((to) => from.outbound(to)?.key ?? []));
  assert.equal(new Set(keys).size, 4 * 3);
});

test('a rotation: packets come in with both at once, go out with the new after ten seconds, and none is lost', async () => {
  const scene = await pair();
  const { a, b, clock, rotate, turn } = scene;
  const [before, taken] = [a.outbound(b), b.inbound(a).length];
  assert.equal(taken, 1);
  rotate();
  await turn();
  assert.deepEqual(b.inbound(a).length, 2);
  assert.deepEqual(a.outbound(b), before);
  await clock.advance(9_500, turn);
  assert.deepEqual(a.outbound(b), before);
  await clock.advance(2_500, turn);
  assert.notDeepEqual(a.outbound(b), before);
  assert.deepEqual(cutOff([a, b]), []);
  // the one before stays for who is late, until the next rotation
  await clock.advance(600_000, turn);
  assert.equal(b.inbound(a).length, 2);
  rotate();
  await steadily(scene, 40_000);
  assert.equal(b.inbound(a).length, 2);
  assert.ok(b.inbound(a).every(({ key }) => key !== before?.key));
});

test('a host that is behind the log by an hour and a rotation is understood, and understands', async () => {
  const { a, b, clock, rotate, turn } = await pair();
  rotate();
  await a.follow();
  await clock.advance(3_600_000, () => a.follow());
  assert.equal(b.reaches(a), true);
  // what goes out by now is encrypted with what it does not know of
  assert.equal(a.reaches(b), false);
  await b.follow();
  assert.deepEqual(cutOff([a, b]), []);
  await clock.advance(12_000, turn);
  assert.deepEqual(cutOff([a, b]), []);
});

test('another worker of a host: what it finds is used until what is new may be', async () => {
  const scene = await pair();
  const { a, b } = scene;
  const before = a.outbound(b);
  await a.start();
  await scene.turn();
  assert.deepEqual(a.outbound(b), before);
  await steadily(scene, 40_000);
  assert.notDeepEqual(a.outbound(b), before);
  assert.equal(a.kernel.found.present.length, 3);
});

test('a machine that starts anew has new keys at once, and is not sent what it has lost', async () => {
  const { a, b, turn } = await pair();
  const before = [a.outbound(b)?.key, b.outbound(a)?.key];
  await a.reboot();
  await turn();
  assert.deepEqual(cutOff([a, b]), []);
  assert.ok(!before.includes(a.outbound(b)?.key) && !before.includes(b.outbound(a)?.key));
});

test('what somebody has removed is not made again with the same key: the host takes another epoch', async () => {
  const { a, b, clock, turn } = await pair();
  const before = a.epoch;
  a.kernel.lose();
  a.kernel.guarded = false;
  assert.deepEqual(cutOff([a, b]), ['h1 to h2', 'h2 to h1']);
  await clock.advance(2_000, turn);
  assert.deepEqual(cutOff([a, b]), []);
  assert.equal(a.kernel.guarded, true);
  assert.equal(a.epoch, before + 1);
  await clock.advance(60_000, turn);
  assert.equal(a.epoch, before + 1);
});

test('the last network goes, and nothing is left; with the next one come new keys', async () => {
  const { a, b, clock, turn } = await pair();
  await a.use(false);
  await clock.advance(2_000, turn);
  assert.deepEqual(a.kernel.found, { present: [], guarded: false });
  const { started } = clock;
  const asked = a.changes.length;
  await clock.advance(60_000, turn);
  assert.equal(a.changes.length, asked);
  assert.ok(clock.started > started, 'the other host goes on looking');
  await a.use(true);
  await turn();
  await clock.advance(2_000, turn);
  assert.deepEqual(cutOff([a, b]), []);
});

test('what a worker that is no more has left is removed by the next, where nothing encrypted is here', async () => {
  const { a, turn } = await pair();
  assert.equal(a.kernel.guarded, true);
  a.close();
  await a.use(false);
  assert.equal(a.kernel.found.present.length, 2);
  await a.start();
  await turn();
  assert.deepEqual(a.kernel.found, { present: [], guarded: false });
});

test('a host without the secret is left out, and one without the same secret is not understood', async () => {
  const { hosts, log, clock, add, turn } = await encryptedHosts(2);
  const without = new EncryptedHost('h8', log, clock, null);
  const other = new EncryptedHost('h9', log, clock, new Uint8Array(32).fill(8));
  add(without);
  add(other);
  for (const host of [without, other]) await host.start();
  await turn();
  const [a] = hosts;
  assert.ok(a);
  assert.deepEqual(cutOff(hosts.slice(0, 2)), []);
  assert.deepEqual(without.kernel.found.present, []);
  assert.equal(a.outbound(without), undefined);
  assert.notEqual(a.outbound(other), undefined);
  assert.equal(a.reaches(other) || other.reaches(a), false);
});

test('a kernel that refuses is asked again, and what it refused is not taken for used', async () => {
  const { hosts, log, clock, add, turn } = await encryptedHosts(1);
  const late = new EncryptedHost('h2', log, clock);
  late.kernel.able = false;
  add(late);
  await late.start();
  await turn();
  assert.deepEqual(cutOff(hosts), ['h1 to h2', 'h2 to h1']);
  late.kernel.able = true;
  await clock.advance(2_000, turn);
  assert.deepEqual(cutOff(hosts), []);
  assert.equal(late.epoch, 1);
});
