/** Whether what a segment begins with is what was signed: by its signature, and by the state in the messages behind it. Pure. */
import { createHash, type Hash, type KeyObject, verify } from 'node:crypto';
import type { Event } from '../../events/envelope.ts';
import { isChunk, subjects } from '../../events/names.ts';
import { signedText } from '../../events/segment-event.ts';
import { openedThrough, type SegmentData } from '../lib/opening.ts';
import type { Message } from '../lib/stream.ts';
import type { ChainState } from './chain.ts';
import type { Finding, FindingKind } from './finding.ts';

export class SegmentCheck {
  readonly #keys: ReadonlyMap<string, KeyObject>;
  readonly #add: (finding: Finding) => void;
  #data: SegmentData | null = null;
  #hash: Hash | null = null;

  constructor(keys: ReadonlyMap<string, KeyObject>, add: (finding: Finding) => void) {
    this.#keys = keys;
    this.#add = add;
  }

  /** Whether the log begins with a segment. */
  get isOpen(): boolean {
    return this.#data !== null;
  }

  /** @param start where the stretch begins behind; `chain` what it adds up to before this message */
  take(message: Message, events: readonly Event[], start: number, chain: ChainState): void {
    const { position, subject, body } = message;
    const [first] = events;
    if (first?.type === 'SegmentOpened') {
      if (position !== start + 1)
        this.#find(position, 'forged', subject, 'a segment is opened in the middle of the log');
      else this.#open(position, first.data, chain);
      return;
    }
    const data = this.#data;
    const isState = data !== null && position > data.first && position <= openedThrough(data);
    if (isState !== isChunk(subject)) {
      this.#find(position, 'forged', subject, isState ? 'it stands within the state' : 'it is no part of a state here');
    } else if (data !== null && isState) {
      if (subject !== subjects.segment(position - data.first - 1))
        this.#find(position, 'order', subject, 'parts of the state are in another order');
      this.#hash?.update(body);
      if (position === openedThrough(data)) this.#close(data);
    }
  }

  end(last: number): void {
    if (this.#hash !== null && this.#data !== null && last < openedThrough(this.#data))
      this.#find(last + 1, 'cut', '', `the state that the segment begins with goes on to ${openedThrough(this.#data)}`);
  }

  #open(position: number, data: SegmentData, chain: ChainState): void {
    const says = [data.first, data.previous.last, data.previous.digest].join(' ');
    if (says !== [position, chain.position, chain.digest].join(' '))
      this.#find(position, 'altered', subjects.realm, 'it does not go on from where the segment before ends');
    const key = this.#keys.get(data.key);
    if (this.#keys.size > 0 && !key)
      this.#find(
        position,
        'checkpoint',
        subjects.realm,
        `signed with the key ${data.key}, which is none of those given`,
      );
    const signature = Buffer.from(data.signature, 'base64url');
    const isRight = signature.toString('base64url') === data.signature;
    if (key && !(isRight && verify(null, Buffer.from(signedText(data)), key, signature)))
      this.#find(position, 'checkpoint', subjects.realm, 'the signature is not of what it says');
    this.#data = data;
    this.#hash = createHash('sha256');
  }

  #close({ first, state }: SegmentData): void {
    const digest = this.#hash?.digest('base64url');
    this.#hash = null;
    if (digest !== state)
      this.#find(first + 1, 'altered', '', 'the state is not the one that the segment was opened with');
  }

  #find(position: number, kind: FindingKind, subject: string, detail: string): void {
    this.#add({ position, kind, subject, detail });
  }
}
