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

const endsOf = ({ source, destination }: Association): string => `${source} ${destination}`;

export class MemoryAssociations {
  readonly #present = new Map<string, KeyedAssociation>();
  guarded = false;
  /** No ESP: nothing can be added. */
  able = true;
  /** Those that cannot be added. */
  refuses: (association: Association) => boolean = () => false;

  /** @param hasTunnel whether the machine has a tunnel that needs the guard */
  change({ guard, add, remove }: AssociationChange, hasTunnel: boolean): PlanResult {
    if (guard) this.guarded = true;
    const faults: KernelFault[] = [];
    const kept = new Set<string>();
    for (const each of add) {
      const refused = this.#refusal(each);
      if (refused) {
        faults.push(refused);
        kept.add(endsOf(each));
      } else this.#present.set(keyOf(each), each);
    }
    for (const each of remove) if (!kept.has(endsOf(each))) this.#present.delete(keyOf(each));
    if (!guard && !hasTunnel) this.guarded = false;
    const [first] = faults;
    return first ? { ok: false, fault: first } : { ok: true };
  }

  #refusal(each: KeyedAssociation): KernelFault | null {
    if (!this.able) return fault('EPROTONOSUPPORT', 'Requested type not found');
    if (this.refuses(each)) return fault('ENOMEM', 'refused');
    if (this.#present.has(keyOf(each))) return fault('EEXIST', 'exists already');
    return /^[0-9a-f]{72}$/.test(each.key) ? null : fault('EINVAL', 'no key');
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
