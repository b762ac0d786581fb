/** What stands in for plugins in tests of others does as they do. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fakePlugins } from '../support/plugins/fake.ts';

const ref = { networkId: 'n', endpointId: 'e' };
const join = { ...ref, sandboxKey: '/run/x', ports: { exposed: [], published: [] } };

describe('fake plugins', () => {
  it('are activated at the first call, and asked what a plugin is asked', async () => {
    const plugins = fakePlugins(['p']);
    assert.equal((await plugins.network('p').leave(ref, {})).ok, true);
    assert.equal((await plugins.network('p').leave(ref, {})).ok, true);
    assert.deepEqual(plugins.asked, [
      { plugin: 'p', method: 'Plugin.Activate', body: null },
      { plugin: 'p', method: 'NetworkDriver.GetCapabilities', body: null },
      { plugin: 'p', method: 'IpamDriver.GetCapabilities', body: null },
      { plugin: 'p', method: 'NetworkDriver.Leave', body: { NetworkID: 'n', EndpointID: 'e' } },
      { plugin: 'p', method: 'NetworkDriver.Leave', body: { NetworkID: 'n', EndpointID: 'e' } },
    ]);
  });

  it('answer what they are told to, which is checked', async () => {
    const answers: Readonly<Record<string, unknown>> = {
      'NetworkDriver.Join': { Gateway: 'nowhere' },
      'NetworkDriver.Leave': { Err: 'no' },
    };
    const plugins = fakePlugins(['p'], ({ method }) => answers[method]);
    const joined = await plugins.network('p').join(join, {});
    assert.equal(joined.ok ? '' : joined.fault.text, 'Gateway: "nowhere" is not an IPv4 address');
    const left = await plugins.network('p').leave(ref, {});
    assert.equal(left.ok ? '' : left.fault.text, 'remote: no');
  });

  it('hang until the caller gives up', async () => {
    const plugins = fakePlugins(['p'], ({ method }) => (method.endsWith('.Join') ? new Promise(() => {}) : undefined));
    const controller = new AbortController();
    const joining = plugins.network('p').join(join, { signal: controller.signal });
    controller.abort();
    const joined = await joining;
    assert.equal(joined.ok ? '' : joined.fault.code, 'PLUGIN_UNREACHABLE');
  });

  it('come and go, and are activated anew', async () => {
    const plugins = fakePlugins([]);
    const told: string[] = [];
    plugins.onChange(() => told.push(plugins.names().join()));
    plugins.onActivated((name) => told.push(`${name} activated`));
    const leave = async (): Promise<boolean> => (await plugins.network('p').leave(ref, {})).ok;
    assert.equal(await leave(), false);
    plugins.come('p');
    assert.equal(await leave(), true);
    plugins.go('p');
    assert.equal(await leave(), false);
    plugins.come('p');
    assert.equal(await leave(), true);
    assert.deepEqual(told, ['p', 'p activated', '', 'p', 'p activated']);
  });

  it('tell nothing to who has ended', async () => {
    const plugins = fakePlugins([]);
    const ending = new AbortController();
    const told: string[] = [];
    plugins.onChange(() => told.push('changed'), ending.signal);
    plugins.onActivated((name) => told.push(name), ending.signal);
    plugins.come('p');
    ending.abort();
    plugins.onChange(() => told.push('too late'), ending.signal);
    plugins.come('q');
    await plugins.network('q').leave(ref, {});
    assert.deepEqual(told, ['changed']);
  });
});
