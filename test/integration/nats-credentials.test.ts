// Who we are to a server, and whom we take for it: keys and certificates out of files, and what does not hold is told.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createUser } from '@nats-io/nkeys';
import { readConfig } from '../../services/lib/config.ts';
import { silentLogger } from '../../services/lib/logger.ts';
import { connectNats } from '../../services/nats/connection.ts';
import { NatsFault, type NatsFaultCode } from '../../services/nats/fault.ts';
import { publicUrl } from '../../services/nats/public-url.ts';
import { securityOf } from '../../services/nats/security.ts';
import { startServer } from '../../services/nats/server.ts';
import { provision } from '../../services/nats/streams.ts';
import { startAccounts } from '../support/accounts.ts';
import { freePort, startNats, type TestNats, testServerBinary, testStream } from '../support/nats.ts';
import { type Certificates, makeCertificates, noOpenssl } from '../support/plugins/certificates.ts';

const log = silentLogger();
let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'cnm-credentials-'));
});
after(() => rmSync(folder, { recursive: true }));

const file = (name: string, content: string): string => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};

/** Connects with these settings and asks the server something; the answer is its name for us. */
const enter = async (url: string, env: Readonly<Record<string, string>>): Promise<string> => {
  const read = readConfig({ CNM_NATS_URL: url, ...env });
  assert.ok(read.ok);
  const security = securityOf(read.config);
  const connection = await connectNats({ url, role: 'test', log, waitMs: 3_000, security });
  try {
    await connection.flush();
    return connection.getServer();
  } finally {
    await connection.close();
  }
};

const faultOf = (code: NatsFaultCode, text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof NatsFault, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, text);
  return true;
};

describe('keys', () => {
  let nats: TestNats;
  const user = createUser();
  const seed = new TextDecoder().decode(user.getSeed());
  before(async () => {
    nats = await startNats({ config: `authorization { users: [ { nkey: ${user.getPublicKey()} } ] }` });
  });
  after(() => nats.stop());

  test('nkey: whoever has the seed gets in, nobody else does, and what is no seed is named', async () => {
    const CNM_NATS_NKEY_FILE = file('right.nk', `${seed}\n`);
    assert.match(await enter(nats.url, { CNM_NATS_NKEY_FILE }), /^127\.0\.0\.1:/);
    const other = file('other.nk', new TextDecoder().decode(createUser().getSeed()));
    const refused = faultOf('NOT_PERMITTED', /refuses test: .*CNM_NATS_NKEY_FILE/);
    await assert.rejects(enter(nats.url, { CNM_NATS_NKEY_FILE: other }), refused);
    await assert.rejects(enter(nats.url, {}), refused);
    const unreadable = (text: RegExp) => faultOf('CREDENTIALS_UNREADABLE', text);
    await assert.rejects(
      enter(nats.url, { CNM_NATS_NKEY_FILE: file('no.nk', 'x') }),
      unreadable(/no\.nk holds no key/),
    );
    await assert.rejects(
      enter(nats.url, { CNM_NATS_NKEY_FILE: join(folder, 'gone.nk') }),
      unreadable(/CNM_NATS_NKEY_FILE cannot be read: ENOENT/),
    );
    await assert.rejects(
      enter(nats.url, { CNM_NATS_CREDS_FILE: file('no.creds', 'x') }),
      unreadable(/no\.creds holds no key/),
    );
  });
});

describe('TLS', { skip: noOpenssl }, () => {
  let certificates: Certificates;
  let nats: TestNats;
  before(async () => {
    certificates = makeCertificates(folder);
    const { serverCert, serverKey, ca } = certificates;
    nats = await startNats({
      config: `tls { cert_file: "${serverCert}", key_file: "${serverKey}", ca_file: "${ca}", verify: true }`,
    });
  });
  after(() => nats.stop());
  const ours = () => ({ CNM_NATS_CERT_FILE: certificates.clientCert, CNM_NATS_KEY_FILE: certificates.clientKey });

  test('tls: with the authority of the server and a certificate of our own all of it works', async () => {
    const env = { ...ours(), CNM_NATS_CA_FILE: certificates.ca };
    const read = readConfig(env);
    assert.ok(read.ok);
    const connection = await connectNats({ url: nats.url, role: 'test', log, security: securityOf(read.config) });
    assert.equal((await provision(connection, { sync: { kind: 'stated' } })).ok, true);
    const stream = testStream(connection, 'CNM_LOG');
    assert.equal((await stream.append({ subject: 'cnm.outcome.h1', body: 'x', id: '1' })).kind, 'appended');
    const seen: number[] = [];
    const reader = stream.read({ from: 1 }, ({ position }) => seen.push(position));
    await reader.caughtUp;
    assert.deepEqual(seen, [1]);
    await reader.stop();
    // It wants certificates of clients, so nobody gets in without one, and actors may be called proven.
    const proven = await provision(connection, { sync: { kind: 'stated' }, actorsProven: true });
    assert.ok(!proven.ok && proven.problems.every(({ code }) => code === 'ACTORS_UNPROVEN'));
    await connection.close();
  });

  test('tls: a server of another authority, and a client without a certificate, are refused at once with the reason', async () => {
    const wrong = { ...ours(), CNM_NATS_CA_FILE: certificates.otherCa };
    await assert.rejects(
      enter(nats.url, wrong),
      faultOf('TLS_REFUSED', /no TLS connection to nats:\/\/127\.0\.0\.1:\d+: .*certificate/i),
    );
    await assert.rejects(enter(nats.url, ours()), faultOf('TLS_REFUSED', /certificate/i));
    await assert.rejects(
      enter(nats.url, { CNM_NATS_CA_FILE: certificates.ca }),
      faultOf('TLS_REFUSED', /certificate/i),
    );
    const gone = { ...ours(), CNM_NATS_CA_FILE: join(folder, 'gone.pem') };
    await assert.rejects(enter(nats.url, gone), faultOf('CREDENTIALS_UNREADABLE', /gone\.pem/));
  });

  test('tls: a server that is reached by its address needs a certificate for just that', async (t) => {
    const { addressCert, addressKey, elsewhereCert, elsewhereKey, ca } = certificates;
    const start = async (cert: string, key: string): Promise<TestNats> => {
      const server = await startNats({ config: `tls { cert_file: "${cert}", key_file: "${key}" }` });
      t.after(() => server.stop());
      return server;
    };
    const [there, elsewhere] = [await start(addressCert, addressKey), await start(elsewhereCert, elsewhereKey)];
    const trust = { CNM_NATS_CA_FILE: ca };
    assert.match(await enter(there.url, trust), /^127\.0\.0\.1:/);
    // It lets in whoever comes, which is found out by a connection of its own.
    const read = readConfig(trust);
    assert.ok(read.ok);
    const connection = await connectNats({ url: there.url, role: 'test', log, security: securityOf(read.config) });
    const proven = await provision(connection, { sync: { kind: 'stated' }, actorsProven: true });
    assert.deepEqual(proven.ok ? [] : proven.problems.map(({ code }) => code), ['ACTORS_UNPROVEN']);
    await connection.close();
    const byName = there.url.replace('127.0.0.1', 'localhost');
    await assert.rejects(enter(byName, trust), faultOf('TLS_REFUSED', /ALTNAME_INVALID/));
    await assert.rejects(enter(elsewhere.url, trust), faultOf('TLS_REFUSED', /127\.0\.0\.1.*ALTNAME_INVALID/));
  });

  test('tls: a server with accounts takes its certificates by the same command; it wants key and certificate', async (t) => {
    const { serverCert, serverKey, ca } = certificates;
    const server = await startAccounts({ actors: ['alice'] }, { cert: serverCert, key: serverKey, ca });
    t.after(() => server.stop());
    const key = { CNM_NATS_NKEY_FILE: join(server.folder, 'keys/actor-alice/seed.nk') };
    const trust = { CNM_NATS_CA_FILE: ca };
    assert.match(await enter(server.url, { ...key, ...trust, ...ours() }), /^127\.0\.0\.1:/);
    await assert.rejects(enter(server.url, { ...trust, ...ours() }), faultOf('NOT_PERMITTED', /CNM_NATS_NKEY_FILE/));
    await assert.rejects(enter(server.url, { ...trust, ...key }), faultOf('TLS_REFUSED', /CNM_NATS_CERT_FILE/));
  });

  test('tls: whoever wants it does not take less', async (t) => {
    const plain = await startNats();
    t.after(() => plain.stop());
    const refused = faultOf('TLS_REFUSED', /tls/i);
    await assert.rejects(enter(plain.url, { CNM_NATS_CA_FILE: certificates.ca }), refused);
    await assert.rejects(enter(plain.url.replace('nats://', 'tls://'), {}), refused);
  });
});

describe('the embedded server', () => {
  test('embedded: only who has its password gets in, which nobody else can read and which stays', async (t) => {
    const dataDir = mkdtempSync(join(folder, 'data-'));
    const options = { binary: testServerBinary(), dataDir, port: await freePort(), log };
    const server = await startServer(options);
    t.after(() => server.stop());
    assert.match(await enter(server.url, {}), /^127\.0\.0\.1:/);
    assert.equal(publicUrl(server.url), `nats://127.0.0.1:${server.port}`);
    await assert.rejects(enter(publicUrl(server.url), {}), faultOf('NOT_PERMITTED', /`cnm url`/));
    await assert.rejects(enter(server.url.replace('cnm:', 'cnm:x'), {}), faultOf('NOT_PERMITTED', /refuses/));
    for (const name of ['nats.secret', 'nats.conf'])
      assert.equal(statSync(join(dataDir, name)).mode & 0o777, 0o600, name);
    // One user for all of them: nobody's name is proven by it.
    const connection = await connectNats({ url: server.url, role: 'test', log });
    const proven = await provision(connection, { sync: { kind: 'embedded' }, actorsProven: true });
    assert.deepEqual(proven.ok ? [] : proven.problems.map(({ code }) => code), ['ACTORS_UNPROVEN']);
    await connection.close();
    await server.stop();
    const again = await startServer(options);
    t.after(() => again.stop());
    assert.equal(again.url, server.url);
  });
});
