/** A stream whose appends are counted and measured. */
import type { Clock } from '../clock.ts';
import { type Appended, type AppendedAll, inFrontOf, type Stream } from '../stream.ts';
import type { Metrics } from './metrics.ts';

export const meteredStream = (stream: Stream, name: string, metrics: Metrics, clock: Clock): Stream => {
  const measured = async <A extends Appended | AppendedAll>(append: () => Promise<A>): Promise<A> => {
    const startedMs = clock.monotonicMs();
    let result: 'failed' | Appended['kind'] = 'failed';
    try {
      const appended = await append();
      result = appended.kind;
      return appended;
    } finally {
      metrics.count('cnm_appends_total', { stream: name, result });
      metrics.observe('cnm_append_duration_seconds', { stream: name }, (clock.monotonicMs() - startedMs) / 1000);
    }
  };
  return inFrontOf(stream, {
    append: (message) => measured(() => stream.append(message)),
    appendAll: (messages) => measured(() => stream.appendAll(messages)),
  });
};
