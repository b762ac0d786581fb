/** Seals values for a subject and opens them, with the keys on the server and what the log says is shredded. */
import { randomBytes } from 'node:crypto';
import type { SealKeys } from '../lib/seal-keys.ts';
import { NatsFault } from '../nats/fault.ts';
import { KEY_BYTES, SealFault, seal, sealedIn, subjectOf, unseal } from './sealing.ts';

export interface SealDeps {
  readonly keys: SealKeys;
  readonly isShredded: (subject: string) => Promise<boolean>;
}

export class Seals {
  readonly #deps: SealDeps;

  constructor(deps: SealDeps) {
    this.#deps = deps;
  }

  /**
   * The text as a value for a label. The first value of a subject makes its key.
   * @throws SealFault SEAL_INVALID, SUBJECT_SHREDDED; NatsFault
   */
  async seal(subject: string, text: string): Promise<string> {
    // Before a key is made that nothing is sealed with.
    seal(new Uint8Array(KEY_BYTES), subject, text);
    const { keys } = this.#deps;
    await this.#refuseShredded(subject);
    const key = (await keys.get(subject)) ?? (await keys.make(subject, randomBytes(KEY_BYTES)));
    // Decided while the key was made: whoever erases it looks a second time.
    await this.#refuseShredded(subject);
    return seal(key, subject, text);
  }

  /** @throws SealFault SEAL_DAMAGED, SEAL_NO_KEY, SUBJECT_SHREDDED; NatsFault NOT_PERMITTED for whoever may not read keys */
  async open(value: string): Promise<string> {
    const subject = subjectOf(value);
    if (subject === null) throw new SealFault('SEAL_DAMAGED', 'it is no sealed value');
    await this.#refuseShredded(subject);
    const key = await this.#deps.keys.get(subject);
    if (key === null) throw new SealFault('SEAL_NO_KEY', `there is no key for ${subject} on this server`);
    return unseal(key, value);
  }

  /** A text for people, with what is sealed in it opened, or else `sealed(SUBJECT)` or `shredded(SUBJECT)` in its place. */
  async opened(text: string): Promise<string> {
    let shown = text;
    for (const value of sealedIn(text)) shown = shown.replaceAll(value, await this.#shown(value));
    return shown;
  }

  async #shown(value: string): Promise<string> {
    const subject = subjectOf(value) ?? '';
    try {
      return await this.open(value);
    } catch (error) {
      if (error instanceof SealFault) return `${error.code === 'SUBJECT_SHREDDED' ? 'shredded' : 'sealed'}(${subject})`;
      if (error instanceof NatsFault) return `sealed(${subject})`;
      throw error;
    }
  }

  async #refuseShredded(subject: string): Promise<void> {
    if (await this.#deps.isShredded(subject))
      throw new SealFault(
        'SUBJECT_SHREDDED',
        `what was sealed for ${subject} is shredded, and nothing is sealed for it`,
      );
  }
}
