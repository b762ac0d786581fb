/** An OpenTelemetry provider of a test's own: spans as they were, with their parents, which follow the asynchronous call as with the real one. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { type Attributes, type OpenTelemetry, type Tracing, tracingWith } from '../../services/lib/trace.ts';

export interface FakeSpan {
  readonly name: string;
  readonly kind: number;
  readonly traceId: string;
  readonly spanId: string;
  /** Span id; null for a root. */
  readonly parent: string | null;
  /** `TRACEID/SPANID` of each link. */
  readonly links: readonly string[];
  readonly attributes: Attributes;
  readonly failed: string | null;
  readonly ended: boolean;
}

type Draft = { -readonly [F in keyof FakeSpan]: FakeSpan[F] } & {
  attributes: Record<string, string | number | boolean>;
};

export interface FakeTelemetry {
  readonly tracing: Tracing;
  readonly spans: readonly FakeSpan[];
}

export const fakeTelemetry = (): FakeTelemetry => {
  const spans: Draft[] = [];
  const storage = new AsyncLocalStorage<Draft>();
  const drafts = new WeakMap<object, Draft>();
  const startSpan = (name: string, options: object, context?: unknown) => {
    const { kind, attributes, links } = options as {
      readonly kind: number;
      readonly attributes: Attributes;
      readonly links: readonly { readonly context: { readonly traceId: string; readonly spanId: string } }[];
    };
    const parent = context as Draft | undefined;
    const serial = (spans.length + 1).toString(16);
    const draft: Draft = {
      name,
      kind,
      traceId: parent?.traceId ?? serial.padStart(32, 'a'),
      spanId: serial.padStart(16, 'b'),
      parent: parent?.spanId ?? null,
      links: links.map((link) => `${link.context.traceId}/${link.context.spanId}`),
      attributes: { ...attributes },
      failed: null,
      ended: false,
    };
    spans.push(draft);
    const span = {
      spanContext: () => ({ traceId: draft.traceId, spanId: draft.spanId, traceFlags: 1 }),
      setAttributes: (more: Attributes) => Object.assign(draft.attributes, more),
      setStatus: ({ message = '' }: { readonly code: number; readonly message?: string }) => {
        draft.failed = message;
      },
      end: () => {
        if (draft.ended) throw new Error(`${name} ended twice`);
        draft.ended = true;
      },
    };
    drafts.set(span, draft);
    return span;
  };
  const api: OpenTelemetry = {
    SpanKind: { INTERNAL: 0, PRODUCER: 3, CONSUMER: 4 },
    SpanStatusCode: { ERROR: 2 },
    trace: { getTracer: () => ({ startSpan }), setSpan: (_, span) => drafts.get(span) },
    context: {
      active: () => storage.getStore(),
      with: (context, run) => storage.run(context as Draft, run),
    },
  };
  return { tracing: tracingWith(api), spans };
};
