/**
 * The collector: watches the log for endpoints that become garbage, for commands whose deadline passes and for leases that run out, and asks
 * for their end with ordinary commands. It decides nothing: the decider checks each anew. Any number may run, since all of them ask under the same ids.
 */
import type { Logger } from 'pino';
import type { Event } from '../../events/envelope.ts';
import { subjects } from '../../events/names.ts';
import { isLapsed } from '../../events/state.ts';
import type { Clock } from '../lib/clock.ts';
import { CONFIRM_MS } from '../lib/defaults.ts';
import { DUE_STUCK_MS, type Look } from '../lib/health.ts';
import { aboutCommand } from '../lib/log-fields.ts';
import { type Boundary, boundaryOf, type FollowedRealm, followRealm, type Realm } from '../lib/realm.ts';
import type { SealKeys } from '../lib/seal-keys.ts';
import type { Stream } from '../lib/stream.ts';
import { tellParked } from '../lib/tell-parked.ts';
import { type CheckpointOptions, Checkpoints } from './checkpoints.ts';
import {
  askAgainMs,
  collectorActor,
  commandDue,
  type Due,
  dueId,
  endpointDue,
  leaseDue,
  nameOfId,
  networkDue,
  sandboxDue,
} from './due.ts';
import { Liveness } from './liveness.ts';
import { Schedule } from './schedule.ts';
import { Shredding } from './shredding.ts';
import { everythingIn, touchedBy } from './touched.ts';

export interface CollectorOptions {
  readonly realm: string;
  readonly log: Stream;
  readonly commands: Stream;
  /** Where workers show that they are alive; left out: nobody looks whether they are. */
  readonly leases?: Stream;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Between suspecting and collecting an endpoint, at most its grace period; and a sandbox, at most its lease. */
  readonly confirmMs?: number;
  /** Left out: no checkpoints of the log are made. */
  readonly checkpoints?: CheckpointOptions;
  /** Of sealed values; left out: those of shredded subjects are left to another collector. */
  readonly keys?: SealKeys;
}

export interface Collector {
  /** Folds the log; resolves when it is caught up. What fell due meanwhile is asked for at once. */
  start(): Promise<void>;
  stop(): Promise<void>;
  look(): Look;
  /** Rejects when the collector cannot go on, such as at a log that it cannot read. */
  readonly failed: Promise<never>;
}

/** An append that nobody acknowledged is sent again, under the same id. */
const retryMs = 1_000;
/** The wall clock may jump, so that no timer runs for longer. */
const timerMsMax = 60_000;
/** How many commands are on their way at once; after a long pause thousands may be due. */
const publishedAtOnceMax = 64;

export const createCollector = (options: CollectorOptions): Collector => new TimedCollector(options);

/** An endpoint, a sandbox, a lease or a command that something may become of. */
interface Watched {
  readonly boundary: Boundary;
  readonly due: Due;
  /** How often it was refused. */
  readonly refusals: number;
  /** Not to be asked for before; 0 when it is due is soon enough. */
  readonly notBeforeMs: number;
  /** Asked for: what becomes of that is on the log. */
  readonly isAsked: boolean;
}

class TimedCollector implements Collector {
  readonly failed: Promise<never>;
  readonly #options: CollectorOptions;
  readonly #confirmMs: number;
  readonly #schedule = new Schedule();
  /** By `endpoint ID`, `sandbox INCARNATION`, `lease INCARNATION`, `network ID` or `command KEY`. */
  readonly #watched = new Map<string, Watched>();
  /** The key of what is watched, by the name of what is due, to find it when it is refused. */
  readonly #keys = new Map<string, string>();
  /** When suspected endpoints were suspected. */
  readonly #suspectedMs = new Map<string, number>();
  /** What the commit that is being folded has to do with, and where. Of what waited there may be several boundaries. */
  readonly #touched = new Map<string, Boundary>();
  #fail: (error: unknown) => void = () => undefined;
  #followed: FollowedRealm | null = null;
  readonly #liveness: Liveness | null;
  readonly #checkpoints: Checkpoints | null;
  readonly #shredding: Shredding | null;
  #isLive = false;
  /** Commands that were acknowledged. */
  #published = 0;
  #publishing: Promise<void> | null = null;
  #armedMs = Number.POSITIVE_INFINITY;
  #disarm: () => void = () => undefined;

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#confirmMs = options.confirmMs ?? CONFIRM_MS;
    const { checkpoints, keys, clock, logger } = options;
    this.#shredding = keys ? new Shredding({ keys, clock, logger }) : null;
    this.#checkpoints = checkpoints ? new Checkpoints({ ...checkpoints, clock, logger }) : null;
    this.#liveness = this.#watchHosts();
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => undefined);
  }

  async start(): Promise<void> {
    await this.#checkpoints?.look();
    this.#followed = followRealm(this.#options.log, {
      memoryMs: 0,
      listener: {
        before: (boundary, event) => this.#see(event, boundary),
        opened: (realm) => this.#opened(realm),
        folded: (_boundary, _position, message) => {
          this.#checkpoints?.folded(message);
          this.#settle();
        },
        ...tellParked(this.#options.logger),
      },
    });
    this.#followed.reader.closed.catch((error) => this.#fail(error));
    await this.#followed.reader.caughtUp;
    await this.#liveness?.start();
    this.#isLive = true;
    this.#checkpoints?.start();
    this.#shredding?.start();
    this.#options.logger.info({ waiting: this.#schedule.size }, 'collector watches the log');
    this.#arm();
  }

  async stop(): Promise<void> {
    this.#isLive = false;
    this.#disarm();
    await this.#liveness?.stop();
    await this.#followed?.reader.stop();
    await this.#checkpoints?.stop();
    await this.#shredding?.stop();
    await this.#publishing;
  }

  look(): Look {
    const realm = this.#followed?.realm;
    const asked = this.#watched.size - this.#schedule.size;
    const earliestMs = this.#schedule.earliest()?.dueMs ?? Number.POSITIVE_INFINITY;
    const isDue = earliestMs <= this.#options.clock.nowMs();
    return {
      position: realm?.position ?? 0,
      stages: [
        { name: 'scheduled', waiting: this.#schedule.size, progress: 0 },
        // How many is not known without looking at all of them.
        {
          name: 'due',
          waiting: isDue ? 1 : 0,
          progress: this.#published,
          stuck: { code: 'DUE_STUCK', afterMs: DUE_STUCK_MS },
        },
        // What becomes of them is for the controller to say.
        { name: 'asked', waiting: asked, progress: 0 },
      ],
      parked: realm?.parked.size ?? 0,
    };
  }

  #watchHosts(): Liveness | null {
    const { leases, commands, clock, logger } = this.#options;
    if (!leases) return null;
    const epochOf = (host: string): number | null => {
      if (!this.#followed) return null;
      const { state } = boundaryOf(this.#followed.realm, host);
      return isLapsed(state) ? null : (state.facts.get('host')?.epoch ?? null);
    };
    const onFault = (error: unknown): void => this.#fail(error);
    return new Liveness({ leases, commands, clock, logger, epochOf, onFault });
  }

  /** What a segment carries over nobody has told of one by one. */
  #opened({ boundaries, shared }: Realm): void {
    for (const boundary of boundaries.values()) this.#touch(everythingIn(boundary), boundary);
    for (const subject of shared.shredded.keys()) this.#shredding?.decided(subject);
  }

  #touch(keys: Iterable<string>, boundary: Boundary): void {
    for (const key of keys) this.#touched.set(key, boundary);
  }

  /** Notes what an event has to do with; what follows from it is seen when its commit is folded in. */
  #see(event: Event, boundary: Boundary): void {
    const { type, data, meta } = event;
    if (type === 'CommandRefused' && meta.actor === collectorActor)
      this.#refused(meta.commandid, Date.parse(meta.time), boundary);
    if (type === 'SubjectShredded') this.#shredding?.decided(data.subject);
    if (type === 'HostFacts') this.#liveness?.stated(data.host);
    if (type === 'EndpointSuspected') this.#suspectedMs.set(data.endpointId, Date.parse(meta.time));
    this.#touch(touchedBy(event, boundary), boundary);
  }

  /** Either something newer has happened, and then this is its end; or it was not due by the controller's clock. */
  #refused(id: string, atMs: number, boundary: Boundary): void {
    const name = nameOfId(id);
    if (boundary.host !== null) this.#liveness?.refused(boundary.host, name);
    const key = this.#keys.get(name ?? '');
    const watched = key === undefined ? undefined : this.#watched.get(key);
    if (key === undefined || !watched) return;
    const refusals = watched.refusals + 1;
    this.#watched.set(key, { ...watched, refusals, notBeforeMs: atMs + askAgainMs(refusals), isAsked: false });
    this.#touched.set(key, boundary);
  }

  #settle(): void {
    for (const [key, boundary] of this.#touched) this.#watch(key, this.#watched.get(key)?.boundary ?? boundary);
    this.#touched.clear();
    this.#arm();
  }

  #dueOf(kind: string, id: string, { state }: Boundary): Due | null {
    switch (kind) {
      case 'endpoint':
        return endpointDue(state, id, this.#suspectedMs.get(id), this.#confirmMs);
      case 'sandbox':
        return sandboxDue(state, id);
      case 'lease':
        return leaseDue(state, id, this.#confirmMs);
      case 'network':
        return networkDue(state, id);
      default:
        return commandDue(state, id);
    }
  }

  /** Looks at an endpoint, a sandbox or a command anew. O(log n) of what is watched. */
  #watch(key: string, boundary: Boundary): Watched | null {
    const space = key.indexOf(' ');
    const isEndpoint = key.startsWith('endpoint ');
    const id = key.slice(space + 1);
    const due = this.#dueOf(key.slice(0, space), id, boundary);
    const before = this.#watched.get(key);
    if (before && before.due.name !== due?.name) this.#keys.delete(before.due.name);
    if (due === null) {
      this.#watched.delete(key);
      this.#schedule.delete(key);
      if (isEndpoint) this.#suspectedMs.delete(id);
      return null;
    }
    const isSame = before?.due.name === due.name;
    const watched = isSame ? { ...before, boundary, due } : { boundary, due, ...fresh };
    this.#watched.set(key, watched);
    this.#keys.set(due.name, key);
    if (watched.isAsked) this.#schedule.delete(key);
    else this.#schedule.set(key, Math.max(due.dueMs, watched.notBeforeMs));
    return watched;
  }

  /** Sets the one timer for what is due first. A timer that turns out to be early just looks again. */
  #arm(): void {
    const first = this.#schedule.earliest();
    if (!this.#isLive || this.#publishing !== null || first === undefined || this.#armedMs <= first.dueMs) return;
    this.#disarm();
    this.#armedMs = first.dueMs;
    const delayMs = Math.min(Math.max(0, first.dueMs - this.#options.clock.nowMs()), timerMsMax);
    this.#disarm = this.#options.clock.after(delayMs, () => this.#wake());
  }

  #wake(): void {
    this.#armedMs = Number.POSITIVE_INFINITY;
    if (!this.#isLive || this.#publishing !== null) return;
    this.#publishing = this.#publishDue()
      .catch((error) => {
        this.#isLive = false;
        this.#fail(error);
      })
      .finally(() => {
        this.#publishing = null;
        this.#arm();
      });
  }

  async #publishDue(): Promise<void> {
    while (this.#isLive) {
      const due = this.#takeDue();
      if (due.length === 0) return;
      await Promise.all(due.map((key) => this.#publish(key)));
    }
  }

  #takeDue(): readonly string[] {
    const nowMs = this.#options.clock.nowMs();
    const keys: string[] = [];
    while (keys.length < publishedAtOnceMax) {
      const first = this.#schedule.earliest();
      if (first === undefined || first.dueMs > nowMs) break;
      this.#schedule.delete(first.key);
      keys.push(first.key);
    }
    return keys;
  }

  async #publish(key: string): Promise<void> {
    const { clock, commands, logger } = this.#options;
    const watched = this.#watched.get(key);
    // A network that is gone takes its endpoints along without a word about each.
    if (!watched || this.#watch(key, watched.boundary)?.due.name !== watched.due.name) return;
    this.#schedule.delete(key);
    const { boundary, due, refusals } = watched;
    const id = dueId(due, refusals, clock.nowMs());
    const appended = await commands.append({
      subject: subjects.command(collectorActor, boundary.host),
      body: JSON.stringify({ id, ...due.work, ...due.command }),
      id: `${collectorActor}/${id}`,
    });
    const isAppended = appended.kind === 'appended';
    if (isAppended) this.#published += 1;
    const about = aboutCommand({ id, correlationid: due.work?.correlationid ?? id });
    if (isAppended) logger.info({ ...about, command: due.command.type }, 'asked for what is due');
    else logger.warn({ ...about, appended }, 'command not acknowledged, sending it again');
    const now = this.#watched.get(key);
    // The log may have answered already.
    if (now?.due.name !== due.name || now.refusals !== refusals) return;
    const notBeforeMs = isAppended ? now.notBeforeMs : clock.nowMs() + retryMs;
    this.#watched.set(key, { ...now, isAsked: isAppended, notBeforeMs });
    this.#watch(key, boundary);
  }
}

const fresh = { refusals: 0, notBeforeMs: 0, isAsked: false } as const;
