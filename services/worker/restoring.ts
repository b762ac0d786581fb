/**
 * Interfaces that plugins have lent and that are lost, after a reboot above all. Only the plugin can make them again: it is asked
 * apart from all repairs, which do without them until they are there.
 */
import type { Device } from '../../drivers/objects.ts';
import type { Operation } from '../../drivers/port.ts';

export interface RestoringOptions {
  /** Has a plugin make the link of an endpoint once more. Answers whether it is there; never rejects. */
  readonly lend: (endpointId: string) => Promise<boolean>;
  /** Called when there is something to repair. */
  readonly repair: () => void;
  readonly onFault: (error: unknown) => void;
}

const isLost = ({ op, object }: Operation): boolean =>
  op === 'create' && object.kind === 'device' && object.source.type === 'moved';

export class Restoring {
  readonly #options: RestoringOptions;
  /** Endpoints whose plugins are being asked. */
  readonly #asked = new Set<string>();
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
    for (const { tag } of missing) this.#ask(tag.id);
    const stands = ({ object }: Operation): boolean =>
      missing.some(
        ({ netns, name }) =>
          (object.kind === 'device' && object.netns === netns && object.name === name) ||
          (object.kind === 'route' && object.netns === netns && object.device === name),
      );
    return operations.filter((operation) => operation.op === 'delete' || !stands(operation));
  }

  #ask(endpointId: string): void {
    if (this.#asked.has(endpointId)) return;
    this.#asked.add(endpointId);
    this.#options
      .lend(endpointId)
      .then((isThere) => {
        this.#asked.delete(endpointId);
        if (isThere) this.#there.add(endpointId);
        this.#options.repair();
      })
      .catch(this.#options.onFault);
  }
}
