/** Whether each message was appended behind the one before on its subject, by the guard and the hash that it carries. Pure. */
import { commitHeaders } from '../../events/envelope.ts';
import type { Message } from '../lib/stream.ts';
import type { Head } from './chain.ts';
import type { Finding, Findings } from './finding.ts';

/** Two neighbours on a subject that do not fit: one of both was changed, and the next message there tells which. */
interface Doubt {
  readonly before: number;
  readonly at: number;
}

const guardHeader = 'Nats-Expected-Last-Subject-Sequence';

export class LinkCheck {
  readonly #add: (finding: Finding) => void;
  /** Position that the log begins at: what was before is known, and no guard finds it. */
  begin = 1;
  /** The last message but one of each subject. */
  readonly #earlier = new Map<string, Head>();
  readonly #doubts = new Map<string, Doubt>();

  constructor(add: (finding: Finding) => void) {
    this.#add = add;
  }

  /**
   * @param before the last message on the subject so far
   * @param isForged found to be none of ours already, so that its guard says nothing of others
   */
  take(message: Message, before: Head | undefined, isForged: boolean): void {
    const { position, subject } = message;
    const previous = message.header(commitHeaders.prevHash);
    const fits = previous === (before?.hash ?? '');
    this.settle(subject, fits);
    const last = this.#guarded(before);
    const guard = message.header(guardHeader);
    const isPlaced = guard === String(last);
    if (!isPlaced && !isForged) this.#misplaced(message, guard, before, fits);
    if (isPlaced && !fits && before) this.#doubts.set(subject, { before: before.position, at: position });
    if (isPlaced && !fits && !before)
      this.#find(position, 'altered', subject, 'the first on its subject, and names one before');
    if (before) this.#earlier.set(subject, before);
  }

  #guarded(before: Head | undefined): number {
    return before && before.position >= this.begin ? before.position : 0;
  }

  /**
   * The next message on a subject, or a checkpoint, tells whether the last one there is what was stored: if so, the one before was changed.
   * @returns whether there was a doubt
   */
  settle(subject: string, isLastRight: boolean): boolean {
    const doubt = this.#doubts.get(subject);
    if (!doubt) return false;
    this.#doubts.delete(subject);
    const next = isLastRight ? 'the next on its subject names another hash' : 'neither neighbour on its subject fits';
    this.#find(isLastRight ? doubt.before : doubt.at, 'altered', subject, next);
    return true;
  }

  /** Nothing comes any more: what is in doubt, and not found otherwise, is named. */
  end(found: Findings): void {
    for (const [subject, { before, at }] of this.#doubts)
      if (!found.within(at, at) && !found.within(before, before))
        this.#find(at, 'altered', subject, `it, or the one before on its subject at ${before}`);
    this.#doubts.clear();
  }

  #misplaced(message: Message, guard: string, before: Head | undefined, fits: boolean): void {
    const { position, subject } = message;
    const previous = message.header(commitHeaders.prevHash);
    const last = this.#guarded(before);
    const stands = `appended behind ${guard || 'any'}, and stands behind ${last}`;
    const earlier = this.#earlier.get(subject);
    if (fits) this.#find(position, 'order', subject, stands);
    else if (earlier && Number(guard) === earlier.position && previous === earlier.hash)
      this.#find(last, 'forged', subject, `it was not there when ${position} was appended`);
    else if (Number(guard) > last)
      this.#find(position, 'removed', subject, `appended behind ${guard}, which is not there`);
    else this.#find(position, 'altered', subject, stands);
  }

  #find(position: number, kind: Finding['kind'], subject: string, detail: string): void {
    this.#add({ position, kind, subject, detail });
  }
}
