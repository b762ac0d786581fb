/**
 * What plugins decide becomes facts: a worker sends it as the ordinary command `SettleIntent` and goes on when `NetworkSettled`,
 * `EndpointSettled` or `JoinSettled` is in the log. It names its epoch, so that what a worker has sent that was replaced is refused.
 */
import type { CommandData, Settlement } from '../../events/commands.ts';
import type { Event } from '../../events/envelope.ts';
import { commandId, subjects, workerActor } from '../../events/names.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import type { Stream } from '../lib/stream.ts';

export interface SettlingOptions {
  readonly host: string;
  readonly commands: Stream;
  readonly clock: Clock;
  /** Of the worker: as it has stated it last. */
  readonly epoch: () => number;
}

type Kind = Settlement['kind'];
export type AnswerOf<K extends Kind> = Extract<Settlement, { kind: K }>;

export type Settled = { readonly ok: true } | { readonly ok: false; readonly code: string; readonly text: string };

const retryMsMax = 1_000;
/** How often, and after how long, it is asked for again where it was refused as another worker's. */
const [fencedMax, fencedMs] = [5, 100];

const kinds = { NetworkSettled: 'network', EndpointSettled: 'endpoint', JoinSettled: 'join' } as const;

const keyOf = (intent: string, kind: Kind): string => `${kind} ${intent}`;

export class Settling {
  readonly #options: SettlingOptions;
  readonly #actor: string;
  /** By kind and intent, for intents that are not reported. */
  readonly #settled = new Set<string>();
  readonly #attempts = new Map<string, number>();
  /** Who waits, by the command that they wait for. */
  readonly #waiting = new Map<string, (how: Settled | null) => void>();

  constructor(options: SettlingOptions) {
    this.#options = options;
    this.#actor = workerActor(options.host);
  }

  /** Every event of the log, before it is folded in. */
  note({ type, data, meta }: Event): void {
    const isOwn = meta.actor === this.#actor;
    if (type === 'NetworkSettled' || type === 'EndpointSettled' || type === 'JoinSettled') {
      this.#settled.add(keyOf(data.intent, kinds[type]));
      if (isOwn) this.#waiting.get(meta.commandid)?.({ ok: true });
    } else if (type === 'CommandRefused' && isOwn)
      this.#waiting.get(meta.commandid)?.({ ok: false, code: data.code, text: `${data.code}: ${data.detail}` });
  }

  /** An intent has ended. */
  forget(intent: string): void {
    for (const kind of Object.values(kinds)) {
      this.#settled.delete(keyOf(intent, kind));
      this.#attempts.delete(keyOf(intent, kind));
    }
  }

  /** Whether that of an intent is settled. */
  isSettled(intent: string, kind: Kind): boolean {
    return this.#settled.has(keyOf(intent, kind));
  }

  /** Asks for it, and waits for the decision. Null: given up. */
  async settle(intent: Event, answer: Settlement, signal: AbortSignal): Promise<Settled | null> {
    for (let tries = 0; ; tries++) {
      const settled = await this.#ask(intent, answer, signal);
      const isFenced = settled?.ok === false && settled.code === 'SETTLE_INVALID';
      // We may have stated another epoch meanwhile. Whoever is not meant any more is told so soon.
      if (!isFenced || tries + 1 === fencedMax) return settled;
      await sleep(this.#options.clock, fencedMs);
    }
  }

  async #ask(intent: Event, answer: Settlement, signal: AbortSignal): Promise<Settled | null> {
    const { id, time } = intent.meta;
    const key = keyOf(id, answer.kind);
    const attempt = this.#attempts.get(key) ?? 0;
    this.#attempts.set(key, attempt + 1);
    const epoch = this.#options.epoch();
    const command = commandId(Date.parse(time), `settle/${id}/${answer.kind}/${epoch}.${attempt}`);
    const decision = Promise.withResolvers<Settled | null>();
    const giveUp = (): void => decision.resolve(null);
    signal.addEventListener('abort', giveUp, { once: true });
    if (signal.aborted) giveUp();
    this.#waiting.set(command, decision.resolve);
    await Promise.race([this.#send(command, intent, { intent: id, epoch, answer }, signal), decision.promise]);
    const settled = await decision.promise;
    this.#waiting.delete(command);
    signal.removeEventListener('abort', giveUp);
    return settled;
  }

  async #send(
    command: string,
    { meta: { correlationid, traceparent } }: Event,
    data: CommandData<'SettleIntent'>,
    signal: AbortSignal,
  ): Promise<void> {
    const { commands, clock, host } = this.#options;
    const body = JSON.stringify({ type: 'SettleIntent', id: command, correlationid, traceparent, data });
    const subject = subjects.command(this.#actor, host);
    for (let tries = 0; !signal.aborted; tries++) {
      const appended = await commands.append({ subject, body, id: `${this.#actor}/${command}` });
      if (appended.kind === 'appended') return;
      await sleep(clock, Math.min(2 ** tries, retryMsMax));
    }
  }
}
