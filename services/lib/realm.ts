/** The log folded into the state of every boundary, in log order: what controllers and workers decide and act on. */
import { type CommandRecord, foldCommand } from '../../events/command-record.ts';
import { cutsShort } from '../../events/cut-short.ts';
import { commitHeaders, type Event, UnreadableCommit } from '../../events/envelope.ts';
import { evolve, forget } from '../../events/evolve.ts';
import { fits } from '../../events/fits.ts';
import { isChunk, subjects } from '../../events/names.ts';
import { commandKey } from '../../events/state.ts';
import { type Boundary, boundaryFor, boundaryOf, emptyRealm, type Realm } from './boundaries.ts';
import { type Folding, foldOrWait, settleParked, Unfoldable } from './boundary-parking.ts';
import { headBefore, headOf } from './commit-head.ts';
import { Opening } from './opening.ts';
import { RealmReader } from './realm-lines.ts';
import { batchHeaders, type Message, type Reader, type Stream } from './stream.ts';

export { type Boundary, boundaryOf, emptyRealm, knownHosts, networkBoundary, type Realm } from './boundaries.ts';

/** `FROM-THROUGH` of a commit's header; zeros where there is none. */
const roundOf = (message: Message): { readonly from: number; readonly through: number } => {
  const [from = 0, through = 0] = message.header(commitHeaders.commands).split('-').map(Number);
  return { from, through };
};

export const awaitingText = (heads: readonly (readonly [subject: string, position: number])[]): string =>
  heads.map(([subject, position]) => `${subject}=${position}`).join(',');

/** Whoever has committed to a subject since has ended the wait for it, whatever came. */
const noteAwaited = (realm: Realm, message: Message): void => {
  realm.awaited.delete(message.subject);
  const text = message.header(commitHeaders.awaits);
  for (const part of text === '' ? [] : text.split(',')) {
    const [subject = '', position = ''] = part.split('=');
    const head = boundaryFor(realm, subject).head?.position ?? 0;
    if (head === Number(position)) realm.awaited.add(subject);
  }
};

/** What a listener is told, in log order. */
export interface RealmListener {
  /** Before an event changes the state. */
  before?(boundary: Boundary, event: Event): void;
  /** A command has ended, with its record. */
  ended?(record: CommandRecord): void;
  /** A commit is folded in, or waits where its boundary is parked. */
  folded?(boundary: Boundary, position: number, message: Message): void;
  /** A boundary stands still from here on: see `parked` of it. */
  parked?(boundary: Boundary): void;
  /** It goes on, and what waited is folded in. */
  released?(boundary: Boundary): void;
  /** A segment begins: everything that it carries over is in place, and nothing was told of it one by one. */
  opened?(realm: Realm, opening: Opening): void;
}

/** The keys of the commands whose records an event moves on; a host that is lost takes along all that is under way there. */
const recordKeys = ({ state }: Boundary, event: Event): readonly string[] => {
  if (event.type === 'HostLost') return [...state.progress.keys()];
  const { actor, commandid } = event.meta;
  return [cutsShort(event) ? commandKey(event.data.actor, event.data.commandId) : commandKey(actor, commandid)];
};

/** Puts the state in place that a segment begins with, once all of it is there. */
const openSegment = (realm: Realm, message: Message, listener: RealmListener): void => {
  const { opening } = realm;
  if (opening === null)
    throw new UnreadableCommit(`${message.subject} at ${message.position} opens no segment`, 'newer');
  realm.position = message.position;
  realm.isTorn = true;
  if (opening.take(message)) {
    const reader = new RealmReader(realm);
    for (const line of opening.lines()) reader.take(line);
    for (const [subject, { hash }] of Object.entries(opening.data.previous.heads)) {
      if (isChunk(subject)) continue;
      const boundary = boundaryFor(realm, subject);
      if (subject.startsWith('cnm.event.')) boundary.head ??= headBefore(hash);
      else boundary.outcomeHead ??= headBefore(hash);
    }
    realm.opening = null;
    realm.isTorn = false;
    listener.opened?.(realm, opening);
  }
  listener.folded?.(boundaryOf(realm, null), message.position, message);
};

/** Folds the events of a commit; where one cannot be, the state is as before. @throws Unfoldable */
const foldEvents = (realm: Realm, boundary: Boundary, events: readonly Event[], at: Folded): void => {
  const { state } = boundary;
  const { position, listener } = at;
  const journals = [state.journal, realm.shared.journal];
  const ended: CommandRecord[] = [];
  for (const journal of journals) journal.begin();
  let folding: Event | undefined;
  let isHeard = true;
  try {
    for (const event of events) {
      [folding, isHeard] = [event, false];
      if (event.type === 'SegmentOpened') {
        realm.segment = event.data;
        realm.opening = new Opening(event.data);
      }
      listener.before?.(boundary, event);
      isHeard = true;
      const running = recordKeys(boundary, event).map((key) => [key, state.progress.get(key)] as const);
      evolve(state, event, position);
      for (const [key, record] of running)
        if (record && !state.progress.has(key)) ended.push(foldCommand(record, event, position));
    }
  } catch (error) {
    for (const journal of journals) journal.rollback();
    // Whoever listens may stumble over what does not fit; over anything else it is a defect of its own.
    throw folding && (isHeard || !fits(folding)) ? new Unfoldable(folding, error) : error;
  }
  for (const journal of journals) journal.commit();
  for (const record of ended) listener.ended?.(record);
};

interface Folded {
  readonly position: number;
  readonly listener: RealmListener;
}

/** Notes what the headers of a commit of decisions say; that is known wherever its events wait. */
const noteDecisions = (realm: Realm, boundary: Boundary, message: Message): void => {
  const { from, through } = roundOf(message);
  boundary.head = headOf(message);
  noteAwaited(realm, message);
  boundary.term = Math.max(boundary.term, Number(message.header(commitHeaders.term)) || 0);
  boundary.decidedThrough = Math.max(boundary.decidedThrough, through);
  realm.roundFrom = Math.max(realm.roundFrom, from);
  realm.isTorn = message.header(batchHeaders.id) !== '' && message.header(batchHeaders.commit) === '';
};

/** Of so many actors it is kept what was refused together, whether anybody may ask for it or not. */
export const REFUSED_ACTORS_MAX = 1_024;

/** What was refused together before the oldest command that is not decided nobody asks for any more: no controller reads it again. */
const forgetRefused = ({ shared: { refused }, roundFrom }: Realm): void => {
  if (refused.size <= REFUSED_ACTORS_MAX) return;
  for (const [actor, ranges] of refused) if (ranges.every(({ last }) => last < roundFrom)) refused.delete(actor);
};

/** A commit makes its boundary forget; where none comes any more, as on hosts that are gone, this does. */
const forgetEveryMs = 3_600_000;

const forgetEverywhere = (realm: Realm, recordedMs: number): void => {
  if (recordedMs < realm.forgottenMs + forgetEveryMs) return;
  realm.forgottenMs = recordedMs;
  for (const { state } of realm.boundaries.values()) forget(state, recordedMs);
};

/** Folds one stored message. @throws UnreadableCommit for what is newer than this version */
export const applyMessage = (realm: Realm, message: Message, listener: RealmListener = {}): void => {
  if (isChunk(message.subject)) {
    openSegment(realm, message, listener);
    return;
  }
  const boundary = boundaryFor(realm, message.subject);
  const folding: Folding = {
    fold: (where, events, { position, recordedMs }) => {
      foldEvents(realm, where, events, { position, listener });
      forget(where.state, recordedMs);
    },
    parked: (where) => listener.parked?.(where),
    released: (where) => listener.released?.(where),
  };
  foldOrWait(realm, boundary, message, folding);
  if (message.subject.startsWith('cnm.event.')) noteDecisions(realm, boundary, message);
  else boundary.outcomeHead = headOf(message);
  if (message.subject === subjects.realm) {
    settleParked(realm, message, folding);
    forgetRefused(realm);
  }
  realm.position = message.position;
  forgetEverywhere(realm, message.recordedMs);
  listener.folded?.(boundary, message.position, message);
};

/** A realm that follows the log, and lets callers wait for a position. */
export interface FollowedRealm {
  readonly realm: Realm;
  readonly reader: Reader;
  /** Resolves when the commit at this position (or the last one that passes the filter before it) is folded in. */
  reached(position: number): Promise<void>;
  /** Lets all go on who wait, wherever the realm is. */
  release(): void;
}

export interface FollowOptions {
  /** Subject filters; the whole log when left out. */
  readonly subjects?: readonly string[];
  readonly listener?: RealmListener;
  /** As for `emptyRealm`. */
  readonly memoryMs?: number;
}

export const followRealm = (log: Stream, options: FollowOptions = {}): FollowedRealm => {
  const realm = emptyRealm(options.memoryMs);
  let waiting: { readonly position: number; readonly resolve: () => void }[] = [];
  const onMessage = (message: Message): void => {
    applyMessage(realm, message, options.listener);
    if (waiting.length === 0) return;
    for (const wait of waiting) if (wait.position <= realm.position) wait.resolve();
    waiting = waiting.filter((wait) => wait.position > realm.position);
  };
  const filter = options.subjects === undefined ? {} : { subjects: options.subjects };
  const reader = log.read({ from: 1, ...filter }, onMessage);
  return {
    realm,
    reader,
    reached: (position) =>
      position <= realm.position
        ? Promise.resolve()
        : new Promise((resolve) => {
            waiting.push({ position, resolve });
          }),
    release: () => {
      for (const { resolve } of waiting) resolve();
      waiting = [];
    },
  };
};

/** The state that a log adds up to, without following it: for tests and offline tools. */
export const foldLog = (messages: Iterable<Message>) => {
  const realm = emptyRealm();
  for (const message of messages) applyMessage(realm, message);
  return realm;
};
