/** Asking projectors to rebuild their views, each for itself, one after the other. */
import type { NatsConnection } from '@nats-io/transport-node';
import { subjects } from '../../events/names.ts';
import type { Clock } from '../lib/clock.ts';
import { newInbox } from '../nats/link.ts';
import type { RebuildReply, RebuildRequest } from '../projector/serve-rebuild.ts';
import { QueryFailed } from './errors.ts';

export type Rebuilt = { readonly projector: string } & Exclude<RebuildReply, { kind: 'progress' }>;

/** They give a sign of life every quarter of a second. */
const SILENT_MAX_MS = 5_000;

export type OnProgress = (projector: string, position: number, of: number) => void;

/** The last reply of one projector. @throws QueryFailed when it falls silent */
export const rebuildAt = async (
  connection: NatsConnection,
  clock: Clock,
  projector: string,
  request: RebuildRequest,
  onProgress: OnProgress,
): Promise<Rebuilt> => {
  const inbox = newInbox(connection);
  const { promise, resolve, reject } = Promise.withResolvers<Rebuilt>();
  const silent = (): void => reject(new QueryFailed('UNANSWERED', `projector ${projector} does not answer`));
  let cancel = clock.after(SILENT_MAX_MS, silent);
  const subscription = connection.subscribe(inbox, {
    callback: (error, msg) => {
      cancel();
      if (error !== null) return reject(error);
      // the server says so when nobody has subscribed
      if (msg.headers?.code === 503) return silent();
      const reply = msg.json<RebuildReply>();
      if (reply.kind !== 'progress') return resolve({ projector, ...reply });
      onProgress(projector, reply.position, reply.of);
      cancel = clock.after(SILENT_MAX_MS, silent);
    },
  });
  try {
    connection.publish(subjects.rebuild(projector), JSON.stringify(request), { reply: inbox });
    return await promise;
  } finally {
    cancel();
    subscription.unsubscribe();
  }
};
