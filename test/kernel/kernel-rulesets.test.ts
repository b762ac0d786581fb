/** The page on rulesets is what a kernel shows. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { inOwnNamespaces } from '../support/netns.ts';
import { rulesetsFile, rulesetsPage } from '../support/rulesets.ts';

if (inOwnNamespaces(import.meta.filename)) {
  it('docs/drivers/rulesets.md is up to date (else: unshare --net --mount node test/support/rulesets.ts)', async () => {
    assert.equal(readFileSync(rulesetsFile, 'utf8'), await rulesetsPage());
  });
}
