/** Where a plugin says that it listens. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type AddressRead, readJson, readSpec } from '../../services/plugins/address.ts';

const problem = (read: AddressRead): string => (read.ok ? `read as ${JSON.stringify(read.address)}` : read.problem);
const address = (read: AddressRead): unknown => (read.ok ? read.address : read.problem);
const noTls = { insecure: true, ca: null, cert: null, key: null };

describe('.spec', () => {
  const addresses = {
    'unix:///run/weave.sock\n': { kind: 'unix', path: '/run/weave.sock' },
    'tcp://127.0.0.1:7777': { kind: 'tcp', host: '127.0.0.1', port: 7777, tls: null },
    'http://plugin.example': { kind: 'tcp', host: 'plugin.example', port: 80, tls: null },
    'http://plugin.example:80/some/path': { kind: 'tcp', host: 'plugin.example', port: 80, tls: null },
    'https://plugin.example': { kind: 'tcp', host: 'plugin.example', port: 443, tls: noTls },
    'https://[fd00::1]:8443': { kind: 'tcp', host: 'fd00::1', port: 8443, tls: noTls },
  };
  for (const [text, wanted] of Object.entries(addresses))
    it(JSON.stringify(text), () => assert.deepEqual(address(readSpec(text)), wanted));

  const problems = {
    '': /^Unknown protocol/,
    '/run/weave.sock': /^Unknown protocol/,
    '127.0.0.1:7777': /^Unknown protocol/,
    'npipe://x': /^Unknown protocol: npipe/,
    'unix://relative.sock': /no absolute path/,
    'tcp://127.0.0.1': /no port/,
    'tcp://:7777': /no host/,
    'tcp://127.0.0.1:99999': /no host/,
  };
  for (const [text, wanted] of Object.entries(problems))
    it(`${JSON.stringify(text)} is none`, () => assert.match(problem(readSpec(text)), wanted));
});

describe('.json', () => {
  const url = 'https://127.0.0.1:8443';
  const tlsOf = (config: unknown): unknown => {
    const read = readJson(JSON.stringify({ Name: 'ignored', Addr: url, TLSConfig: config }));
    return read.ok && read.address.kind === 'tcp' ? read.address.tls : read;
  };

  it('checks the certificate against the CA that it names', () => {
    const files = { CAFile: '/ca.pem', CertFile: '/cert.pem', KeyFile: '/key.pem' };
    assert.deepEqual(tlsOf(files), { insecure: false, ca: '/ca.pem', cert: '/cert.pem', key: '/key.pem' });
  });
  it('checks nothing without a CA, or when it says so', () => {
    assert.deepEqual(tlsOf({ InsecureSkipVerify: false }), noTls);
    assert.deepEqual(tlsOf(undefined), noTls);
    assert.deepEqual(tlsOf({ InsecureSkipVerify: true, CAFile: '/ca.pem' }), { ...noTls, ca: '/ca.pem' });
  });
  it('speaks TLS with https alone', () => {
    const read = readJson(JSON.stringify({ Addr: 'tcp://127.0.0.1:1', TLSConfig: { CAFile: '/ca.pem' } }));
    assert.deepEqual(address(read), { kind: 'tcp', host: '127.0.0.1', port: 1, tls: null });
  });
  for (const text of ['', 'unix:///x', '{"Addr":1}', '{}', '[]'])
    it(`${JSON.stringify(text)} is none`, () => assert.equal(readJson(text).ok, false));
});
