/** Who waits while a plugin of addresses is told again what it has given. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { silentLogger } from '../../services/lib/logger.ts';
import type { CallOptions } from '../../services/plugins/plugins.ts';
import { Replaying } from '../../services/worker/replaying.ts';
import { turn } from '../support/world.ts';

const facts = {
  id: 'n',
  name: 'n',
  ipam: { driver: 'phone', options: {} },
  subnets: [{ family: 4, subnet: '10.0.0.0/24', range: null, pool: 'x', gateway: '10.0.0.1', aux: {} }],
};

/** A plugin whose answers are given one by one. */
const stage = () => {
  const asked: {
    readonly method: string;
    readonly options: CallOptions;
    readonly answer: (isThere: boolean) => void;
  }[] = [];
  const method =
    (name: string, value: object, at: number) =>
    (...args: readonly unknown[]) =>
      new Promise((resolve) => {
        const fault = { code: 'PLUGIN_UNREACHABLE', step: `${name} of plugin phone`, text: 'away' };
        const answer = (isThere: boolean) => resolve(isThere ? { ok: true, value } : { ok: false, fault });
        asked.push({ method: name, options: args[at] as CallOptions, answer });
      });
  const ipam = {
    name: 'phone',
    capabilities: method('capabilities', { requiresReplay: true, requiresMac: false }, 0),
    defaultAddressSpaces: method('spaces', { local: 'l', global: 'g' }, 0),
    requestPool: method('pool', {}, 1),
    requestAddress: method('address', {}, 1),
  };
  const { signal } = new AbortController();
  const state = {
    networks: new Map([['n', { facts }]]),
    cells: new Map(),
    shared: { networks: new Map(), cells: new Map() },
    endpoints: new Map(),
  };
  const replaying = new Replaying({
    state: state as never,
    plugins: { ipam: () => ipam } as never,
    logger: silentLogger(),
    signal,
  });
  const ended: string[] = [];
  const caller = (name: string, options: CallOptions) =>
    replaying
      .replayed('phone', options)
      .then((fault) => void ended.push(`${name} ${fault ? `${fault.code} ${fault.step}: ${fault.text}` : 'goes on'}`));
  return { asked, caller, ended, signal };
};

const late = 'first PLUGIN_UNREACHABLE what plugin phone has given: was not told again in time';

describe('a replay', () => {
  it('goes on for everybody else when whoever was first has no more time', async () => {
    const { asked, caller, ended, signal } = stage();
    const controller = new AbortController();
    const first = caller('first', { byMs: 0, signal: controller.signal });
    const second = caller('second', { byMs: 30_000 });
    asked[0]?.answer(true);
    await turn();
    controller.abort();
    await first;
    assert.deepEqual(ended, [late]);
    for (let at = 1; at < 4; at++) {
      assert.equal(asked.length, at + 1);
      assert.deepEqual(ended, [late]);
      asked[at]?.answer(true);
      await turn();
    }
    await second;
    assert.deepEqual(ended.slice(1), ['second goes on']);
    assert.deepEqual(
      asked.map((one) => [one.method, one.options]),
      ['capabilities', 'spaces', 'pool', 'address'].map((method) => [method, { signal }]),
    );
    await caller('third', {});
    assert.equal(asked.length, 4);
  });

  it('that failed is made anew for whoever comes next, and nobody goes on without it', async () => {
    const { asked, caller, ended } = stage();
    const controller = new AbortController();
    const first = caller('first', { signal: controller.signal });
    controller.abort();
    await first;
    const waiting = caller('waiting', {});
    asked[0]?.answer(false);
    await waiting;
    assert.deepEqual(ended, [late, 'waiting PLUGIN_UNREACHABLE capabilities of plugin phone: away']);
    void caller('second', {});
    await turn();
    assert.equal(asked.length, 2);
  });
});
