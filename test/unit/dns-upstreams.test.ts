// The host's own servers: what is read of a resolv.conf, systemd-resolved, changes of the file; who can be asked at all.
import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { askable, hostServers, parseResolvConf } from '../../services/dns/upstreams.ts';
import { waitFor } from '../support/nats.ts';

const folder = mkdtempSync(join(tmpdir(), 'cnm-resolv-'));
process.on('exit', () => rmSync(folder, { recursive: true }));
const [file, resolvedFile] = [join(folder, 'resolv.conf'), join(folder, 'resolved.conf')];

const read = (text: string | null, behind: string | null = null) => {
  for (const [path, content] of [
    [file, text],
    [resolvedFile, behind],
  ] as const) {
    if (content === null) rmSync(path, { force: true });
    else writeFileSync(path, content);
  }
  const servers = hostServers({ file, resolvedFile });
  servers.close();
  return servers;
};

test('a resolv.conf is read', () => {
  const text = `# nameserver 192.0.2.1
nameserver 192.0.2.53 ; first
 nameserver\tfe80::1%eth0
nameserver not-an-address
nameserver 192.0.2.53
domain old.example
search a.example b.example
options ndots:2 edns0
options rotate
sortlist 10.0.0.0`;
  assert.deepEqual(parseResolvConf(text), {
    servers: ['192.0.2.53', 'fe80::1%eth0'],
    search: ['a.example', 'b.example'],
    options: ['ndots:2', 'edns0', 'rotate'],
  });
  assert.deepEqual(parseResolvConf(''), { servers: [], search: [], options: [] });
});

test('behind the stub of systemd-resolved stand the servers that it asks', () => {
  const stub = 'nameserver 127.0.0.53\nsearch stub.example\n';
  const behind = 'nameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch real.example\n';
  assert.deepEqual(read(stub, behind).servers(), ['192.0.2.1', '192.0.2.2']);
  assert.deepEqual(read(stub, behind).config().search, ['real.example']);
  assert.deepEqual(read(stub).servers(), ['127.0.0.53'], 'without that file the stub answers');
  assert.deepEqual(read(`${stub}nameserver 192.0.2.9\n`, behind).servers(), ['127.0.0.53', '192.0.2.9']);
});

test('a host that names nobody has no servers', () => {
  assert.deepEqual(read(null).servers(), []);
  assert.deepEqual(read('search a.example\n', 'nameserver 192.0.2.1\n').servers(), []);
});

test('nobody asks itself', () => {
  const servers = ['127.0.0.11', '::ffff:127.0.0.11', '::FFFF:7f00:b', '127.0.0.1', 'dns.example', '', '2001:db8::1'];
  assert.deepEqual(askable(servers), ['127.0.0.1', '2001:db8::1']);
  assert.deepEqual(read('nameserver 127.0.0.11\nnameserver 192.0.2.1\n').servers(), ['192.0.2.1']);
});

test('a changed file is read again, one that is gone too', async () => {
  writeFileSync(file, 'nameserver 192.0.2.1\n');
  const servers = hostServers({ file, resolvedFile, everyMs: 10 });
  try {
    assert.deepEqual(servers.servers(), ['192.0.2.1']);
    writeFileSync(`${file}.new`, 'nameserver 192.0.2.77\n');
    renameSync(`${file}.new`, file);
    await waitFor(() => servers.servers()[0] === '192.0.2.77', { what: 'the new server' });
    rmSync(file);
    await waitFor(() => servers.servers().length === 0, { what: 'no server' });
  } finally {
    servers.close();
  }
});
