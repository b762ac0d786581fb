/** Calls of plugins that live in processes of their own: well, slow, lying, crashing and absent ones. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import { silentLogger } from '../../services/lib/logger.ts';
import { Discovering } from '../../services/worker/discovering.ts';
import { waitFor } from '../support/nats.ts';
import type { Behaviour } from '../support/plugins/behaviour.ts';
import {
  cleared,
  codeOf,
  handshake,
  host,
  joinOf,
  leaveOf,
  ports,
  ref,
  started,
  textOf,
  withPlugin,
} from '../support/plugins/host.ts';
import { startOnSocket } from '../support/plugins/start.ts';
import { FakeClock, turn } from '../support/world.ts';

afterEach(cleared);

describe('handshake', () => {
  it('comes before the first call, once for many at a time', async () => {
    const { network, ipam, plugin } = await withPlugin();
    const called = await Promise.all([leaveOf(network, 'a'), leaveOf(network, 'b'), ipam.defaultAddressSpaces({})]);
    assert.deepEqual(called.map(codeOf), ['ok', 'ok', 'ok']);
    const methods = await plugin.methods();
    assert.deepEqual(methods.slice(0, 3), handshake);
    assert.deepEqual(methods.slice(3).sort(), [
      'IpamDriver.GetDefaultAddressSpaces',
      'NetworkDriver.Leave',
      'NetworkDriver.Leave',
    ]);
  });

  it('asks what the plugin implements, in its order', async () => {
    const { network, ipam, plugin } = await withPlugin();
    const manifest = { Implements: ['IpamDriver', 'VolumeDriver', 'NetworkDriver', 'IpamDriver'] };
    await plugin.order({ behaviours: { 'Plugin.Activate': { kind: 'says', body: JSON.stringify(manifest) } } });
    assert.deepEqual(await network.capabilities({}), {
      ok: true,
      value: { scope: 'local', connectivityScope: 'local', gwAllocChecker: false },
    });
    assert.deepEqual(await ipam.capabilities({}), { ok: true, value: { requiresMac: false, requiresReplay: false } });
    assert.deepEqual(await plugin.methods(), [
      'Plugin.Activate',
      'IpamDriver.GetCapabilities',
      'NetworkDriver.GetCapabilities',
    ]);
  });

  it('tells that an interface is missing, and asks again the next time', async () => {
    const { network, ipam, plugin } = await withPlugin();
    const body = JSON.stringify({ Implements: ['IpamDriver'] });
    await plugin.order({ behaviours: { 'Plugin.Activate': { kind: 'says', body } } });
    assert.equal(codeOf(await ipam.defaultAddressSpaces({})), 'ok');
    const called = await leaveOf(network);
    assert.deepEqual(
      [codeOf(called), textOf(called)],
      ['PLUGIN_INVALID', 'the plugin does not implement NetworkDriver'],
    );
    await plugin.order({ behaviours: {} });
    assert.equal(codeOf(await leaveOf(network)), 'ok');
  });

  it('is not begun anew by whoever looks at what it has said', async () => {
    const { plugins, ipam, plugin } = await withPlugin();
    const body = JSON.stringify({ Implements: ['IpamDriver'] });
    await plugin.order({ behaviours: { 'Plugin.Activate': { kind: 'says', body } } });
    const discovering = new Discovering({ host: 'here', plugins, logger: silentLogger() });
    const told: Promise<void>[] = [];
    plugins.onActivated((name) => void told.push(discovering.activated(name)));
    for (let at = 0; at < 3; at++) {
      assert.equal(codeOf(await ipam.defaultAddressSpaces({})), 'ok');
      await Promise.all(told);
    }
    const spaces = 'IpamDriver.GetDefaultAddressSpaces';
    assert.deepEqual(await plugin.methods(), ['Plugin.Activate', 'IpamDriver.GetCapabilities', spaces, spaces, spaces]);
  });

  it('forgives an IPAM plugin that has no capabilities, and a network plugin not', async () => {
    const { network, ipam, plugin } = await withPlugin();
    const missing: Behaviour = { kind: 'says', status: 404, body: 'page not found' };
    await plugin.order({
      behaviours: { 'IpamDriver.GetCapabilities': missing, 'NetworkDriver.GetCapabilities': missing },
    });
    assert.deepEqual(await ipam.capabilities({}), { ok: true, value: { requiresMac: false, requiresReplay: false } });
    const called = await leaveOf(network);
    assert.deepEqual([codeOf(called), textOf(called)], ['PLUGIN_ERROR', 'remote: page not found']);
    await plugin.order({ behaviours: { 'NetworkDriver.GetCapabilities': { kind: 'says', body: '{"Scope":"moon"}' } } });
    assert.equal(textOf(await leaveOf(network)), 'Scope: neither local nor global');
    await plugin.order({ behaviours: {} });
    assert.equal(codeOf(await leaveOf(network)), 'ok');
  });
});

describe('an answer', () => {
  it('that is slow is waited for', async () => {
    const { network, plugin } = await withPlugin();
    await plugin.order({ behaviours: { 'NetworkDriver.Join': { kind: 'slow', ms: 200 } } });
    assert.equal(codeOf(await joinOf(network)), 'ok');
  });

  const lies: readonly (readonly [string, Behaviour, string, RegExp])[] = [
    ['Err', { kind: 'says', body: '{"Err":"no link left"}' }, 'PLUGIN_ERROR', /^remote: no link left$/],
    ['Error', { kind: 'says', body: '{"Error":"no link left"}' }, 'PLUGIN_ERROR', /^remote: no link left$/],
    ['Err and 500', { kind: 'says', status: 500, body: '{"Err":"no"}' }, 'PLUGIN_ERROR', /^remote: no$/],
    ['words and 503', { kind: 'says', status: 503, body: 'later\n' }, 'PLUGIN_ERROR', /^remote: later$/],
    ['no body', { kind: 'says', body: '' }, 'PLUGIN_INVALID', /^an empty body/],
    ['no JSON', { kind: 'says', body: '<html>' }, 'PLUGIN_INVALID', /^no JSON/],
    [
      'too much of it',
      { kind: 'says', body: `{"x":"${'x'.repeat(1 << 20)}"}` },
      'PLUGIN_INVALID',
      /more than 1048576 bytes/,
    ],
    ['no HTTP', { kind: 'raw', bytes: 'who is there?\r\n\r\n' }, 'PLUGIN_INVALID', /^no HTTP/],
    ['an error that is no text', { kind: 'says', body: '{"Err":{"code":1}}' }, 'PLUGIN_INVALID', /^Err: /],
    [
      'a bad gateway',
      { kind: 'says', body: '{"Gateway":"10.0.0.300"}' },
      'PLUGIN_INVALID',
      /^Gateway: "10.0.0.300" is not/,
    ],
    ['half of it', { kind: 'cuts', begun: true }, 'PLUGIN_UNREACHABLE', /aborted/],
  ];
  for (const [what, behaviour, code, text] of lies)
    it(`${what}: ${code}, after one request`, async () => {
      const { network, plugin } = await withPlugin();
      await plugin.order({ behaviours: { 'NetworkDriver.Join': behaviour } });
      const called = await joinOf(network);
      assert.equal(codeOf(called), code);
      assert.match(textOf(called), text);
      assert.equal(called.ok ? '' : called.fault.step, 'NetworkDriver.Join of plugin p');
      assert.deepEqual(await plugin.methods(), [...handshake, 'NetworkDriver.Join']);
    });

  it('ends with its connection, where nothing says how long it is', async () => {
    const { network, plugin } = await withPlugin();
    const bytes = 'HTTP/1.0 200 OK\r\nServer: old\r\n\r\n{"Gateway":"10.0.0.1"}';
    await plugin.order({ behaviours: { 'NetworkDriver.Join': { kind: 'raw', bytes } } });
    const called = await joinOf(network);
    assert.equal(called.ok ? called.value.gateway4 : textOf(called), '10.0.0.1');
  });

  it('that is an upgrade nobody asked for is none', async () => {
    const { network, plugin } = await withPlugin();
    const bytes = 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n';
    await plugin.order({ behaviours: { 'NetworkDriver.Join': { kind: 'raw', bytes } } });
    const called = await joinOf(network);
    assert.equal(textOf(called), 'the connection ended without an answer');
  });

  it('that changes what was given is refused', async () => {
    const { network, plugin } = await withPlugin();
    const body = '{"Interface":{"Address":"10.1.0.3/24","MacAddress":"02:00:00:00:00:01"}}';
    await plugin.order({ behaviours: { 'NetworkDriver.CreateEndpoint': { kind: 'says', body } } });
    const create = (ipv4: string | null) =>
      network.createEndpoint(
        {
          ...ref,
          interface: { ipv4, ipv6: null, mac: null },
          options: { ports, mac: null, interface: null, driver: {} },
        },
        {},
      );
    assert.match(textOf(await create('10.1.0.2/24')), /driver modified interface Address: it was given 10.1.0.2\/24/);
    assert.deepEqual(await create(null), {
      ok: true,
      value: { ipv4: '10.1.0.3/24', ipv6: null, mac: '02:00:00:00:00:01' },
    });
  });

  it('404 means done for what plugins need not have, and an error elsewhere', async () => {
    const { network, plugin } = await withPlugin();
    const missing: Behaviour = { kind: 'says', status: 404, body: '{"Err":"no such method"}' };
    const names = ['ProgramExternalConnectivity', 'RevokeExternalConnectivity', 'EndpointOperInfo', 'Leave'];
    await plugin.order({ behaviours: Object.fromEntries(names.map((name) => [`NetworkDriver.${name}`, missing])) });
    assert.deepEqual(await network.programExternal({ ...ref, ports, no6to4: false }, {}), { ok: true, value: null });
    assert.deepEqual(await network.revokeExternal(ref, {}), { ok: true, value: null });
    assert.deepEqual(await network.endpointOperInfo(ref, {}), { ok: true, value: {} });
    assert.equal(textOf(await leaveOf(network)), 'remote: no such method');
  });
});

describe('nobody', () => {
  it('no file: said at once, without a try', async () => {
    const { network, place } = host();
    const called = await leaveOf(network);
    assert.deepEqual([codeOf(called), textOf(called)], ['PLUGIN_UNREACHABLE', `no plugin p in ${place}, ${place}`]);
  });

  it('a socket that nobody listens on any more', async () => {
    const { network, plugin } = await withPlugin();
    await plugin.kill();
    const called = await leaveOf(network);
    assert.equal(called.ok ? '' : `${called.fault.code} ${called.fault.errno}`, 'PLUGIN_UNREACHABLE ECONNREFUSED');
  });

  it('paths that no socket can have', async () => {
    const { network, place } = host();
    for (const path of [`/run/${'x'.repeat(200)}.sock`, '/run/a\u0000b.sock']) {
      writeFileSync(join(place, 'p.spec'), `unix://${path}`);
      assert.equal(codeOf(await leaveOf(network)), 'PLUGIN_UNREACHABLE', path);
    }
  });

  it('a name that is a path is no plugin', async () => {
    const { plugins, place } = await withPlugin();
    for (const name of ['../p', `${place}/p`, '', '.', 'p/../p'])
      assert.match(textOf(await plugins.network(name).leave(ref, {})), /^no plugin/);
  });

  it('a plugin that crashes over a request is not asked twice by one process, and back after the next start', async () => {
    const { network, place, plugin } = await withPlugin();
    await plugin.order({ behaviours: { 'NetworkDriver.Join': { kind: 'crashes' } } });
    const called = await joinOf(network);
    assert.equal(codeOf(called), 'PLUGIN_UNREACHABLE');
    const next = await started(startOnSocket(join(place, 'p.sock')));
    assert.equal(codeOf(await joinOf(network)), 'ok');
    assert.deepEqual(await next.methods(), [...handshake, 'NetworkDriver.Join']);
  });

  it('a plugin that is there again within the retries has the whole request each time', async () => {
    const clock = new FakeClock();
    const { network, plugin } = await withPlugin({ clock });
    assert.equal(codeOf(await leaveOf(network)), 'ok');
    await plugin.order({ behaviours: { '*': { kind: 'cuts', begun: false } } });
    const joins = async () => (await plugin.asked()).filter(({ method }) => method === 'NetworkDriver.Join');
    const joining = joinOf(network);
    await waitFor(async () => (await joins()).length === 1, { what: 'the first attempt' });
    await plugin.order({ behaviours: {} });
    await waitFor(
      async () => {
        await clock.advance(50, turn);
        return (await joins()).length === 2;
      },
      { what: 'the second attempt' },
    );
    assert.equal(codeOf(await joining), 'ok');
    const [first, second] = (await joins()).map(({ body }) => body);
    assert.match(first ?? '', /^\{"NetworkID":"n1","EndpointID":"e1","SandboxKey"/);
    assert.equal(second, first);
  });
});
