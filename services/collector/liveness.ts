/**
 * Watches the leases of workers, and says which hosts show no sign of life any more. What it sees is the stream's: a host is away when no
 * renewal was stored for the takeover time, by our own monotonic clock, and the server still has none at that moment.
 */
import type { Logger } from 'pino';
import { decodeToken, encodeToken, subjects } from '../../events/names.ts';
import type { Clock } from '../lib/clock.ts';
import { aboutCommand } from '../lib/log-fields.ts';
import type { Message, Reader, Stream } from '../lib/stream.ts';
import { askAgainMs, collectorActor, dueId, isLapseOf, lapseDue } from './due.ts';

/** As long as others wait before they take a lease over (services/nats/lease.ts). */
const silentMs = 6_000;
/** What nobody answered is tried again. */
const retryMs = 1_000;

export interface LivenessOptions {
  readonly leases: Stream;
  readonly commands: Stream;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Epoch that a host is in, while it is not known to be away; null where there is nothing to be said of it. */
  readonly epochOf: (host: string) => number | null;
  readonly onFault: (error: unknown) => void;
}

/** The last sign of life of a host. */
interface Sign {
  readonly position: number;
  /** When the server stored it: the same for every collector. */
  readonly recordedMs: number;
  readonly cancel: () => void;
}

/** What was asked about a host, last. */
interface Asked {
  readonly epoch: number;
  /** How often that was refused. */
  readonly refusals: number;
  /** Sent, or about to be; what becomes of it is on the log. */
  readonly isUnderWay: boolean;
}

export class Liveness {
  readonly #options: LivenessOptions;
  readonly #signs = new Map<string, Sign>();
  /** By host: of its present epoch, or of one that is over. */
  readonly #asked = new Map<string, Asked>();
  #reader: Reader | null = null;
  #stopped = false;

  constructor(options: LivenessOptions) {
    this.#options = options;
  }

  /** Resolves when all leases are known. Only hosts that hold one, or did, are watched. */
  async start(): Promise<void> {
    this.#reader = this.#options.leases.read({ from: 1, subjects: ['cnm.lease.worker.*'] }, (lease) =>
      this.#see(lease),
    );
    this.#reader.closed.catch(this.#options.onFault);
    await this.#reader.caughtUp;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const { cancel } of this.#signs.values()) cancel();
    await this.#reader?.stop();
  }

  /** A host has stated facts: should it have been silent for long already, it is looked at again. */
  stated(host: string): void {
    const sign = this.#signs.get(host);
    if (sign) this.#watch(host, sign, silentMs);
  }

  /**
   * A command of a collector was refused on a host's boundary: one of the host's present epoch is sent again, under another id.
   * To be told from the opening of the log on, so that all collectors count alike.
   */
  refused(host: string, name: string | null): void {
    const epoch = this.#options.epochOf(host);
    if (epoch === null || !isLapseOf(name, host, epoch)) return;
    const refusals = this.#refusalsOf(host, epoch) + 1;
    this.#asked.set(host, { epoch, refusals, isUnderWay: false });
    const sign = this.#signs.get(host);
    if (sign) this.#watch(host, sign, askAgainMs(refusals));
  }

  #refusalsOf(host: string, epoch: number): number {
    const asked = this.#asked.get(host);
    return asked?.epoch === epoch ? asked.refusals : 0;
  }

  #see({ subject, position, recordedMs }: Message): void {
    const host = decodeToken(subject.slice(subject.lastIndexOf('.') + 1));
    if (host === null || position <= (this.#signs.get(host)?.position ?? 0)) return;
    this.#watch(host, { position, recordedMs }, silentMs);
  }

  #watch(host: string, sign: Omit<Sign, 'cancel'>, delayMs: number): void {
    this.#signs.get(host)?.cancel();
    if (this.#stopped) return;
    const cancel = this.#options.clock.after(delayMs, () => {
      this.#look(host).catch((error) => {
        if (!this.#stopped) this.#options.onFault(error);
      });
    });
    this.#signs.set(host, { ...sign, cancel });
  }

  /** We may have been cut off ourselves: only a server that answers, and has nothing newer, says that the host is silent. */
  async #look(host: string): Promise<void> {
    const { leases, epochOf } = this.#options;
    const sign = this.#signs.get(host);
    const epoch = epochOf(host);
    const asked = this.#asked.get(host);
    if (!sign || epoch === null || (asked?.epoch === epoch && asked.isUnderWay)) return;
    const last = await leases.lastOn(`cnm.lease.worker.${encodeToken(host)}`).catch(() => null);
    const now = this.#signs.get(host);
    if (this.#stopped || now?.position !== sign.position) return;
    if (last === null) this.#watch(host, sign, retryMs);
    else if (last.position > sign.position) this.#watch(host, last, silentMs);
    else await this.#ask(host, sign, epoch);
  }

  async #ask(host: string, sign: Sign, epoch: number): Promise<void> {
    const { commands, clock, logger } = this.#options;
    const due = lapseDue(host, epoch, sign.recordedMs, silentMs);
    const refusals = this.#refusalsOf(host, epoch);
    const id = dueId(due, refusals, clock.nowMs());
    const asked: Asked = { epoch, refusals, isUnderWay: true };
    this.#asked.set(host, asked);
    const appended = await commands.append({
      subject: subjects.command(collectorActor, host),
      body: JSON.stringify({ id, ...due.command }),
      id: `${collectorActor}/${id}`,
    });
    if (appended.kind === 'appended') {
      logger.warn({ ...aboutCommand({ id, correlationid: id }), host }, 'host shows no sign of life');
      return;
    }
    // The log may have answered already.
    if (this.#asked.get(host) !== asked) return;
    this.#asked.set(host, { ...asked, isUnderWay: false });
    const now = this.#signs.get(host);
    if (now) this.#watch(host, now, now.position === sign.position ? retryMs : silentMs);
  }
}
