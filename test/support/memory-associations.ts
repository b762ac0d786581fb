/** What encrypts packets between hosts on the machine in memory: it outlives its kernels. */
import type {
  Association,
  AssociationChange,
  Associations,
  KernelFault,
  KeyedAssociation,
  PlanResult,
} from '../../drivers/port.ts';

const fault = (errno: string, text: string): KernelFault => ({
  code: 'KERNEL_ERROR',
  step: 'change associations',
  errno,
  text,
  retryable: false,
  undoFaults: [],
});

/** A destination has each number once. */
const keyOf = ({ destination, spi }: Association): string => `${destination} ${spi}`;

export class MemoryAssociations {
  readonly #present = new Map<string, KeyedAssociation>();
  guarded = false;
  /** No ESP: nothing can be added. */
  able = true;

  /** @param hasTunnel whether the machine has a tunnel that needs the guard */
  change({ guard, add, remove }: AssociationChange, hasTunnel: boolean): PlanResult {
    if (guard) this.guarded = true;
    for (const each of add) {
      if (!this.able) return { ok: false, fault: fault('EPROTONOSUPPORT', 'Requested type not found') };
      if (this.#present.has(keyOf(each))) return { ok: false, fault: fault('EEXIST', 'exists already') };
      if (!/^[0-9a-f]{72}$/.test(each.key)) return { ok: false, fault: fault('EINVAL', 'no key') };
      this.#present.set(keyOf(each), each);
    }
    for (const each of remove) this.#present.delete(keyOf(each));
    if (!guard && !hasTunnel) this.guarded = false;
    return { ok: true };
  }

  get found(): Associations {
    const present = [...this.#present.values()].map(({ source, destination, spi }) => ({ source, destination, spi }));
    return { present, guarded: this.guarded };
  }

  /** Its key, as only a kernel knows it. */
  keyOf(association: Association): string | undefined {
    return this.#present.get(keyOf(association))?.key;
  }

  /** Somebody removes one, or all: `ip xfrm state flush`. */
  lose(association?: Association): void {
    if (association) this.#present.delete(keyOf(association));
    else this.#present.clear();
  }
}
