/** The log folded into the state of every boundary, in log order: what controllers and workers decide and act on. */
import { type CommandRecord, foldCommand } from '../../events/command-record.ts';
import { commitHeaders, type Event, UnreadableCommit } from '../../events/envelope.ts';
import { evolve, forget } from '../../events/evolve.ts';
import { isChunk } from '../../events/names.ts';
import { commandKey } from '../../events/state.ts';
import { type Boundary, boundaryFor, boundaryOf, emptyRealm, type Realm } from './boundaries.ts';
import { eventsOf } from './commit.ts';
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
  /** A commit is folded in. */
  folded?(boundary: Boundary, position: number, message: Message): void;
  /** A segment begins: everything that it carries over is in place, and nothing was told of it one by one. */
  opened?(realm: Realm, opening: Opening): void;
}

/** The key of the command whose record an event moves on. */
const recordKey = (event: Event): string =>
  event.type === 'CommandTimedOut'
    ? commandKey(event.data.actor, event.data.commandId)
    : commandKey(event.meta.actor, event.meta.commandid);

/** Puts the state in place that a segment begins with, once all of it is there. */
const openSegment = (realm: Realm, message: Message, listener: RealmListener): void => {
  const { opening } = realm;
  if (opening === null) throw new UnreadableCommit(`${message.subject} at ${message.position} opens no segment`);
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

/** Folds one stored message. @throws UnreadableCommit for what this version cannot read */
export const applyMessage = (realm: Realm, message: Message, listener: RealmListener = {}): void => {
  if (isChunk(message.subject)) {
    openSegment(realm, message, listener);
    return;
  }
  const isDecision = message.subject.startsWith('cnm.event.');
  const boundary = boundaryFor(realm, message.subject);
  const { state } = boundary;
  for (const event of eventsOf(message)) {
    if (event.type === 'SegmentOpened') {
      realm.segment = event.data;
      realm.opening = new Opening(event.data);
    }
    listener.before?.(boundary, event);
    const key = recordKey(event);
    const running = state.progress.get(key);
    evolve(state, event, message.position);
    if (running && !state.progress.has(key)) listener.ended?.(foldCommand(running, event, message.position));
  }
  forget(state, message.recordedMs);
  if (isDecision) {
    const { from, through } = roundOf(message);
    boundary.head = headOf(message);
    noteAwaited(realm, message);
    boundary.term = Math.max(boundary.term, Number(message.header(commitHeaders.term)) || 0);
    boundary.decidedThrough = Math.max(boundary.decidedThrough, through);
    realm.roundFrom = Math.max(realm.roundFrom, from);
    realm.isTorn = message.header(batchHeaders.id) !== '' && message.header(batchHeaders.commit) === '';
  } else boundary.outcomeHead = headOf(message);
  realm.position = message.position;
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
}

export const followRealm = (log: Stream, options: FollowOptions = {}): FollowedRealm => {
  const realm = emptyRealm();
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
