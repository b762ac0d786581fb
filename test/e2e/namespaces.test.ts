// Others hold the namespaces of sandboxes that are gone (pain 11): detaches do not wait for them, what comes under the same name is new, and when they
// let go nothing is left. `npm run soak namespaces` is the long form.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cycleNamespaces } from '../support/namespace-cycles.ts';
import { inOwnNamespaces } from '../support/netns.ts';
import { makePlace } from './cli-harness.ts';

if (inOwnNamespaces(import.meta.filename)) {
  test('namespaces that others hold are gone for us at the detach, and for the kernel with the last holder', async (t) => {
    const place = makePlace();
    t.after(() => place.remove());
    const report = await cycleNamespaces({ cycles: 40, atOnce: 8, holdSecondsMax: 2, place });
    assert.deepEqual({ wrong: report.wrong, left: report.left }, { wrong: [], left: [] });
    assert.ok(report.lingering > 0, 'the kernel has what is held');
    assert.ok(report.held > 20, `${report.held} were held`);
  });
}
