/** Keys of sealed values in memory, which may be out of reach. */
import type { SealKeys } from '../../services/lib/seal-keys.ts';

export class MemoryKeys implements SealKeys {
  readonly kept = new Map<string, Uint8Array>();
  /** Subjects in the order in which somebody wanted them erased. */
  readonly asked: string[] = [];
  isAway = false;

  async get(subject: string): Promise<Uint8Array | null> {
    return this.kept.get(subject) ?? null;
  }

  async make(subject: string, key: Uint8Array): Promise<Uint8Array> {
    const there = this.kept.get(subject) ?? key;
    this.kept.set(subject, there);
    return there;
  }

  async erase(subject: string): Promise<boolean> {
    this.asked.push(subject);
    if (this.isAway) throw new Error('nobody answers');
    return this.kept.delete(subject);
  }
}
