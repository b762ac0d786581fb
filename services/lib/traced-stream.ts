/** A stream whose appends are spans: the commit, or command, that somebody sends. */
import { type Append, inFrontOf, type Stream } from './stream.ts';
import { templateOf } from './subjects.ts';
import { noTracing, type Tracing } from './trace.ts';

/** OpenTelemetry's names for messaging (semconv 1.44). */
const attributesOf = ({ subject, id }: Append) => ({
  'messaging.system': 'nats',
  'messaging.operation.name': 'publish',
  'messaging.operation.type': 'send',
  'messaging.destination.name': subject,
  'messaging.destination.template': templateOf(subject),
  'messaging.message.id': id,
});

export const tracedStream = (stream: Stream, tracing: Tracing): Stream => {
  if (tracing === noTracing) return stream;
  return inFrontOf(stream, {
    append: (message) =>
      tracing.span(
        { name: `publish ${templateOf(message.subject)}`, kind: 'producer', attributes: attributesOf(message) },
        async (span) => {
          const appended = await stream.append(message);
          span.set({ 'cnm.append': appended.kind });
          return appended;
        },
      ),
    appendAll: (messages) =>
      tracing.span(
        {
          name: 'publish batch',
          kind: 'producer',
          attributes: { 'messaging.system': 'nats', 'messaging.batch.message_count': messages.length },
        },
        async (span) => {
          const appended = await stream.appendAll(messages);
          span.set({ 'cnm.append': appended.kind });
          return appended;
        },
      ),
  });
};
