/**
 * What plugins decide becomes facts: a worker sends it as the ordinary command `SettleIntent` and goes on when `NetworkSettled`,
 * `EndpointSettled` or `JoinSettled` is in the log. Whoever settled it first has settled it: a worker that was replaced may have.
 */
import type { Settlement } from '../../events/commands.ts';
import type { Event } from '../../events/envelope.ts';
import type { EventData } from '../../events/events.ts';
import { commandId, subjects, workerActor } from '../../events/names.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import type { Stream } from '../lib/stream.ts';

export interface SettlingOptions {
  readonly host: string;
  readonly commands: Stream;
  readonly clock: Clock;
  /** Of the worker: no two workers of a host send a command of the same id. */
  readonly epoch: () => number;
}

interface SettledData {
  readonly network: EventData<'NetworkSettled'>;
  readonly endpoint: EventData<'EndpointSettled'>;
  readonly join: EventData<'JoinSettled'>;
}
export type SettlementKind = keyof SettledData;
export type AnswerOf<K extends SettlementKind> = Extract<Settlement, { kind: K }>;

export type Settled<K extends SettlementKind> =
  | { readonly ok: true; readonly fact: SettledData[K] }
  /** `code` empty: settled otherwise than it was asked for. */
  | { readonly ok: false; readonly code: string; readonly text: string };

type Decided = { readonly ok: true } | { readonly ok: false; readonly code: string; readonly text: string };

const retryMsMax = 1_000;

const kinds = { NetworkSettled: 'network', EndpointSettled: 'endpoint', JoinSettled: 'join' } as const;

/** Canonical texts on both sides; what was left open is the controller's to choose. */
const isAsAnswered = (answer: Settlement, fact: SettledData[SettlementKind]): boolean => {
  const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
  if (answer.kind === 'network' && 'subnets' in fact)
    return same(
      answer.subnets.map(({ subnet, gateway, pool }) => [subnet, gateway, pool]),
      fact.subnets.map(({ subnet, gateway, pool }) => [subnet, gateway, pool]),
    );
  if (answer.kind === 'endpoint' && 'mac' in fact)
    return (['ipv4', 'ipv6', 'mac'] as const).every((field) => answer[field] === null || answer[field] === fact[field]);
  if (answer.kind === 'join' && 'plug' in fact) {
    const { link, gateway4, gateway6, routes } = fact.plug;
    return same(
      [
        answer.link,
        answer.gateway4,
        answer.gateway6,
        answer.routes.map(({ destination, gateway: by }) => [destination, by]),
      ],
      [link, gateway4, gateway6, routes.map(({ destination, gateway: by }) => [destination, by])],
    );
  }
  return false;
};

const keyOf = (intent: string, kind: SettlementKind): string => `${kind} ${intent}`;

export class Settling {
  readonly #options: SettlingOptions;
  readonly #actor: string;
  /** By kind and intent, for intents that are not reported. */
  readonly #facts = new Map<string, SettledData[SettlementKind]>();
  readonly #attempts = new Map<string, number>();
  /** Who waits, by kind and intent, and the command that they wait for. */
  readonly #waiting = new Map<string, { readonly command: string; readonly decided: (how: Decided) => void }>();

  constructor(options: SettlingOptions) {
    this.#options = options;
    this.#actor = workerActor(options.host);
  }

  /** Every event of the log, before it is folded in. */
  note({ type, data, meta }: Event): void {
    if (type === 'NetworkSettled' || type === 'EndpointSettled' || type === 'JoinSettled') {
      const key = keyOf(data.intent, kinds[type]);
      this.#facts.set(key, data);
      this.#waiting.get(key)?.decided({ ok: true });
    } else if (type === 'CommandRefused' && meta.actor === this.#actor && this.#waiting.size > 0) {
      for (const { command, decided } of this.#waiting.values())
        if (command === meta.commandid) decided({ ok: false, code: data.code, text: `${data.code}: ${data.detail}` });
    }
  }

  /** An intent has ended. */
  forget(intent: string): void {
    for (const kind of Object.values(kinds)) {
      this.#facts.delete(keyOf(intent, kind));
      this.#attempts.delete(keyOf(intent, kind));
    }
  }

  /** What is settled of an intent. */
  factOf<K extends SettlementKind>(intent: string, kind: K): SettledData[K] | undefined {
    return this.#facts.get(keyOf(intent, kind)) as SettledData[K] | undefined;
  }

  /** Asks for it, and waits for the decision. Null: given up. One at a time for each kind and intent. */
  async settle<K extends SettlementKind>(
    intent: Event,
    answer: AnswerOf<K>,
    signal: AbortSignal,
  ): Promise<Settled<K> | null> {
    const { id } = intent.meta;
    const kind = answer.kind as K;
    const key = keyOf(id, kind);
    const attempt = this.#attempts.get(key) ?? 0;
    this.#attempts.set(key, attempt + 1);
    const command = commandId(Date.parse(intent.meta.time), `settle/${id}/${kind}/${this.#options.epoch()}.${attempt}`);
    const decision = Promise.withResolvers<Decided | null>();
    const giveUp = (): void => decision.resolve(null);
    signal.addEventListener('abort', giveUp, { once: true });
    if (signal.aborted) giveUp();
    this.#waiting.set(key, { command, decided: decision.resolve });
    try {
      if (this.factOf(id, kind) === undefined) {
        await Promise.race([this.#send(command, intent, answer, signal), decision.promise]);
        const decided = await decision.promise;
        if (decided === null) return null;
        // One that another command has settled is refused, and settled all the same.
        if (!decided.ok && this.factOf(id, kind) === undefined) return decided;
      }
    } finally {
      this.#waiting.delete(key);
      signal.removeEventListener('abort', giveUp);
    }
    const fact = this.factOf(id, kind);
    if (fact !== undefined && isAsAnswered(answer, fact)) return { ok: true, fact };
    return { ok: false, code: '', text: `it was settled before, and otherwise: ${JSON.stringify(fact ?? null)}` };
  }

  async #send(command: string, intent: Event, answer: Settlement, signal: AbortSignal): Promise<void> {
    const { commands, clock, host } = this.#options;
    const { id, correlationid } = intent.meta;
    const data = { intent: id, answer };
    const body = JSON.stringify({ type: 'SettleIntent', id: command, correlationid, data });
    const subject = subjects.command(this.#actor, host);
    for (let tries = 0; !signal.aborted; tries++) {
      const appended = await commands.append({ subject, body, id: `${this.#actor}/${command}` });
      if (appended.kind === 'appended') return;
      await sleep(clock, Math.min(2 ** tries, retryMsMax));
    }
  }
}
