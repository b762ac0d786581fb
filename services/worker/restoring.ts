/**
 * Interfaces that plugins have lent and that are lost, after a reboot above all. Only the plugin can make them again: it is asked
 * apart from all repairs, which do without them until they are there. A plugin that cannot is asked again by itself, since a look at
 * everything would find no more than that it is still lost.
 */
import type { Device } from '../../drivers/objects.ts';
import type { Operation } from '../../drivers/port.ts';

export interface RestoringOptions {
  /** Has a plugin make the link of an endpoint once more. Answers whether it is there; never rejects. */
  readonly lend: (endpointId: string) => Promise<boolean>;
  /** The join in which an endpoint is and for which its link is needed; null: for none, or not any more. */
  readonly joinOf: (endpointId: string) => string | null;
  readonly later: (delayMs: number, run: () => void) => void;
  /** Called when there is something to repair. */
  readonly repair: () => void;
  readonly onFault: (error: unknown) => void;
}

/** As the trials of a plugin: 1 s, then 2, 4, … 30 s. */
const pauseMinMs = 1_000;
const pauseMaxMs = 30_000;

/** A link that its plugin could not make again so far. */
interface Waiting {
  readonly joinId: string;
  readonly pauseMs: number;
}

const isLost = ({ op, object }: Operation): boolean =>
  op === 'create' && object.kind === 'device' && object.source.type === 'moved';

export class Restoring {
  readonly #options: RestoringOptions;
  /** Endpoints whose plugins are being asked. */
  readonly #asked = new Set<string>();
  /** Endpoints whose plugins are asked again, at the latest when their pause is over. */
  readonly #waiting = new Map<string, Waiting>();
  /** Endpoints whose links are there again. */
  readonly #there = new Set<string>();

  constructor(options: RestoringOptions) {
    this.#options = options;
  }

  /** Of repairs those that can be made now; for the others plugins are asked. */
  possible(operations: readonly Operation[]): readonly Operation[] {
    const lost = operations.filter(isLost).map(({ object }) => object as Device);
    const missing = lost.filter(({ tag }) => !this.#there.delete(tag.id));
    if (missing.length === 0) return operations;
    for (const { tag } of missing) if (!this.#waits(tag.id)) this.#ask(tag.id, pauseMinMs);
    const stands = ({ object }: Operation): boolean =>
      missing.some(
        ({ netns, name }) =>
          (object.kind === 'device' && object.netns === netns && object.name === name) ||
          (object.kind === 'route' && object.netns === netns && object.device === name),
      );
    return operations.filter((operation) => operation.op === 'delete' || !stands(operation));
  }

  /** A plugin is there, perhaps again: nobody waits any longer. */
  activated(): void {
    for (const endpointId of [...this.#waiting.keys()]) this.#askAgain(endpointId, pauseMinMs);
  }

  /** What waits for another join than the one that it is in waits in vain. */
  #waits(endpointId: string): boolean {
    const joinId = this.#waiting.get(endpointId)?.joinId;
    return joinId !== undefined && joinId === this.#options.joinOf(endpointId);
  }

  /** Not for an endpoint that has left, or has a link of another join: that one is not lost. */
  #askAgain(endpointId: string, pauseMs: number): void {
    const isNeeded = this.#waits(endpointId);
    this.#waiting.delete(endpointId);
    if (isNeeded) this.#ask(endpointId, pauseMs);
  }

  #ask(endpointId: string, pauseMs: number): void {
    const joinId = this.#options.joinOf(endpointId);
    if (joinId === null || this.#asked.has(endpointId)) return;
    this.#asked.add(endpointId);
    this.#options
      .lend(endpointId)
      .then((isThere) => {
        this.#asked.delete(endpointId);
        if (!isThere) return this.#wait(endpointId, { joinId, pauseMs });
        this.#there.add(endpointId);
        this.#options.repair();
      })
      .catch(this.#options.onFault);
  }

  #wait(endpointId: string, waiting: Waiting): void {
    if (this.#options.joinOf(endpointId) !== waiting.joinId) return;
    this.#waiting.set(endpointId, waiting);
    this.#options.later(waiting.pauseMs, () => {
      if (this.#waiting.get(endpointId) === waiting)
        this.#askAgain(endpointId, Math.min(2 * waiting.pauseMs, pauseMaxMs));
    });
  }
}
