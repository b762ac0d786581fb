/** Rebuilding of views over NATS: one request to one projector, several replies, the last of which is the report. */
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import type { Logger } from 'pino';
import { z } from 'zod';
import { subjects } from '../../events/names.ts';
import { viewNames } from '../../events/queries.ts';
import type { Clock } from '../lib/clock.ts';
import { describeError } from '../nats/fault.ts';
import type { Projector } from './projector.ts';
import { QueryFault } from './query-fault.ts';
import type { RebuildReport, RollbackReport } from './rebuild.ts';

export const RebuildRequest = z.strictObject({
  view: z.enum([...viewNames, 'all']).default('all'),
  /** As fast as it goes when left out. */
  eventsPerSecond: z.number().min(1).optional(),
  /** Whether what was rebuilt takes the place of what was there. */
  swap: z.boolean().default(false),
  /** Nothing is rebuilt: what the last one has replaced is put back. */
  rollback: z.boolean().default(false),
});
export type RebuildRequest = z.input<typeof RebuildRequest>;

export type RebuildReply =
  | { readonly kind: 'progress'; readonly position: number; readonly of: number }
  | ({ readonly kind: 'report' } & RebuildReport)
  | ({ readonly kind: 'rollback' } & RollbackReport)
  | { readonly kind: 'refused'; readonly code: string; readonly detail: string };

/** How often it says how far it is; also a sign of life while it compares. */
const PROGRESS_MS = 250;

export interface RebuildService {
  stop(): Promise<void>;
}

const parse = (body: string): z.output<typeof RebuildRequest> => {
  try {
    return RebuildRequest.parse(JSON.parse(body === '' ? '{}' : body));
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error).replaceAll('\n', ' ') : String(error);
    throw new QueryFault('QUERY_MALFORMED', why);
  }
};

class Rebuilding implements RebuildService {
  readonly #projector: Projector;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #subscription;
  readonly #running = new Set<Promise<void>>();

  constructor(connection: NatsConnection, id: string, deps: { projector: Projector; clock: Clock; logger: Logger }) {
    this.#projector = deps.projector;
    this.#clock = deps.clock;
    this.#logger = deps.logger;
    this.#subscription = connection.subscribe(subjects.rebuild(id), {
      callback: (error, msg) => {
        if (error !== null) return;
        const answered = this.#answer(msg).finally(() => this.#running.delete(answered));
        this.#running.add(answered);
      },
    });
  }

  async stop(): Promise<void> {
    this.#subscription.unsubscribe();
    await Promise.all(this.#running);
  }

  /** Never rejects. */
  async #answer(msg: Msg): Promise<void> {
    const reply = (content: RebuildReply): void => void msg.respond(JSON.stringify(content));
    let progress = { position: 0, of: 0 };
    let cancel = (): void => {};
    const tell = (): void => {
      reply({ kind: 'progress', ...progress });
      cancel = this.#clock.after(PROGRESS_MS, tell);
    };
    try {
      const { view, eventsPerSecond, swap, rollback } = parse(msg.string());
      tell();
      const onProgress = (position: number, of: number): void => {
        progress = { position, of };
      };
      const pace = eventsPerSecond === undefined ? {} : { eventsPerSecond };
      if (rollback) reply({ kind: 'rollback', ...(await this.#projector.rollback()) });
      else reply({ kind: 'report', ...(await this.#projector.rebuild({ view, swap, onProgress, ...pace })) });
    } catch (error) {
      if (!(error instanceof QueryFault)) this.#logger.error({ err: error }, 'a view could not be rebuilt');
      const code = error instanceof QueryFault ? error.code : 'LOG_UNREADABLE';
      reply({ kind: 'refused', code, detail: error instanceof QueryFault ? error.message : describeError(error) });
    } finally {
      cancel();
    }
  }
}

/** @param id of this projector as a service */
export const serveRebuild = (
  connection: NatsConnection,
  id: string,
  deps: { readonly projector: Projector; readonly clock: Clock; readonly logger: Logger },
): RebuildService => new Rebuilding(connection, id, deps);
