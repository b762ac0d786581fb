/** What the work of a worker looks like in a trace. */
import type { SpanOptions } from '../lib/trace.ts';
import type { Report } from './reports.ts';
import type { Unit } from './units.ts';

/** A batch of the kernel's, linked to the commands that want it. */
export const executingSpan = (units: readonly Unit[]): SpanOptions => {
  const intents = units.flatMap((unit) => unit.intents);
  return {
    name: 'process cnm.event.host.{host}',
    kind: 'consumer',
    links: intents.map(({ meta }) => meta.traceparent),
    attributes: {
      'messaging.system': 'nats',
      'messaging.operation.name': 'execute',
      'messaging.operation.type': 'process',
      'messaging.destination.template': 'cnm.event.host.{host}',
      'messaging.consumer.group.name': 'worker',
      'messaging.batch.message_count': intents.length,
    },
  };
};

/** A commit of outcomes, linked to the commands that they are about. */
export const reportingSpan = (reports: readonly Report[]): SpanOptions => ({
  name: 'report cnm.outcome.{host}',
  kind: 'internal',
  links: reports.map(({ intent }) => intent?.meta.traceparent),
  attributes: { 'cnm.reports': reports.length },
});
