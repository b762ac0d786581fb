/**
 * Whether a log, or an export of it, is what was stored: one fold over its messages in order, which knows nothing of where they come
 * from. Pure. What each message says of the one before on its subject (guard and hash) finds what was changed below the last message
 * of a subject; checkpoints and the end of an export cover what is last, positions and times.
 */
import type { KeyObject } from 'node:crypto';
import { recordedOf } from '../lib/recorded.ts';
import type { Message } from '../lib/stream.ts';
import { Chain, type ChainState, isDigest, type WrittenHeads } from './chain.ts';
import { bodyHash, type Checkpoint, isSignedBy, parseCheckpoint } from './checkpoint.ts';
import type { SignedCheckpoint } from './export-format.ts';
import { type Finding, type FindingKind, Findings } from './finding.ts';
import { LinkCheck } from './links.ts';
import { SegmentCheck } from './segment-check.ts';
import { type CommandAt, WriterCheck } from './writers.ts';

export type { Finding } from './finding.ts';

export interface VerifierOptions {
  /** Public keys by id; without any, signatures are not checked. */
  readonly keys?: ReadonlyMap<string, KeyObject>;
  /** What comes before the first message; the beginning of the log when left out. */
  readonly start?: ChainState;
  readonly realm?: string | null;
  /** The commands that decisions name; left out, they are not compared. */
  readonly commandAt?: CommandAt;
}

/** Where it must end. */
export interface Expected {
  readonly last: number;
  /** How many messages; left out, nobody says. */
  readonly messages?: number;
  readonly digest: string;
  readonly heads: WrittenHeads | null;
}

export interface Report {
  readonly first: number;
  readonly last: number;
  readonly messages: number;
  readonly subjects: number;
  readonly checkpoints: number;
  /** All that was found, of which `findings` are the first hundred, lowest position first. */
  readonly found: number;
  readonly findings: readonly Finding[];
  /** Whether it adds up to something else than an end line or a checkpoint says: then nobody can answer for single positions. */
  readonly differs: boolean;
  readonly covered: readonly string[];
  readonly notCovered: readonly string[];
}

export class Verifier {
  readonly #keys: ReadonlyMap<string, KeyObject>;
  readonly #chain: Chain;
  readonly #writers: WriterCheck;
  readonly #findings = new Findings();
  readonly #links = new LinkCheck((finding) => this.#findings.add(finding));
  readonly #segment: SegmentCheck;
  readonly #start: number;
  readonly #withCommands: boolean;
  #first = 0;
  #messages = 0;
  #foreign = 0;
  #claims = 0;
  #recordedMs = 0;
  /** Up to here a digest that somebody vouches for is the same as ours. */
  #anchor: number;
  #differs = false;
  #checkpoints = 0;
  #signed = 0;
  #previous: string | null;

  constructor({ keys = new Map(), start, realm = null, commandAt }: VerifierOptions = {}) {
    this.#keys = keys;
    this.#chain = new Chain(start);
    this.#segment = new SegmentCheck(keys, (finding) => this.#findings.add(finding));
    this.#writers = new WriterCheck(realm, commandAt ?? null);
    this.#withCommands = commandAt !== undefined;
    this.#start = this.#chain.position;
    this.#anchor = this.#start;
    // The first checkpoint of all names none before it; behind the beginning nobody knows which came before.
    this.#previous = this.#start === 0 ? '' : null;
  }

  take(message: Message): void {
    const { position, subject } = message;
    this.#place(position);
    const recordedMs = recordedOf(message);
    if (recordedMs < this.#recordedMs) this.#find(position, 'order', subject, 'recorded before the one before it');
    this.#recordedMs = Math.max(this.#recordedMs, recordedMs);
    const { odd, events, isForeign } = this.#writers.take(message);
    for (const { kind, detail } of odd) this.#find(position, kind, subject, detail);
    if (isForeign) this.#foreign += 1;
    for (const { meta } of events) if (meta.commandseq !== undefined && meta.actorproof !== 'nats') this.#claims += 1;
    this.#segment.take(message, events, this.#start, this.#chain);
    if (position === this.#first && this.#segment.isOpen) this.#links.begin = position;
    const isForged = odd.some(({ kind }) => kind === 'forged');
    this.#links.take(message, this.#chain.heads.get(subject), isForged);
    this.#chain.take(message);
    this.#messages += 1;
  }

  checkpoint(signed: SignedCheckpoint): void {
    this.#checkpoints += 1;
    const body = parseCheckpoint(signed.checkpoint);
    const here = this.#chain.position;
    const wrong = body === null ? 'not a checkpoint' : this.#wrongIn(body, signed);
    const missing = body !== null && this.#previous !== null && body.previous !== this.#previous;
    if (missing) this.#find(body.position, 'checkpoint', '', 'a checkpoint before it is missing or is another');
    this.#previous = bodyHash(signed.checkpoint);
    if (body === null || wrong !== null) this.#find(body?.position ?? here, 'checkpoint', '', wrong ?? '');
    else if (body.position > here) this.#cut(body.position, 'a checkpoint');
    else {
      if (this.#keys.size > 0) this.#signed = here;
      this.#compare(`the checkpoint at ${here}`, body);
    }
  }

  /** Where it stands: what somebody goes on from who writes the next stretch. */
  get chain(): ChainState {
    return this.#chain;
  }

  get isWhole(): boolean {
    return this.#findings.count === 0;
  }

  /** What comes next cannot be read at all. */
  unreadable(detail: string): void {
    this.#find(this.#chain.position + 1, 'unreadable', '', detail);
  }

  /** There is no end line: it was not written to its end, or is cut. */
  unfinished(): void {
    this.#find(this.#chain.position + 1, 'cut', '', 'there is no end line');
  }

  /** @param expected what the end line of an export says; null for one without */
  report(expected: Expected | null = null): Report {
    if (expected && expected.last > this.#chain.position) this.#cut(expected.last, 'the end line');
    else if (expected && expected.last < this.#chain.position)
      this.#find(expected.last + 1, 'forged', '', `behind the end, which is ${expected.last}`);
    else if (expected) this.#compare('the end line', expected);
    if ((expected?.messages ?? this.#messages) !== this.#messages)
      this.#find(this.#chain.position, 'cut', '', `${this.#messages} messages, and the end line counts others`);
    this.#segment.end(this.#chain.position);
    this.#links.end(this.#findings);
    return {
      first: this.#first,
      last: this.#chain.position,
      messages: this.#messages,
      subjects: this.#chain.heads.size,
      checkpoints: this.#checkpoints,
      found: this.#findings.count,
      findings: this.#findings.list(),
      differs: this.#differs,
      ...this.#coverage(),
    };
  }

  #find(position: number, kind: FindingKind, subject: string, detail: string): void {
    this.#findings.add({ position, kind, subject, detail });
  }

  /** Why a checkpoint counts for nothing. */
  #wrongIn({ realm, key: id, position }: Checkpoint, signed: SignedCheckpoint): string | null {
    const key = this.#keys.get(id);
    if (this.#keys.size > 0 && !key) return `signed with the key ${id}, which is none of those given`;
    if (key && !isSignedBy(signed, key)) return 'the signature is not of this text';
    if (this.#writers.realm !== null && realm !== this.#writers.realm) return `it is of the realm ${realm}`;
    return position < this.#chain.position ? `it stands behind position ${this.#chain.position}` : null;
  }

  #cut(last: number, who: string): void {
    const here = this.#chain.position;
    this.#find(here + 1, 'cut', '', `it ends at ${here}, and ${who} is of position ${last}`);
  }

  #place(position: number): void {
    const next = this.#chain.position + 1;
    if (this.#first === 0) this.#first = position;
    if (position > next) {
      const many = position - next > 1 ? ` to ${position - 1}` : '';
      this.#find(next, 'gap', '', `${next}${many} is not there`);
    } else if (position < next) this.#find(position, 'order', '', `it stands behind position ${next - 1}`);
  }

  /** Compares with what somebody says that the log adds up to here. */
  #compare(who: string, { heads, digest }: { readonly heads: WrittenHeads | null; readonly digest: string }): void {
    const here = this.#chain.position;
    if (heads !== null) this.#compareHeads(who, heads);
    const isSame = this.#chain.digest === digest;
    this.#differs ||= !isSame;
    const isKnown = this.#findings.within(this.#anchor + 1, here);
    if (!isSame && !isKnown) {
      const detail = `positions, order or times from here to ${here} are not those of ${who}`;
      this.#find(Math.min(this.#anchor + 1, here), 'altered', '', detail);
    }
    // What comes behind is compared on its own.
    if (!isSame && isDigest(digest)) this.#chain.digest = digest;
    this.#anchor = here;
  }

  #compareHeads(who: string, heads: WrittenHeads): void {
    for (const [subject, { position, hash }] of this.#chain.heads) {
      const [known = 0, hashed = ''] = (Object.hasOwn(heads, subject) && heads[subject]) || [];
      if (known === position) {
        if (!this.#links.settle(subject, hash === hashed) && hash !== hashed)
          this.#find(position, 'altered', subject, `${who} names another hash`);
      } else if (known < position) this.#find(position, 'forged', subject, `${who} does not know it`);
    }
    for (const [subject, [position]] of Object.entries(heads))
      if (position > (this.#chain.heads.get(subject)?.position ?? 0))
        this.#find(position, 'removed', subject, `${who} names it`);
  }

  #coverage(): Pick<Report, 'covered' | 'notCovered'> {
    const last = this.#chain.position;
    const covered = ['every message that another one stands behind on its subject, by guard and hash'];
    if (this.#anchor > this.#start) covered.push(`order, positions, times and last messages up to ${this.#anchor}`);
    if (this.#signed > 0) covered.push(`all up to ${this.#signed}, by signatures`);
    if (this.#withCommands) covered.push('decisions, by the commands that are still kept');
    const notCovered: string[] = [];
    if (this.#anchor < last) notCovered.push(`order, times and last messages behind position ${this.#anchor}`);
    if (this.#signed < last)
      notCovered.push(
        `whether somebody with the writers' credentials wrote anew what is behind position ${this.#signed}`,
      );
    if (this.#segment.isOpen)
      notCovered.push(`what was put away before position ${this.#start + 1}: verify its export`);
    notCovered.push('what whoever holds the signing key has signed');
    if (this.#claims > 0) notCovered.push(`actors of ${this.#claims} decisions: nobody vouches for them`);
    if (this.#foreign > 0) notCovered.push(`${this.#foreign} commits of programs that are not ours`);
    return { covered, notCovered };
  }
}
