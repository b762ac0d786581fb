/** A stream whose appends are counted and measured. */
import type { Clock } from '../clock.ts';
import type { Appended, AppendedAll, Stream } from '../stream.ts';
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
  return {
    name: stream.name,
    append: (message) => measured(() => stream.append(message)),
    appendAll: (messages) => measured(() => stream.appendAll(messages)),
    read: (options, onMessage) => stream.read(options, onMessage),
    first: () => stream.first(),
    last: () => stream.last(),
    lastOn: (subject) => stream.lastOn(subject),
    get: (position) => stream.get(position),
    positionAt: (timeMs) => stream.positionAt(timeMs),
  };
};
