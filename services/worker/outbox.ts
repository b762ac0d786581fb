/**
 * The reports of a worker on their way to the log: in order, what waits together in one commit, one commit in flight. Each is guarded
 * by the worker's own last report, so a worker that another one has replaced cannot report any more.
 */
import type { Logger } from 'pino';
import { batchType, commitHeaders, type Event, encodeEvent, eventVersions, joinCommit } from '../../events/envelope.ts';
import type { Fact } from '../../events/events.ts';
import { subjects } from '../../events/names.ts';
import { aboutOf } from '../lib/about.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import { chainHash } from '../lib/hash.ts';
import type { Boundary, FollowedRealm } from '../lib/realm.ts';
import type { Stream } from '../lib/stream.ts';

/** What led to a report: an intent; null for what the worker noticed by itself. */
export interface Report {
  readonly fact: Fact;
  readonly intent: Event | null;
}

/** Another worker reports for this host: this one must stop. */
export class Fenced extends Error {
  override name = 'Fenced';
  readonly code = 'WORKER_FENCED';
}

const commitBytesMax = 256 * 1024;
const retryMsMax = 1_000;

export interface OutboxOptions {
  readonly realm: string;
  readonly host: string;
  readonly log: Stream;
  readonly followed: FollowedRealm;
  readonly boundary: Boundary;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onFault: (error: unknown) => void;
}

export class Outbox {
  readonly #options: OutboxOptions;
  #waiting: Report[] = [];
  #sending: Promise<void> | null = null;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  push(reports: readonly Report[]): void {
    if (reports.length === 0) return;
    this.#waiting.push(...reports);
    this.#sending ??= this.#send()
      .catch(this.#options.onFault)
      .finally(() => {
        this.#sending = null;
      });
  }

  /** Resolves when all that was pushed is on the log and folded in. */
  async drained(): Promise<void> {
    await this.#sending;
  }

  async #send(): Promise<void> {
    while (this.#waiting.length > 0) {
      const id = this.#options.clock.randomId(12);
      const encoded: string[] = [];
      let bytes = 0;
      let taken = 0;
      for (const report of this.#waiting) {
        if (bytes > commitBytesMax / 2) break;
        const event = encodeEvent(this.#envelop(report, `${id}.${taken}`));
        encoded.push(event);
        bytes += event.length;
        taken += 1;
      }
      await this.#commit(id, joinCommit(encoded));
      this.#waiting = this.#waiting.slice(taken);
    }
  }

  #envelop({ fact, intent }: Report, id: string): Event {
    const { clock, realm, host } = this.#options;
    const meta: Event['meta'] = {
      id,
      source: `/cnm/${realm}/worker/${host}`,
      subject: aboutOf(fact),
      time: new Date(clock.nowMs()).toISOString(),
      actor: intent?.meta.actor ?? '',
      commandid: intent?.meta.commandid ?? '',
      correlationid: intent?.meta.correlationid ?? id,
      causationid: intent?.meta.id ?? '',
      ...(intent?.meta.traceparent === undefined ? {} : { traceparent: intent.meta.traceparent }),
    };
    return { ...fact, version: eventVersions[fact.type], meta } as Event;
  }

  /** Appends until it is stored; a guard that does not hold means that another worker reports for this host. */
  async #commit(id: string, body: string): Promise<void> {
    const { log, followed, boundary, clock, logger, host } = this.#options;
    for (let attempt = 0; ; attempt++) {
      const head = boundary.outcomeHead;
      const appended = await log.append({
        subject: subjects.outcome(host),
        body,
        id,
        expectedLast: head?.position ?? 0,
        headers: {
          [commitHeaders.contentType]: batchType,
          ...(head ? { [commitHeaders.prevHash]: chainHash(head) } : {}),
        },
      });
      if (appended.kind === 'appended') {
        await followed.reached(appended.position);
        return;
      }
      logger.warn({ appended, attempt }, 'report not acknowledged, looking at the log');
      await sleep(clock, Math.min(2 ** attempt, retryMsMax));
      const last = await log.lastOn(subjects.outcome(host)).catch(() => undefined);
      if (last === undefined) continue;
      if (last) await followed.reached(last.position);
      if (last?.header('Nats-Msg-Id') === id) return;
      if ((last?.position ?? 0) !== (head?.position ?? 0)) throw new Fenced(`another worker reports for host ${host}`);
    }
  }
}
