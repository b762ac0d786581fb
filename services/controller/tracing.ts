/** What a round of decisions looks like in a trace. */
import type { SpanOptions } from '../lib/trace.ts';
import type { Intake } from './intake.ts';

/** One span for all that are decided together, linked to each of them. */
export const decidingSpan = (intakes: readonly Intake[]): SpanOptions => ({
  name: 'process cnm.command.{actor}.{host}',
  kind: 'consumer',
  links: intakes.map(({ traceparent }) => traceparent),
  attributes: {
    'messaging.system': 'nats',
    'messaging.operation.name': 'decide',
    'messaging.operation.type': 'process',
    'messaging.destination.template': 'cnm.command.{actor}.{host}',
    'messaging.consumer.group.name': 'controller',
    'messaging.batch.message_count': intakes.length,
  },
});
