/**
 * The reports of a worker on their way to the log: in order, what waits together in one commit, one commit in flight. Each is guarded
 * by the worker's own last report, so a worker that another one has replaced cannot report any more.
 */
import type { Logger } from 'pino';
import { batchType, commitHeaders, type Event, encodeEvent, eventVersions, joinCommit } from '../../events/envelope.ts';
import { subjects } from '../../events/names.ts';
import { aboutOf } from '../lib/about.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import type { CommitHead } from '../lib/commit-head.ts';
import { aboutEvent } from '../lib/log-fields.ts';
import type { Boundary, FollowedRealm } from '../lib/realm.ts';
import type { Stream } from '../lib/stream.ts';
import { noTracing, type Tracing } from '../lib/trace.ts';
import { regressed } from '../nats/regressed.ts';
import type { Report } from './reports.ts';
import { reportingSpan } from './tracing.ts';

const stoppedAtStart = (): Error => new Error('worker: stopped while it was starting');

/** Another worker reports for this host: this one must stop. */
export class Fenced extends Error {
  override name = 'Fenced';
  readonly code = 'WORKER_FENCED';
}

const commitBytesMax = 256 * 1024;
const retryMsMax = 1_000;
/** How long a worker that stops waits for what is in flight: what is not reported is found and reported by the next one. */
const partingMs = 5_000;

export interface OutboxOptions {
  readonly realm: string;
  readonly host: string;
  readonly log: Stream;
  readonly followed: FollowedRealm;
  readonly boundary: Boundary;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onFault: (error: unknown) => void;
  /** Told of reports that are stored. */
  readonly stored?: (reports: readonly Report[]) => void;
  readonly tracing?: Tracing;
}

export class Outbox {
  readonly #options: OutboxOptions;
  /** Reports that belong together share a commit. */
  #waiting: (readonly Report[])[] = [];
  #sending: Promise<void> = Promise.resolve();
  #busy = false;
  /** Id of the commit in flight. */
  #inFlight = '';
  /** Our own last report: the guard of the next one. */
  #head: CommitHead | null = null;
  #open = false;
  /** Sets of reports that are stored. */
  #sent = 0;
  #parting = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /**
   * Takes over: from this report on, whoever reported for the host before cannot.
   * @param reports made anew for each attempt, out of what the log says then
   */
  async open(reports: () => readonly Report[]): Promise<void> {
    const { boundary, clock } = this.#options;
    const id = clock.randomId(12);
    for (let attempt = 0; !this.#open; attempt++) {
      if (this.#parting) throw stoppedAtStart();
      this.#head = boundary.outcomeHead;
      const body = joinCommit(reports().map((report, index) => encodeEvent(this.#envelop(report, `${id}.${index}`))));
      const isStored = (await this.#append(id, body, attempt)) === 'stored';
      if (this.#parting) throw stoppedAtStart();
      this.#open = isStored;
    }
  }

  get counts(): { readonly waiting: number; readonly sent: number } {
    return { waiting: this.#waiting.length, sent: this.#sent };
  }

  push(reports: readonly Report[]): void {
    if (reports.length === 0 || !this.#open) return;
    this.#waiting.push(reports);
    if (this.#busy) return;
    this.#busy = true;
    this.#sending = this.#send().catch((error: unknown) => {
      // What could not be sent must not be overtaken.
      this.#open = false;
      this.#options.onFault(error);
    });
  }

  /** To be told of each commit on the subject of this host's reports. @throws Fenced when it is not one of ours */
  check(head: CommitHead): void {
    if (head.id === this.#inFlight) {
      this.#head = head;
    } else if (this.#open) {
      this.#open = false;
      throw this.#fenced();
    }
  }

  #fenced(): Fenced {
    return new Fenced(`another worker reports for host ${this.#options.host}`);
  }

  /** Nothing more is sent, and nothing is waited for: what is in flight may be stored or not. */
  abandon(): void {
    this.#parting = true;
    this.#open = false;
  }

  /** Sends what was pushed, as long as it is acknowledged. */
  async close(): Promise<void> {
    this.#parting = true;
    if (!this.#open) return;
    const late = Promise.withResolvers<void>();
    const cancel = this.#options.clock.after(partingMs, late.resolve);
    await Promise.race([this.#sending, late.promise]);
    cancel();
    this.#open = false;
  }

  async #send(): Promise<void> {
    while (this.#waiting.length > 0 && this.#open) {
      const id = this.#options.clock.randomId(12);
      const encoded: string[] = [];
      let bytes = 0;
      let taken = 0;
      for (const reports of this.#waiting) {
        if (bytes > commitBytesMax / 2) break;
        for (const report of reports) {
          const event = encodeEvent(this.#envelop(report, `${id}.${encoded.length}`));
          encoded.push(event);
          bytes += event.length;
        }
        taken += 1;
      }
      const sending = this.#waiting.slice(0, taken);
      const { tracing = noTracing } = this.#options;
      const stored = await tracing.span(reportingSpan(sending.flat()), () => this.#store(id, joinCommit(encoded)));
      if (!stored) return;
      this.#sent += taken;
      for (const reports of sending) this.#options.stored?.(reports);
      this.#tell(id, sending.flat());
      this.#waiting = this.#waiting.slice(taken);
    }
    // Nothing was awaited since the look at what waits, so nothing is left lying.
    this.#busy = false;
  }

  /** Tries until it is. @returns whether it was before there was a reason to give up. @throws Fenced */
  async #store(id: string, body: string): Promise<boolean> {
    for (let attempt = 0; ; attempt++) {
      const state = await this.#append(id, body, attempt);
      if (state === 'stored') return true;
      if (state === 'taken') throw this.#fenced();
      if (!this.#open || this.#parting) return false;
    }
  }

  /** Off unless somebody asks for it: what was reported is on the log anyway. */
  #tell(id: string, reports: readonly Report[]): void {
    const { logger } = this.#options;
    if (!logger.isLevelEnabled('debug')) return;
    for (const [index, { fact, intent }] of reports.entries()) {
      const about = intent
        ? { ...aboutEvent(intent), causationid: intent.meta.id }
        : { correlationid: `${id}.${index}` };
      logger.debug({ ...about, eventid: `${id}.${index}`, type: fact.type }, 'reported');
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
      ...(intent?.meta.actorproof === undefined ? {} : { actorproof: intent.meta.actorproof }),
      commandid: intent?.meta.commandid ?? '',
      correlationid: intent?.meta.correlationid ?? id,
      causationid: intent?.meta.id ?? '',
      ...(intent?.meta.traceparent === undefined ? {} : { traceparent: intent.meta.traceparent }),
    };
    return { ...fact, version: eventVersions[fact.type], meta } as Event;
  }

  /**
   * Tries to append behind our last report. `stored`: and folded in; `taken`: another worker's report is there; `unknown`: to be
   * tried again with the same guard, so that it is never stored twice. @throws NatsFault STREAM_REGRESSED when our last report is gone
   */
  async #append(id: string, body: string, attempt: number): Promise<'stored' | 'taken' | 'unknown'> {
    const { log, followed, clock, logger, host } = this.#options;
    this.#inFlight = id;
    const guard = this.#head;
    const appended = await log.append({
      subject: subjects.outcome(host),
      body,
      id,
      expectedLast: guard?.position ?? 0,
      headers: {
        [commitHeaders.contentType]: batchType,
        ...(guard ? { [commitHeaders.prevHash]: guard.hash } : {}),
      },
    });
    if (appended.kind === 'appended') {
      await followed.reached(appended.position);
      return 'stored';
    }
    logger.warn({ eventid: `${id}.0`, appended, attempt }, 'report not acknowledged, looking at the log');
    await sleep(clock, Math.min(2 ** attempt, retryMsMax));
    const last = await log.lastOn(subjects.outcome(host)).catch(() => undefined);
    const before = guard?.position ?? 0;
    if (last === undefined || (last?.position ?? 0) === before) return 'unknown';
    if (last === null || last.position < before) throw regressed(log.name, { position: before });
    await followed.reached(last.position);
    return last.header('Nats-Msg-Id') === id ? 'stored' : 'taken';
  }
}
