// When a worker tells the kernel of the endpoints of other hosts: whole tables first, changes only of what it has told.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PeerChange, PeerTable } from '../../drivers/port.ts';
import type { Event } from '../../events/envelope.ts';
import { sleep } from '../../services/lib/clock.ts';
import { silentLogger } from '../../services/lib/logger.ts';
import { Peers } from '../../services/worker/peers.ts';
import { Present } from '../../services/worker/present.ts';
import { networkFacts } from '../support/dns.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { overlay } from '../support/kernel-objects.ts';
import { hostFacts } from '../support/world.ts';

const underlay = { address: '192.0.2.2', device: 'up0', mtu: 1500 };

const left = (id: string): Event =>
  ({ type: 'EndpointLeft', data: { endpointId: id, networkId: 'n1' }, meta: {} }) as unknown as Event;

const joined = (id: string): Event => {
  const data = {
    ...{
      endpointId: id,
      networkId: 'n1',
      ipv4: `10.204.0.${id.slice(1)}/24`,
      ipv6: null,
      mac: `02:00:00:00:00:0${id.slice(1)}`,
    },
    peer: { names: [id], services: [] },
  };
  return { type: 'EndpointJoined', data, meta: {} } as unknown as Event;
};

const scene = () => {
  const told: string[] = [];
  const present = new Present();
  const clock = new FakeClock();
  /** Changes are answered when it is. */
  const answer: { until: Promise<unknown> } = { until: Promise.resolve() };
  /** How long a look takes, milliseconds. */
  const look = { tookMs: 0 };
  const names = (rows: readonly { readonly mac: string }[]) => rows.map(({ mac }) => mac.at(-1)).join('');
  const peers = new Peers({
    host: 'h1',
    kernel: {
      setPeers: async (tables: readonly PeerTable[]) => {
        told.push(...tables.map((table) => `set ${table.tunnel} ${names(table.peers)}`));
        return tables.map(() => ({ ok: true, corrected: 0 }) as const);
      },
      changePeers: async (changes: readonly PeerChange[]) => {
        told.push(...changes.map((change) => `change ${change.tunnel} +${names(change.put)} -${names(change.drop)}`));
        await answer.until;
        return changes.map(() => ({ ok: true, corrected: 0 }) as const);
      },
      checkPeers: async () => {
        told.push('check');
        if (look.tookMs > 0) await sleep(clock, look.tookMs);
        return [];
      },
    },
    present,
    dns: { met: ({ endpointId }) => told.push(`met ${endpointId}`), left: (id) => told.push(`left ${id}`) },
    network: (id) => networkFacts(id),
    clock,
    logger: silentLogger(),
    checked: () => undefined,
    repair: () => told.push('repair'),
    onFault: (error) => assert.fail(String(error)),
  });
  const make = () => present.apply(overlay(1).map((object) => ({ op: 'create', object })));
  const remove = () => present.apply(overlay(1).map((object) => ({ op: 'delete', object })));
  const take = () => told.splice(0);
  return { peers, clock, answer, look, make, remove, take };
};

test('a tunnel that was there before is given its whole table before any change of it', async () => {
  const { peers, make, take } = scene();
  make();
  peers.note('h2', { type: 'HostFacts', data: hostFacts('h2', { underlay }), meta: {} } as unknown as Event);
  peers.note('h2', joined('e2'));
  peers.tell();
  assert.deepEqual(take(), [], 'nothing before everybody is known');
  await peers.begin();
  assert.deepEqual(take(), ['met e2', 'set cx1 2']);
  peers.note('h2', joined('e3'));
  peers.tell();
  assert.deepEqual(take(), ['met e3', 'change cx1 +3 -']);
});

test('what changes while the kernel is told is told at once afterwards, each as it is then', async () => {
  const { peers, answer, make, take } = scene();
  make();
  peers.note('h2', { type: 'HostFacts', data: hostFacts('h2', { underlay }), meta: {} } as unknown as Event);
  peers.note('h2', joined('e2'));
  await peers.begin();
  const { promise, resolve } = Promise.withResolvers<void>();
  answer.until = promise;
  const tell = (event: Event) => {
    peers.note('h2', event);
    peers.tell();
  };
  tell(joined('e3'));
  assert.deepEqual(take(), ['met e2', 'set cx1 2', 'met e3', 'change cx1 +3 -']);
  for (const event of [joined('e4'), joined('e5'), left('e4'), left('e2'), joined('e6'), left('e6'), joined('e6')])
    tell(event);
  assert.deepEqual(take(), ['met e4', 'met e5', 'left e4', 'left e2', 'met e6', 'left e6', 'met e6']);
  resolve();
  await new Promise(setImmediate);
  assert.deepEqual(take(), ['change cx1 +56 -426']);
  // A whole table says all there is.
  answer.until = Promise.withResolvers().promise;
  tell(joined('e7'));
  tell(joined('e8'));
  await peers.set(['n1']);
  assert.deepEqual(take(), ['met e7', 'change cx1 +7 -', 'met e8', 'set cx1 35678']);
});

test('what leads to a host stays while it has no address', async () => {
  const { peers, make, take } = scene();
  make();
  const state = (address: typeof underlay | null) => {
    peers.note('h2', { type: 'HostFacts', data: hostFacts('h2', { underlay: address }), meta: {} } as unknown as Event);
    peers.tell();
  };
  state(underlay);
  peers.note('h2', joined('e2'));
  await peers.begin();
  state(null);
  await peers.set(['n1']);
  state(underlay);
  assert.deepEqual(take(), ['met e2', 'set cx1 2', 'set cx1 2']);
  state({ ...underlay, address: '192.0.2.3' });
  assert.deepEqual(take(), ['met e2', 'change cx1 +2 -2']);
});

test('changes are of networks that have a table: from when their tunnel is made to when it goes', async () => {
  const { peers, make, remove, take } = scene();
  peers.note('h2', { type: 'HostFacts', data: hostFacts('h2', { underlay }), meta: {} } as unknown as Event);
  await peers.begin();
  make();
  peers.note('h2', joined('e2'));
  peers.tell();
  assert.deepEqual(take(), ['met e2']);
  await peers.set(['n1']);
  assert.deepEqual(take(), ['set cx1 2']);
  remove();
  peers.forget('n1');
  make();
  peers.note('h2', joined('e3'));
  peers.tell();
  assert.deepEqual(take(), ['met e3']);
  await peers.set(['n1']);
  assert.deepEqual(take(), ['set cx1 23']);
});

test('tables are looked at soon after a change, every few seconds, and at once after the log was out of reach', async () => {
  const { peers, clock, make, take } = scene();
  make();
  await peers.begin();
  take();
  await clock.advance(2_000);
  assert.deepEqual(take(), ['check']);
  peers.note('h2', { type: 'HostFacts', data: hostFacts('h2', { underlay }), meta: {} } as unknown as Event);
  peers.note('h2', joined('e2'));
  peers.tell();
  await clock.advance(500);
  assert.deepEqual(take(), ['met e2', 'change cx1 +2 -', 'check']);
  peers.look();
  await clock.advance(0);
  assert.deepEqual(take(), ['check']);
  peers.close();
  peers.look();
  await clock.advance(10_000);
  assert.deepEqual(take(), []);
});

test('tables are looked at however often something changes', async () => {
  const { peers, clock, make, take } = scene();
  make();
  peers.note('h2', { type: 'HostFacts', data: hostFacts('h2', { underlay }), meta: {} } as unknown as Event);
  await peers.begin();
  for (let number = 1; number <= 9; number++) {
    peers.note('h2', joined(`e${number}`));
    peers.tell();
    await clock.advance(400);
  }
  assert.ok(take().filter((what) => what === 'check').length >= 3);
});

test('looks are a fiftieth of the time by the shortest of three, and never put off for minutes', async () => {
  const { peers, clock, look, take } = scene();
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
  const looksIn = async (ms: number): Promise<number> => {
    await clock.advance(ms, turn);
    await turn();
    return take().filter((line) => line === 'check').length;
  };
  await peers.begin();
  assert.equal(await looksIn(10_000), 5, 'every two seconds');
  look.tookMs = 10_000;
  assert.equal(await looksIn(2_000 + 10_000), 1);
  look.tookMs = 0;
  assert.deepEqual([await looksIn(1_999), await looksIn(1)], [0, 1], 'one alone puts nothing off');
  await looksIn(10_000);
  look.tookMs = 100;
  for (const _ of Array(3)) assert.equal(await looksIn(2_000 + 100), 1);
  assert.deepEqual([await looksIn(4_999), await looksIn(1)], [0, 1]);
  look.tookMs = 10_000;
  await looksIn(100);
  for (const _ of Array(3)) assert.equal(await looksIn(5_000 + 10_000), 1);
  look.tookMs = 0;
  assert.deepEqual([await looksIn(19_999), await looksIn(1)], [0, 1], 'at most');
  peers.close();
});
