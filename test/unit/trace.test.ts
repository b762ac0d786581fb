/** Spans with their parents and links, where a provider is there; nothing at all where none is. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { templateOf } from '../../services/lib/subjects.ts';
import { isTraceparent, loadTracing, noTracing } from '../../services/lib/trace.ts';
import { fakeTelemetry } from '../support/fake-otel.ts';

const parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

describe('traces', () => {
  it('are nothing without the peer, which is not installed here', async () => {
    const tracing = await loadTracing();
    assert.equal(tracing, noTracing);
    assert.equal(await tracing.span({ name: 'a', kind: 'internal' }, async (span) => span.traceparent), null);
  });

  it('have the span that is under way as their parent, and what they act on as links', async () => {
    const { tracing, spans } = fakeTelemetry();
    const told = await tracing.span(
      { name: 'outer', kind: 'consumer', links: [parent, undefined, parent, 'x'] },
      (outer) =>
        tracing.span({ name: 'inner', kind: 'producer', attributes: { n: 1 } }, async (inner) => {
          inner.set({ m: 2 });
          return [outer.traceparent, inner.traceparent];
        }),
    );
    const [outer, inner] = spans;
    assert.deepEqual(outer?.links, ['0af7651916cd43dd8448eb211c80319c/b7ad6b7169203331']);
    assert.deepEqual([outer?.parent, inner?.parent, inner?.traceId], [null, outer?.spanId, outer?.traceId]);
    assert.deepEqual([outer?.kind, inner?.kind, inner?.attributes], [4, 3, { n: 1, m: 2 }]);
    assert.deepEqual(
      told,
      [outer, inner].map((span) => `00-${span?.traceId}-${span?.spanId}-01`),
    );
    assert.ok(spans.every(({ ended, failed }) => ended && failed === null));
  });

  it('say what they failed with, and end all the same', async () => {
    const { tracing, spans } = fakeTelemetry();
    await assert.rejects(
      tracing.span({ name: 'a', kind: 'internal' }, () => Promise.reject(new TypeError('no'))),
      /no/,
    );
    assert.deepEqual(
      [spans[0]?.failed, spans[0]?.ended, spans[0]?.attributes],
      ['no', true, { 'error.type': 'TypeError' }],
    );
  });

  it('are joined by W3C contexts alone', () => {
    const wrong = [
      '',
      'x',
      parent.slice(1),
      `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
      parent.replace(/b7\w+/, '0'.repeat(16)),
    ];
    assert.ok(isTraceparent(parent));
    assert.deepEqual(wrong.filter(isTraceparent), []);
  });

  it('are named by templates, never by what a subject names', () => {
    const templates = [
      'cnm.command.root.h1',
      'cnm.event.host.h1',
      'cnm.event.realm._',
      'cnm.event.realm.n7',
      'cnm.outcome.h1',
    ];
    assert.deepEqual(templates.map(templateOf), [
      'cnm.command.{actor}.{host}',
      'cnm.event.host.{host}',
      'cnm.event.realm._',
      'cnm.event.realm.{network}',
      'cnm.outcome.{host}',
    ]);
  });
});
