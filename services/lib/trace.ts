/**
 * Traces, where @opentelemetry/api is installed: an optional peer, with the provider that the user has registered. Without it every call here
 * runs what it is given and does nothing else. Who acts on a message links to the span that made it, and is not its child: a command may wait for days.
 */

/** A span that is under way. */
export interface Span {
  /** Its W3C trace context, for those who act on what it sends; null where nothing is traced. */
  readonly traceparent: string | null;
  set(attributes: Attributes): void;
}

export type Attributes = Readonly<Record<string, string | number | boolean>>;

export interface SpanOptions {
  /** `OPERATION TEMPLATE`: never an id, since spans are grouped by it. */
  readonly name: string;
  readonly kind: 'producer' | 'consumer' | 'internal';
  readonly attributes?: Attributes;
  /** W3C trace contexts of what is acted on; what is none is left out. */
  readonly links?: readonly (string | undefined)[];
}

export interface Tracing {
  /** Runs `work` in a span, which ends with it and says when it failed. */
  span<T>(options: SpanOptions, work: (span: Span) => Promise<T>): Promise<T>;
}

const noSpan: Span = { traceparent: null, set: () => {} };
export const noTracing: Tracing = { span: (_, work) => work(noSpan) };

interface SpanContext {
  readonly traceId: string;
  readonly spanId: string;
  readonly traceFlags: number;
  readonly isRemote?: boolean;
}

/** What is used of @opentelemetry/api 1.x. */
export interface OpenTelemetry {
  readonly SpanKind: { readonly INTERNAL: number; readonly PRODUCER: number; readonly CONSUMER: number };
  readonly SpanStatusCode: { readonly ERROR: number };
  readonly trace: {
    getTracer(name: string): { startSpan(name: string, options: object, context?: unknown): ApiSpan };
    setSpan(context: unknown, span: ApiSpan): unknown;
  };
  readonly context: { active(): unknown; with<T>(context: unknown, run: () => T): T };
}

interface ApiSpan {
  spanContext(): SpanContext;
  setAttributes(attributes: Attributes): unknown;
  setStatus(status: { readonly code: number; readonly message?: string }): unknown;
  end(): void;
}

const INVALID_TRACE = '0'.repeat(32);

/** version-traceid-parentid-flags (W3C Trace Context, section 3.2). */
export const isTraceparent = (text: string): boolean => contextOf(text) !== null;

const contextOf = (text: string | undefined): SpanContext | null => {
  const match = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/.exec(text ?? '');
  if (!match) return null;
  const [, traceId = '', spanId = '', flags = '00'] = match;
  if (traceId === INVALID_TRACE || /^0+$/.test(spanId)) return null;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
};

const textOf = ({ traceId, spanId, traceFlags }: SpanContext): string | null =>
  traceId === INVALID_TRACE ? null : `00-${traceId}-${spanId}-${(traceFlags & 0xff).toString(16).padStart(2, '0')}`;

export const tracingWith = (api: OpenTelemetry): Tracing => {
  const tracer = api.trace.getTracer('cnmbus');
  const kinds = { producer: api.SpanKind.PRODUCER, consumer: api.SpanKind.CONSUMER, internal: api.SpanKind.INTERNAL };
  return {
    span: async ({ name, kind, attributes = {}, links = [] }, work) => {
      const linked = [...new Set(links)].flatMap((link) => contextOf(link) ?? []);
      const active = api.context.active();
      const span = tracer.startSpan(
        name,
        { kind: kinds[kind], attributes, links: linked.map((context) => ({ context })) },
        active,
      );
      const own: Span = {
        traceparent: textOf(span.spanContext()),
        set: (more) => void span.setAttributes(more),
      };
      try {
        return await api.context.with(api.trace.setSpan(active, span), () => work(own));
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        span.setAttributes({ 'error.type': error instanceof Error ? error.name : 'unknown' });
        span.setStatus({ code: api.SpanStatusCode.ERROR, message });
        throw error;
      } finally {
        span.end();
      }
    },
  };
};

/** As text, so that neither the compiler nor a bundler looks for it. */
const peer: string = '@opentelemetry/api';

/** With the user's provider, where the peer is installed. @throws what the peer throws when it is there and cannot be loaded */
export const loadTracing = async (): Promise<Tracing> => {
  try {
    return tracingWith((await import(peer)) as OpenTelemetry);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND') return noTracing;
    throw error;
  }
};
