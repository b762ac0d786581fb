/** What the view of endpoints says of routes, held against a kernel. */
import assert from 'node:assert/strict';
import type { KernelObject } from '../../drivers/objects.ts';
import { decodeCommit } from '../../events/envelope.ts';
import { applyCommit, createViews, rowsOf } from '../../projections/views.ts';
import type { Message } from '../../services/lib/stream.ts';

/** The view says which routes each endpoint has, and no others. */
export const assertRoutesShown = (messages: readonly Message[], objects: readonly KernelObject[]): void => {
  const views = createViews();
  for (const { subject, position, body } of messages)
    applyCommit(views, subject, position, decodeCommit(body, subject));
  const textOf = ({ destination, gateway }: { readonly destination: string; readonly gateway: string }): string =>
    `${destination} via ${gateway}`;
  for (const row of rowsOf(views, 'endpoints').values()) {
    if (row.status !== 'joined') continue;
    const found = objects.flatMap((object) =>
      object.kind === 'route' && object.netns === row.sandboxKey && object.device === row.interface
        ? textOf(object)
        : [],
    );
    assert.deepEqual(row.routes.map(textOf).sort(), found.sort(), `routes of ${row.name} in sandbox ${row.sandbox}`);
  }
};
