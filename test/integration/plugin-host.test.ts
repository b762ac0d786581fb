/** Calls of plugins that live in processes of their own: well, slow, hanging, lying, crashing and absent ones; over sockets, TCP and TLS. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import type { Clock } from '../../services/lib/clock.ts';
import { silentLogger } from '../../services/lib/logger.ts';
import { type Called, createPlugins, type NetworkPlugin, type Plugins } from '../../services/plugins/plugins.ts';
import { waitFor } from '../support/nats.ts';
import type { Behaviour } from '../support/plugins/behaviour.ts';
import { type Certificates, makeCertificates, noOpenssl } from '../support/plugins/certificates.ts';
import { type PluginProcess, startOnPort, startOnSocket, startOverTls } from '../support/plugins/start.ts';
import { FakeClock, turn } from '../support/world.ts';

const directory = mkdtempSync(join(tmpdir(), 'cnm-plugins-'));
after(() => rmSync(directory, { recursive: true }));

const open: Plugins[] = [];
const processes: PluginProcess[] = [];
let serial = 0;

afterEach(async () => {
  for (const plugins of open.splice(0)) await plugins.close();
  for (const process of processes.splice(0)) await process.kill();
});

/** A host whose only directory is a new one. */
const host = (options: { readonly clock?: Clock; readonly timeoutMs?: number } = {}) => {
  serial += 1;
  const place = join(directory, String(serial));
  mkdirSync(place);
  const plugins = createPlugins({ sockets: [place], specs: [place], logger: silentLogger(), ...options });
  open.push(plugins);
  return { place, plugins, network: plugins.network('p'), ipam: plugins.ipam('p') };
};
const started = async (starting: Promise<PluginProcess>): Promise<PluginProcess> => {
  const process = await starting;
  processes.push(process);
  return process;
};
const withPlugin = async (options: { readonly clock?: Clock; readonly timeoutMs?: number } = {}) => {
  const made = host(options);
  return { ...made, plugin: await started(startOnSocket(join(made.place, 'p.sock'))) };
};

const codeOf = (called: Called<unknown>): string => (called.ok ? 'ok' : called.fault.code);
const textOf = (called: Called<unknown>): string => (called.ok ? 'ok' : called.fault.text);
const ref = { networkId: 'n1', endpointId: 'e1' };
const ports = { exposed: [], published: [] };
const joinOf = (network: NetworkPlugin) => network.join({ ...ref, sandboxKey: '/run/x', ports }, {});
const leaveOf = (network: NetworkPlugin, endpointId = 'e1') => network.leave({ networkId: 'n1', endpointId }, {});
const handshake = ['Plugin.Activate', 'NetworkDriver.GetCapabilities', 'IpamDriver.GetCapabilities'];

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
    ['no HTTP', { kind: 'noise' }, 'PLUGIN_INVALID', /^no HTTP/],
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

  it('a plugin that is started anew within the retries has the whole request', async () => {
    const { network, place, plugin } = await withPlugin();
    assert.equal(codeOf(await leaveOf(network)), 'ok');
    await plugin.order({ behaviours: { '*': { kind: 'cuts', begun: false } } });
    const joining = joinOf(network);
    await waitFor(async () => (await plugin.methods()).includes('NetworkDriver.Join'), { what: 'the first attempt' });
    await plugin.order({ behaviours: {} });
    assert.equal(codeOf(await joining), 'ok');
    const bodies = (await plugin.asked())
      .filter(({ method }) => method === 'NetworkDriver.Join')
      .map(({ body }) => body);
    assert.ok(bodies.length >= 2);
    assert.equal(new Set(bodies).size, 1);
    assert.match(bodies[0] ?? '', /^\{"NetworkID":"n1","EndpointID":"e1","SandboxKey"/);
    assert.ok(place);
  });
});

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

  it('is asked at most 16 things at once, and the rest in its own time', async () => {
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
    await clock.advance(5_000, turn);
    assert.deepEqual(new Set((await Promise.all(leaving)).map(textOf)), new Set(['no answer within 5000 ms']));
  });

  it('is asked about an endpoint one thing at a time, in order', async () => {
    const { network, plugin } = await withPlugin();
    await plugin.order({ behaviours: { 'NetworkDriver.Join': { kind: 'slow', ms: 100 } } });
    const called = await Promise.all([
      joinOf(network),
      network.endpointOperInfo(ref, {}),
      leaveOf(network),
      network.deleteEndpoint(ref, {}),
    ]);
    assert.deepEqual(called.map(codeOf), ['ok', 'ok', 'ok', 'ok']);
    const order = ['Join', 'EndpointOperInfo', 'Leave', 'DeleteEndpoint'];
    assert.deepEqual(
      (await plugin.methods()).slice(3),
      order.map((name) => `NetworkDriver.${name}`),
    );
  });
});

describe('over a network', () => {
  it('TCP: the host is named in the request', async () => {
    const { network, place } = host();
    const plugin = await started(startOnPort());
    writeFileSync(join(place, 'p.spec'), `tcp://127.0.0.1:${plugin.port}\n`);
    assert.equal(codeOf(await leaveOf(network)), 'ok');
    assert.deepEqual(
      new Set((await plugin.asked()).map(({ headers }) => headers.host)),
      new Set([`127.0.0.1:${plugin.port}`]),
    );
  });

  describe('TLS', { skip: noOpenssl }, () => {
    let certificates: Certificates;
    before(() => {
      certificates = makeCertificates(directory);
    });
    /** A plugin over TLS with these settings; with a client CA it lets only its clients in. */
    const tlsPlugin = async (TLSConfig: object | undefined, clientCa?: string) => {
      const { network, place } = host();
      const plugin = await started(startOverTls(certificates.serverCert, certificates.serverKey, clientCa));
      writeFileSync(join(place, 'p.json'), JSON.stringify({ Addr: `https://127.0.0.1:${plugin.port}`, TLSConfig }));
      return { network, plugin };
    };

    it('the certificate of its CA', async () => {
      const { network, plugin } = await tlsPlugin({ CAFile: certificates.ca });
      assert.equal(codeOf(await leaveOf(network)), 'ok');
      assert.deepEqual(await plugin.methods(), [...handshake, 'NetworkDriver.Leave']);
    });
    it('the certificate of another CA: one try, and nothing is asked', async () => {
      const { network, plugin } = await tlsPlugin({ CAFile: certificates.otherCa });
      const called = await leaveOf(network);
      assert.equal(codeOf(called), 'PLUGIN_UNREACHABLE');
      assert.match(called.ok ? '' : called.fault.errno, /CERT|SIGNATURE/);
      assert.deepEqual(await plugin.methods(), []);
    });
    it('any certificate where no CA is named', async () => {
      const { network } = await tlsPlugin(undefined);
      assert.equal(codeOf(await leaveOf(network)), 'ok');
    });
    it('a certificate of ours, for who wants one', async () => {
      const { clientCert, clientKey, ca } = certificates;
      const known = await tlsPlugin({ CAFile: ca, CertFile: clientCert, KeyFile: clientKey }, ca);
      assert.equal(codeOf(await leaveOf(known.network)), 'ok');
      const unknown = await tlsPlugin({ CAFile: ca }, ca);
      assert.equal(codeOf(await leaveOf(unknown.network)), 'PLUGIN_UNREACHABLE');
      assert.deepEqual(await unknown.plugin.methods(), []);
    });
    it('a file that is not there is named', async () => {
      const { network } = await tlsPlugin({ CAFile: '/nowhere/ca.pem' });
      assert.match(textOf(await leaveOf(network)), /p\.json: ENOENT.*\/nowhere\/ca\.pem/);
    });
  });
});
