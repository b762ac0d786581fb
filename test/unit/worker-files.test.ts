/** What stands in the files of a sandbox. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Dns, NetworkFacts, SandboxFacts } from '../../events/events.ts';
import type { ResolvConf } from '../../services/dns/upstreams.ts';
import { filesOf } from '../../services/worker/files.ts';
import type { SandboxView } from '../../services/worker/sandbox.ts';
import { endpoint, network, sandbox } from '../support/driver-facts.ts';

const host: ResolvConf = { servers: ['192.0.2.53'], search: ['corp.example'], options: ['edns0', 'trust-ad'] };
const said = (dns: Partial<Dns>): Dns => ({ servers: null, search: null, options: null, ...dns });

const view = (changes: Partial<SandboxFacts> = {}, ofNetwork: Partial<NetworkFacts> = {}): SandboxView => ({
  facts: { ...sandbox, hostname: 'web1', ...changes },
  inmates: [{ endpoint, network: { ...network, ...ofNetwork }, interface: 'eth0', plug: null }],
  gateways: { ipv4: endpoint.id, ipv6: endpoint.id },
});

const linesOf = (text: string): readonly string[] => text.trimEnd().split('\n');

describe('hosts', () => {
  const hosts = (one: SandboxView): readonly string[] => linesOf(filesOf(one, host, true).hosts).slice(6);

  it('names the sandbox at each of its addresses, after localhost', () => {
    const all = linesOf(filesOf(view(), host, true).hosts);
    assert.deepEqual(all.slice(0, 2), ['127.0.0.1\tlocalhost', '::1\tlocalhost ip6-localhost ip6-loopback']);
    assert.deepEqual(hosts(view()), ['10.1.0.2\tweb1', 'fd00:1::2\tweb1']);
    assert.deepEqual(hosts({ ...view(), inmates: [] }), []);
    assert.deepEqual(hosts(view({}, { outlet: true })), [], 'a way out has no name');
  });

  it('has the full name first, then the short one', () => {
    assert.equal(hosts(view({ domainname: 'shop.example' }))[0], '10.1.0.2\tweb1.shop.example web1');
    assert.equal(hosts(view({ hostname: 'web1.shop.example' }))[0], '10.1.0.2\tweb1.shop.example web1');
    assert.equal(hosts(view({ hostname: null, id: 'c0ffee' }))[0], '10.1.0.2\tc0ffee');
  });

  it('has extra lines; host-gateway is the host on the networks of the default routes', () => {
    const extraHosts = [
      { name: 'db', address: '192.0.2.9' },
      { name: 'host.internal', address: 'host-gateway' },
    ];
    assert.deepEqual(hosts(view({ extraHosts })).slice(0, 3), [
      '192.0.2.9\tdb',
      '10.1.0.1\thost.internal',
      'fd00:1::1\thost.internal',
    ]);
    const cut = { ...view({ extraHosts }), gateways: { ipv4: null, ipv6: null } };
    assert.ok(!hosts(cut).some((line) => line.includes('host.internal')));
  });
});

describe('hostname', () => {
  it('is what was asked for, else as much of the id as a name takes', () => {
    assert.equal(filesOf(view(), host, true).hostname, 'web1\n');
    const id = 'a'.repeat(64);
    assert.equal(filesOf(view({ hostname: null, id }), host, true).hostname, `${'a'.repeat(63)}\n`);
  });
});

describe('resolv.conf', () => {
  const settings = (one: SandboxView, isServed = true): readonly string[] =>
    linesOf(filesOf(one, host, isServed)['resolv.conf']).filter((line) => !line.startsWith('#'));
  const comments = (one: SandboxView): string => filesOf(one, host, true)['resolv.conf'].split('\nnameserver')[0] ?? '';

  it('leads to our resolver, and is else as the host’s', () => {
    assert.deepEqual(settings(view()), [
      'nameserver 127.0.0.11',
      'search corp.example',
      'options edns0 trust-ad ndots:0',
    ]);
    assert.match(comments(view()), /192\.0\.2\.53 \(as the host\)/);
  });

  it('is as its networks say, and above all as the sandbox says', () => {
    const ofNetwork = { dns: said({ servers: ['192.0.2.1'], search: ['net.example'] }) };
    assert.deepEqual(settings(view({}, ofNetwork)).slice(1, 2), ['search net.example']);
    assert.match(comments(view({}, ofNetwork)), /192\.0\.2\.1 \(as configured\)/);
    const own = { dns: said({ servers: ['192.0.2.2'], search: ['own.example'], options: ['ndots:2'] }) };
    assert.deepEqual(settings(view(own, ofNetwork)), [
      'nameserver 127.0.0.11',
      'search own.example',
      'options ndots:2',
    ]);
    assert.match(comments(view(own, ofNetwork)), /192\.0\.2\.2 \(as configured\)/);
  });

  it('searches nowhere where the search list is a dot', () => {
    assert.ok(!settings(view({ dns: said({ search: ['.'] }) })).some((line) => line.startsWith('search')));
  });

  it('says that an internal sandbox asks nobody', () => {
    assert.match(comments(view({}, { internal: true })), /asked of: nobody/);
  });

  it('names the servers themselves where there is no resolver of ours', () => {
    assert.equal(settings({ ...view(), inmates: [] }, false)[0], 'nameserver 192.0.2.53');
  });
});
