// Sealed values as text: what opens them, that nothing else does, and where they are found.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { KEY_BYTES, SealFault, seal, sealedIn, subjectOf, unseal } from '../../services/client/sealing.ts';
import { Seals } from '../../services/client/seals.ts';
import { NatsFault } from '../../services/nats/fault.ts';
import { MemoryKeys } from '../support/memory-keys.ts';

const key = randomBytes(KEY_BYTES);
const code = (work: () => unknown): string | null => {
  try {
    work();
    return null;
  } catch (error) {
    assert.ok(error instanceof SealFault, String(error));
    return error.code;
  }
};

test('sealing: what was sealed is opened with the same key, and never looks the same twice', () => {
  for (const text of ['', 'Alice Müller', '日本', 'a:b:c', 'x'.repeat(600)]) {
    const [first, second] = [seal(key, 's-4711', text), seal(key, 's-4711', text)];
    assert.notEqual(first, second);
    assert.deepEqual([unseal(key, first), unseal(key, second)], [text, text]);
    assert.equal(subjectOf(first), 's-4711');
    if (text.length > 3) assert.equal(first.includes(text), false);
  }
});

test('sealing: another key, another subject or any changed byte opens nothing', () => {
  const value = seal(key, 's-1', 'secret');
  assert.equal(
    code(() => unseal(randomBytes(KEY_BYTES), value)),
    'SEAL_DAMAGED',
  );
  assert.equal(
    code(() => unseal(key, value.replace(':s-1:', ':s-2:'))),
    'SEAL_DAMAGED',
  );
  const at = value.lastIndexOf(':') + 1;
  const bytes = Buffer.from(value.slice(at), 'base64url');
  for (let index = 0; index < bytes.length; index++) {
    const changed = Buffer.from(bytes);
    changed.writeUInt8(changed.readUInt8(index) ^ 1, index);
    assert.equal(
      code(() => unseal(key, `${value.slice(0, at)}${changed.toString('base64url')}`)),
      'SEAL_DAMAGED',
      `byte ${index}`,
    );
  }
  for (const text of ['', 'plain', 'sealed:1:s-1:', 'sealed:2:s-1:AAAA', value.slice(0, at + 20)])
    assert.equal(
      code(() => unseal(key, text)),
      'SEAL_DAMAGED',
      text,
    );
});

test('sealing: a value fits a label, or is refused; so is a subject that is no name', () => {
  assert.ok(seal(key, 's'.repeat(63), 'x'.repeat(680)).length <= 1024);
  for (const [subject, text] of [
    ['s', 'x'.repeat(760)],
    ['', 'x'],
    ['a b', 'x'],
    ['s'.repeat(64), 'x'],
  ] as const)
    assert.equal(
      code(() => seal(key, subject, text)),
      'SEAL_INVALID',
    );
});

test('sealing: sealed values are found wherever they stand in a text', () => {
  const [one, other] = [seal(key, 's-1', ''), seal(key, 's.2', 'x')];
  assert.deepEqual(sealedIn(`labels: owner=${one} team=web, "${other}"\n${one}`), [one, other]);
  assert.deepEqual(sealedIn('sealed:1:s-1:AAAA and sealed(s-1)'), []);
});

test('sealing: whoever may not read keys is shown for whom it is sealed, and a defect is no such thing', async () => {
  const keys = new MemoryKeys();
  const seals = new Seals({ keys, isShredded: async () => false });
  const shown = `owner=${await seals.seal('s-1', 'Alice')} team=shop`;
  assert.equal(await seals.opened(shown), 'owner=Alice team=shop');
  let error: Error = new NatsFault('NOT_PERMITTED', 'permissions violation');
  keys.get = () => Promise.reject(error);
  assert.equal(await seals.opened(shown), 'owner=sealed(s-1) team=shop');
  await assert.rejects(seals.open(sealedIn(shown)[0] ?? ''), { code: 'NOT_PERMITTED' });
  error = new TypeError('a defect');
  await assert.rejects(seals.opened(shown), TypeError);
});

test('sealing: no key is made for what cannot be sealed, and a key that others made first is used', async () => {
  const keys = new MemoryKeys();
  let shredded = false;
  const seals = new Seals({ keys, isShredded: async () => shredded });
  await assert.rejects(seals.seal('s-1', 'x'.repeat(1000)), { code: 'SEAL_INVALID' });
  assert.equal(keys.kept.size, 0);
  const mine = new Uint8Array(KEY_BYTES).fill(7);
  keys.make = async () => mine;
  assert.equal(unseal(mine, await seals.seal('s-1', 'x')), 'x');
  // decided while the key was made: nothing is handed out
  keys.make = async () => {
    shredded = true;
    return mine;
  };
  await assert.rejects(seals.seal('s-2', 'x'), { code: 'SUBJECT_SHREDDED' });
});
