// Keys of encrypted networks: derived as RFC 5869 says, fixed for ever, and never the same for anything else.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { associationOf, type Side } from '../../services/worker/tunnel-keys.ts';
import { readSecret } from '../../services/worker/tunnel-secret.ts';

const secret = Uint8Array.from({ length: 32 }, (_, at) => at);
const here: Side = { host: 'h1', address: '192.0.2.1', bootId: '11111111-1111-4111-8111-111111111111', epoch: 3 };
const there: Side = { host: 'h2', address: '192.0.2.2', bootId: '22222222-2222-4222-8222-222222222222', epoch: 5 };
const era = { realm: 'test', log: 'p3jhc55jhi2a', generation: 7 };

describe('keys of encrypted networks', () => {
  it('are fixed: hosts of different versions have to agree on them', () => {
    assert.deepEqual(associationOf(secret, era, here, there), {
      source: '192.0.2.1',
      destination: '192.0.2.2',
      spi: 3814266467,
      key: 'd505e56a6312ba40c967e83129f72168f7a6443e1ca90289118ae98baf4489a976b68cf9',
    });
  });

  it('are HKDF-SHA256 of the secret, step by step', () => {
    const info =
      '["test","p3jhc55jhi2a",7,["h1","192.0.2.1","11111111-1111-4111-8111-111111111111",3],["h2","192.0.2.2","22222222-2222-4222-8222-222222222222",5]]';
    const hmac = (key: Uint8Array | string, ...parts: readonly (Uint8Array | string)[]): Buffer => {
      const made = createHmac('sha256', key);
      for (const part of parts) made.update(part);
      return made.digest();
    };
    const extracted = hmac('cnm tunnel keys 1', secret);
    const first = hmac(extracted, info, Uint8Array.of(1));
    const second = hmac(extracted, first, info, Uint8Array.of(2));
    const bytes = Buffer.concat([first, second]);
    const found = associationOf(secret, era, here, there);
    assert.equal(found.key, bytes.subarray(0, 36).toString('hex'));
    assert.equal(found.spi, 256 + (bytes.readUInt32BE(36) % (2 ** 32 - 256)));
  });

  it('differ in each direction, generation, epoch, boot, address, host, log, realm and secret', () => {
    const other = Uint8Array.from(secret, (byte) => byte ^ 1);
    const found = [
      associationOf(secret, era, here, there),
      associationOf(secret, era, there, here),
      associationOf(secret, { ...era, generation: 8 }, here, there),
      associationOf(secret, { ...era, realm: 'tes' }, here, there),
      associationOf(secret, { ...era, log: 'q' }, here, there),
      associationOf(other, era, here, there),
      ...[{ epoch: 4 }, { bootId: 'x' }, { address: '192.0.2.3' }, { host: 'h3' }].flatMap((change) => [
        associationOf(secret, era, { ...here, ...change }, there),
        associationOf(secret, era, here, { ...there, ...change }),
      ]),
    ];
    assert.equal(new Set(found.map(({ key }) => key)).size, found.length);
    assert.equal(new Set(found.map(({ spi }) => spi)).size, found.length);
    for (const { spi, key } of found) {
      assert.ok(spi >= 256 && spi < 2 ** 32);
      assert.match(key, /^[0-9a-f]{72}$/);
    }
  });
});

describe('the secret', () => {
  const directory = mkdtempSync('/tmp/cnm-secret-');
  after(() => rmSync(directory, { recursive: true }));
  const file = (name: string, bytes: Uint8Array, mode: number): string => {
    const path = join(directory, name);
    writeFileSync(path, bytes);
    chmodSync(path, mode);
    return path;
  };
  const why = (path: string | null): string => {
    const found = readSecret(path);
    assert.ok(!found.ok);
    return found.why;
  };

  it('is what the file says, byte for byte, where it is for nobody else', () => {
    for (const mode of [0o600, 0o400]) {
      const found = readSecret(file(`good-${mode}`, secret, mode));
      assert.ok(found.ok);
      assert.deepEqual(Uint8Array.from(found.bytes), secret);
    }
  });

  it('is not taken from a file that others may read, that is too short, or that is none', () => {
    for (const mode of [0o640, 0o604, 0o620, 0o601])
      assert.match(why(file('open', secret, mode)), new RegExp(`mode 0${mode.toString(8)}: others must have no part`));
    assert.match(why(file('short', secret.subarray(1), 0o600)), /has 31 bytes, not 32 to 4096/);
    assert.match(why(file('long', new Uint8Array(4097), 0o600)), /has 4097 bytes/);
    assert.match(why(join(directory, 'absent')), /cannot be read \(ENOENT\)/);
    const inside = join(directory, 'directory');
    mkdirSync(inside, { mode: 0o700 });
    assert.match(why(inside), /is no file/);
    assert.match(why(null), /CNM_OVERLAY_SECRET_FILE is not set/);
  });
});
