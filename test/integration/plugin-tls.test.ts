/** Plugins over TCP and over TLS. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, before, describe, it } from 'node:test';
import { type Certificates, makeCertificates, noOpenssl } from '../support/plugins/certificates.ts';
import { cleared, codeOf, directory, handshake, host, leaveOf, started, textOf } from '../support/plugins/host.ts';
import { startOnPort, startOverTls } from '../support/plugins/start.ts';

afterEach(cleared);

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
    it('a file that holds no certificate is a fault, not a crash', async () => {
      const file = join(directory, 'no-certificate.pem');
      writeFileSync(file, '-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n');
      const { network, plugin } = await tlsPlugin({ CAFile: certificates.ca, CertFile: file, KeyFile: file });
      assert.equal(codeOf(await leaveOf(network)), 'PLUGIN_UNREACHABLE');
      assert.deepEqual(await plugin.methods(), []);
    });
    it('a file that is not there is named', async () => {
      const { network } = await tlsPlugin({ CAFile: '/nowhere/ca.pem' });
      assert.match(textOf(await leaveOf(network)), /p\.json: ENOENT.*\/nowhere\/ca\.pem/);
    });
  });
});
