/** Whether a commit is one that its subject's writer makes: who wrote it, under which ids, and what of it can be read. Pure. */
import { commitHeaders, decodeCommit, type Event } from '../../events/envelope.ts';
import { decodeToken, Id, isChunk, subjects } from '../../events/names.ts';
import type { Message } from '../lib/stream.ts';
import type { FindingKind } from './finding.ts';

/** The command that a decision names, as it is stored. */
export interface KnownCommand {
  readonly actor: string;
  readonly digest: string;
}

/** A command by its position; undefined where it is not kept any more, null where there is none. */
export type CommandAt = (position: number) => KnownCommand | null | undefined;

export interface Odd {
  readonly kind: FindingKind;
  readonly detail: string;
}

export interface Writers {
  /** Problems of one commit. */
  readonly odd: readonly Odd[];
  readonly events: readonly Event[];
  /** Written by a program that is not ours: its ids and headers are its own. */
  readonly isForeign: boolean;
}

const ownSource = '/cnm/';
const rounds = /^\d+-\d+$/;

/** Who may write to a subject: `controller` or `worker/HOST`; null for a subject that the log does not have. */
const writerOf = (subject: string): string | null => {
  const [, , kind = '', token = ''] = subject.split('.');
  if (subject === subjects.realm) return 'controller';
  if (kind === 'realm' && Id.safeParse(token).success && subject === subjects.network(token)) return 'controller';
  const [host, outcome] = [decodeToken(token), decodeToken(kind)];
  if (host !== null && subject === subjects.host(host)) return 'controller';
  return outcome !== null && subject === subjects.outcome(outcome) ? `worker/${outcome}` : null;
};

/** A segment is opened by nobody who runs: by `cnm audit segment`. */
const segmentWriter = 'segment';

/** Checks messages one by one, in log order. */
export class WriterCheck {
  /** Whose log it is; the first commit of ours says so where nobody else did. */
  realm: string | null;
  readonly #commandAt: CommandAt | null;
  /** Ids of commits. */
  readonly #used = new Set<string>();
  readonly #writers = new Map<string, string | null>();

  constructor(realm: string | null, commandAt: CommandAt | null) {
    this.realm = realm;
    this.#commandAt = commandAt;
  }

  take(message: Message): Writers {
    const { subject } = message;
    // What it must hold is said by what opens the segment (segment-check.ts).
    if (isChunk(subject)) return { odd: this.#idOdd(message), events: [], isForeign: false };
    const writer = this.#writer(subject);
    if (writer === null)
      return {
        odd: [{ kind: 'forged', detail: `no writer has the subject ${subject}` }],
        events: [],
        isForeign: false,
      };
    let events: readonly Event[];
    try {
      events = decodeCommit(message.body, subject);
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      return { odd: [{ kind: 'unreadable', detail }], events: [], isForeign: false };
    }
    const isReport = writer !== 'controller';
    // Reports that do not fit have no events and count for nothing: only the chain covers them.
    if (isReport && !events.some(({ meta }) => String(meta.source).startsWith(ownSource)))
      return { odd: this.#idOdd(message), events, isForeign: true };
    const from = events.some(({ type }) => type === 'SegmentOpened') ? segmentWriter : writer;
    const odd = [...this.#idOdd(message), ...this.#sourceOdd(from, events), ...eventIdsOdd(message, events)];
    if (!isReport) odd.push(...this.#decisionOdd(message, events));
    return { odd, events, isForeign: false };
  }

  #writer(subject: string): string | null {
    const known = this.#writers.get(subject);
    if (known !== undefined) return known;
    const writer = writerOf(subject);
    this.#writers.set(subject, writer);
    return writer;
  }

  #idOdd(message: Message): Odd[] {
    const id = message.header('Nats-Msg-Id');
    if (id === '') return [];
    if (this.#used.has(id)) return [{ kind: 'forged', detail: `the commit id ${id} was used before` }];
    this.#used.add(id);
    return [];
  }

  #sourceOdd(writer: string, events: readonly Event[]): readonly Odd[] {
    const [first] = events;
    if (first === undefined) return [];
    this.realm ??= String(first.meta.source).split('/')[2] ?? '';
    const source = `${ownSource}${this.realm}/${writer}`;
    const other = events.find(({ meta }) => meta.source !== source);
    return other ? [{ kind: 'forged', detail: `${other.meta.source} does not write to this subject` }] : [];
  }

  #decisionOdd(message: Message, events: readonly Event[]): readonly Odd[] {
    const odd: Odd[] = [];
    const isOpening = events.some(({ type }) => type === 'RealmOpened' || type === 'SegmentOpened');
    // Without any event it is a fence, which decides nothing.
    if (events.length > 0 && !isOpening && !rounds.test(message.header(commitHeaders.commands)))
      odd.push({ kind: 'forged', detail: `it does not say which commands it decides (${commitHeaders.commands})` });
    // Nothing of it is sure: what was tampered with may lack any field.
    for (const { type, data } of events)
      if (
        (type === 'RealmOpened' || type === 'SegmentOpened') &&
        (data as Partial<typeof data> | undefined)?.realm !== this.realm
      )
        odd.push({ kind: 'forged', detail: `it opens another realm, and this log is of ${this.realm}` });
    for (const { meta } of events) {
      const known = meta.commandseq === undefined ? undefined : this.#commandAt?.(meta.commandseq);
      if (known === undefined) continue;
      if (known === null)
        odd.push({ kind: 'forged', detail: `it decides the command at ${meta.commandseq}, which is not there` });
      else if (known.actor !== meta.actor || known.digest !== meta.commanddigest)
        odd.push({ kind: 'forged', detail: `the command at ${meta.commandseq} is another, by ${known.actor}` });
    }
    return odd;
  }
}

const eventIdsOdd = (message: Message, events: readonly Event[]): readonly Odd[] => {
  const id = message.header('Nats-Msg-Id');
  for (const [index, { meta }] of events.entries())
    if (meta.id !== `${id}.${index}`)
      return [{ kind: 'altered', detail: `event ${index} has the id ${meta.id} in the commit ${id || 'without id'}` }];
  return [];
};
