// Certificates for tests over TLS, made by openssl: two authorities, a server and a client of the first.
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** False, or why tests that need certificates are skipped. */
export const noOpenssl: false | string =
  spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not here: npm run setup';

export interface Certificates {
  readonly ca: string;
  /** Signed nothing. */
  readonly otherCa: string;
  readonly serverCert: string;
  readonly serverKey: string;
  /** For 127.0.0.1 alone, and for another address. */
  readonly addressCert: string;
  readonly addressKey: string;
  readonly elsewhereCert: string;
  readonly elsewhereKey: string;
  readonly clientCert: string;
  readonly clientKey: string;
}

/** Paths of PEM files in the directory. The server's certificate is for 127.0.0.1 and localhost. */
export const makeCertificates = (directory: string): Certificates => {
  const file = (name: string): string => join(directory, name);
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'pipe' });
  const authority = (name: string): string => {
    const subject = ['-subj', `/CN=${name}`, '-days', '2', '-nodes'];
    openssl(
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      ...subject,
      '-keyout',
      file(`${name}.key`),
      '-out',
      file(`${name}.pem`),
    );
    return file(`${name}.pem`);
  };
  const signed = (name: string, extensions: string): string => {
    writeFileSync(file(`${name}.ext`), extensions);
    openssl(
      'req',
      '-new',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      file(`${name}.key`),
      '-out',
      file(`${name}.csr`),
    );
    const by = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-CAcreateserial', '-days', '2'];
    openssl(
      'x509',
      '-req',
      '-in',
      file(`${name}.csr`),
      ...by,
      '-extfile',
      file(`${name}.ext`),
      '-out',
      file(`${name}.pem`),
    );
    return file(`${name}.pem`);
  };
  return {
    ca: authority('ca'),
    otherCa: authority('other'),
    serverCert: signed('server', 'subjectAltName=IP:127.0.0.1,DNS:localhost\n'),
    serverKey: file('server.key'),
    addressCert: signed('address', 'subjectAltName=IP:127.0.0.1\n'),
    addressKey: file('address.key'),
    elsewhereCert: signed('elsewhere', 'subjectAltName=IP:192.0.2.1\n'),
    elsewhereKey: file('elsewhere.key'),
    clientCert: signed('client', 'extendedKeyUsage=clientAuth\n'),
    clientKey: file('client.key'),
  };
};
