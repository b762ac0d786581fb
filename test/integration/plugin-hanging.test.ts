/** Whom a plugin holds up that takes its time, and how long. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import type { Called } from '../../services/plugins/plugins.ts';
import { waitFor } from '../support/nats.ts';
import { cleared, codeOf, joinOf, leaveOf, ports, ref, started, textOf, withPlugin } from '../support/plugins/host.ts';
import { startOnSocket } from '../support/plugins/start.ts';
import { FakeClock, turn } from '../support/world.ts';

afterEach(cleared);

describe('a plugin that hangs', () => {
  const hanging = { 'NetworkDriver.Join': { kind: 'hangs' } } as const;

  it('holds its caller no longer than a call has, and nobody else at all', async () => {
    const clock = new FakeClock();
    const { network, plugins, place, plugin } = await withPlugin({ clock });
    await started(startOnSocket(join(place, 'other.sock')));
    await plugin.order({ behaviours: hanging });
    let ended: Called<unknown> | null = null;
    const joining = joinOf(network).then((called) => {
      ended = called;
      return called;
    });
    await waitFor(async () => (await plugin.methods()).includes('NetworkDriver.Join'), { what: 'the request' });
    assert.equal(codeOf(await plugins.network('other').leave(ref, {})), 'ok');
    assert.equal(codeOf(await leaveOf(network, 'e2')), 'ok'); // another call of the same plugin
    await clock.advance(4_999, turn);
    assert.equal(ended, null);
    await clock.advance(1, turn);
    const called = await joining;
    assert.equal(called.ok ? '' : `${called.fault.errno} ${called.fault.text}`, 'ETIMEDOUT no answer within 5000 ms');
  });

  it('holds it no longer than its command has', async () => {
    const clock = new FakeClock();
    const { network, plugin } = await withPlugin({ clock });
    await plugin.order({ behaviours: hanging });
    const joining = network.join({ ...ref, sandboxKey: '/run/x', ports }, { byMs: clock.nowMs() + 300 });
    await waitFor(async () => (await plugin.methods()).includes('NetworkDriver.Join'), { what: 'the request' });
    await clock.advance(300, turn);
    assert.equal(textOf(await joining), 'no answer within 300 ms');
  });

  it('is let go of when the caller gives up, or the host ends', async () => {
    const { network, plugins, plugin } = await withPlugin();
    await plugin.order({ behaviours: hanging });
    const controller = new AbortController();
    const joining = [{ signal: controller.signal }, {}].map((options, index) =>
      network.join({ networkId: 'n', endpointId: `e${index}`, sandboxKey: '/run/x', ports }, options),
    );
    const asked = async (): Promise<number> => (await plugin.methods()).filter((name) => name.endsWith('.Join')).length;
    await waitFor(async () => (await asked()) === 2, { what: 'both requests' });
    controller.abort();
    assert.equal(textOf((await joining[0]) as Called<unknown>), 'given up');
    await plugins.close();
    assert.equal(textOf((await joining[1]) as Called<unknown>), 'given up');
    assert.equal(textOf(await leaveOf(network)), 'given up');
  });

  it('is asked at most 16 things at once, and the rest no more when three have had no answer', async () => {
    const clock = new FakeClock();
    const { network, plugin } = await withPlugin({ clock });
    await plugin.order({ behaviours: { 'NetworkDriver.Leave': { kind: 'hangs' } } });
    assert.ok((await network.capabilities({})).ok);
    const leaving = Array.from({ length: 20 }, (_, index) => leaveOf(network, `e${index}`));
    const asked = async (): Promise<number> =>
      (await plugin.methods()).filter((name) => name.endsWith('.Leave')).length;
    await waitFor(async () => (await asked()) === 16, { what: '16 requests' });
    await turn();
    assert.equal(await asked(), 16);
    await clock.advance(10_000, turn); // two have taken the places of the first two
    const texts = (await Promise.all(leaving)).map(textOf);
    assert.deepEqual(new Set(texts.slice(0, 18)), new Set(['no answer within 5000 ms']));
    for (const text of texts.slice(18)) assert.match(text, /^not called: the last 3 calls were not answered/);
  });

  /** 16 calls that hang until they are given up. */
  const busy = async () => {
    const clock = new FakeClock();
    const { network, plugin } = await withPlugin({ clock });
    await plugin.order({ behaviours: { 'NetworkDriver.Leave': { kind: 'hangs' } } });
    assert.ok((await network.capabilities({})).ok);
    const controllers = Array.from({ length: 16 }, () => new AbortController());
    const leaving = controllers.map(({ signal }, index) =>
      network.leave({ networkId: 'n1', endpointId: `e${index}` }, { signal }),
    );
    const asked = async (count: number): Promise<boolean> =>
      (await plugin.methods()).filter((name) => name.endsWith('.Leave')).length === count;
    await waitFor(() => asked(16), { what: '16 requests' });
    return { clock, network, plugin, controllers, leaving, asked };
  };

  it('has all its time for a call that had to wait for others', async () => {
    const { asked, clock, controllers, leaving, network } = await busy();
    let ended: Called<unknown> | null = null;
    const waiting = leaveOf(network, 'late').then((called) => {
      ended = called;
      return called;
    });
    await clock.advance(4_000, turn);
    controllers[0]?.abort();
    await waitFor(() => asked(17), { what: 'the request that waited' });
    await clock.advance(4_999, turn);
    assert.equal(new Set((await Promise.all(leaving)).map(textOf)).size, 2);
    assert.equal(ended, null);
    await clock.advance(1, turn);
    const called = await waiting;
    assert.equal(textOf(called), 'no answer within 5000 ms');
    assert.equal('isUnsent' in called, false);
  });

  it('is not blamed for what it was never asked: that is known not to be done', async () => {
    const { asked, clock, controllers, leaving, network, plugin } = await busy();
    const waiting = ['a', 'b', 'c', 'd'].map((endpointId) =>
      network.leave({ networkId: 'n1', endpointId }, { byMs: clock.nowMs() + 2_000 }),
    );
    await clock.advance(2_000, turn);
    for (const called of await Promise.all(waiting)) {
      assert.equal(textOf(called), 'no answer within 2000 ms');
      assert.equal(called.ok || called.isUnsent, true);
    }
    for (const controller of controllers) controller.abort();
    await Promise.all(leaving);
    assert.ok(await asked(16));
    await plugin.order({ behaviours: {} });
    assert.equal(textOf(await leaveOf(network, 'a')), 'ok');
    assert.equal((await plugin.methods()).filter((name) => name === 'Plugin.Activate').length, 1);
  });

  it('is asked about an endpoint one thing at a time, in order', async () => {
    const { network, plugin } = await withPlugin();
    await plugin.order({ behaviours: { 'NetworkDriver.Join': { kind: 'hangs' } } });
    const controller = new AbortController();
    const joining = network.join({ ...ref, sandboxKey: '/run/x', ports }, { signal: controller.signal });
    const behind = [leaveOf(network), network.deleteEndpoint(ref, {})];
    await waitFor(async () => (await plugin.methods()).includes('NetworkDriver.Join'), { what: 'the request' });
    assert.equal(codeOf(await leaveOf(network, 'e2')), 'ok');
    const asked = async () =>
      (await plugin.asked()).slice(3).map(({ method, body }) => [method, JSON.parse(body).EndpointID]);
    const before = [
      ['NetworkDriver.Join', 'e1'],
      ['NetworkDriver.Leave', 'e2'],
    ];
    assert.deepEqual(await asked(), before);
    controller.abort();
    assert.equal(codeOf(await joining), 'PLUGIN_UNREACHABLE');
    assert.deepEqual((await Promise.all(behind)).map(codeOf), ['ok', 'ok']);
    assert.deepEqual(await asked(), [...before, ['NetworkDriver.Leave', 'e1'], ['NetworkDriver.DeleteEndpoint', 'e1']]);
  });
});
