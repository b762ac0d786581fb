/** The driver overlay: what it says of options that it cannot take. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { driver, network } from '../support/driver-facts.ts';

test('driver overlay: says which values an option may have, nothing among them', () => {
  const asked = { ...network, driver: 'overlay', options: { encrypted: 'maybe' } };
  const refusal = driver('overlay').checkNetwork(asked, []);
  assert.equal(refusal?.code, 'OPTION_INVALID');
  assert.match(refusal.detail, /option encrypted .* must be one of nothing, true, false, not "maybe"/);
  assert.deepEqual(refusal.culprits, [{ kind: 'option', id: 'encrypted', detail: 'maybe' }]);
});
