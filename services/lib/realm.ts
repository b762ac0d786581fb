/** The log folded into the state of every boundary, in log order: what controllers and workers decide and act on. */
import { type CommandRecord, foldCommand } from '../../events/command-record.ts';
import { commitHeaders, type Event } from '../../events/envelope.ts';
import { evolve, forget } from '../../events/evolve.ts';
import { decodeToken, subjects } from '../../events/names.ts';
import { type BoundaryState, commandKey, initialState, type SharedState, sharedState } from '../../events/state.ts';
import { eventsOf } from './commit.ts';
import { batchHeaders, type Message, type Reader, type Stream } from './stream.ts';

export interface Boundary {
  /** Subject of its decisions, the one that is guarded. */
  readonly subject: string;
  /** Null for the boundary of commands that reach no host. */
  readonly host: string | null;
  readonly state: BoundaryState;
  /** The last commit of decisions: position for the guard, bytes for the chain. */
  head: Message | null;
  /** The last report of its worker. */
  outcomeHead: Message | null;
  /** Every command of this boundary up to this position in the command stream is decided. */
  decidedThrough: number;
  /** The last term of a controller that is stated on its subject; 0: none. On the subject of no host each term is stated first. */
  term: number;
}

export interface Realm {
  /** Of hosts, and of no host. */
  readonly boundaries: Map<string, Boundary>;
  /** Of realm networks, by id: each has a head of its own, and the state of the boundary of no host. */
  readonly networks: Map<string, Boundary>;
  readonly shared: SharedState;
  /**
   * Subjects of hosts whose next commit may create what is admitted already: nothing is decided on what is unique in networks of
   * the realm before it is there, or can come no more.
   */
  readonly awaited: Set<string>;
  /** Position of the last commit that is folded in. */
  position: number;
  /** What follows belongs to the same atomic batch: until it is folded in as well, nothing may be decided. */
  isTorn: boolean;
  /** Every command before this position in the command stream is decided, on whatever boundary. */
  roundFrom: number;
}

export const emptyRealm = (): Realm => ({
  boundaries: new Map(),
  networks: new Map(),
  shared: sharedState(),
  awaited: new Set(),
  position: 0,
  isTorn: false,
  roundFrom: 1,
});

/** The boundary of a host, or the one of no host. */
export const boundaryOf = (realm: Realm, host: string | null): Boundary => {
  const subject = host === null ? subjects.realm : subjects.host(host);
  let boundary = realm.boundaries.get(subject);
  if (!boundary) {
    boundary = {
      ...{ subject, host, state: initialState(realm.shared), head: null, outcomeHead: null },
      ...{ decidedThrough: 0, term: 0 },
    };
    realm.boundaries.set(subject, boundary);
  }
  return boundary;
};

/** The boundary of a realm network: what is unique in it, and whether it is there, is guarded by its head. */
export const networkBoundary = (realm: Realm, id: string): Boundary => {
  let boundary = realm.networks.get(id);
  if (!boundary) {
    const { state } = boundaryOf(realm, null);
    boundary = {
      ...{ subject: subjects.network(id), host: null, state, head: null, outcomeHead: null },
      ...{ decidedThrough: 0, term: 0 },
    };
    realm.networks.set(id, boundary);
  }
  return boundary;
};

/** The boundary that a message of decisions or reports belongs to. */
const boundaryFor = (realm: Realm, subject: string): Boundary => {
  const [, family, kind = '', token = ''] = subject.split('.');
  if (family !== 'event') return boundaryOf(realm, decodeToken(kind));
  if (kind === 'host') return boundaryOf(realm, decodeToken(token));
  return subject === subjects.realm ? boundaryOf(realm, null) : networkBoundary(realm, token);
};

/** Hosts that a worker has reported on, with their states. */
export const knownHosts = (realm: Realm): ReadonlyMap<string, BoundaryState> => {
  const hosts = new Map<string, BoundaryState>();
  for (const { host, state } of realm.boundaries.values()) {
    if (host !== null && state.facts.has('host')) hosts.set(host, state);
  }
  return hosts;
};

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
}

/** The key of the command whose record an event moves on. */
const recordKey = (event: Event): string =>
  event.type === 'CommandTimedOut'
    ? commandKey(event.data.actor, event.data.commandId)
    : commandKey(event.meta.actor, event.meta.commandid);

/** Folds one stored message. @throws UnreadableCommit for what this version cannot read */
export const applyMessage = (realm: Realm, message: Message, listener: RealmListener = {}): void => {
  const isDecision = message.subject.startsWith('cnm.event.');
  const boundary = boundaryFor(realm, message.subject);
  const { state } = boundary;
  for (const event of eventsOf(message)) {
    listener.before?.(boundary, event);
    const key = recordKey(event);
    const running = state.progress.get(key);
    evolve(state, event, message.position);
    if (running && !state.progress.has(key)) listener.ended?.(foldCommand(running, event, message.position));
  }
  forget(state, message.recordedMs);
  if (isDecision) {
    const { from, through } = roundOf(message);
    boundary.head = message;
    noteAwaited(realm, message);
    boundary.term = Math.max(boundary.term, Number(message.header(commitHeaders.term)) || 0);
    boundary.decidedThrough = Math.max(boundary.decidedThrough, through);
    realm.roundFrom = Math.max(realm.roundFrom, from);
    realm.isTorn = message.header(batchHeaders.id) !== '' && message.header(batchHeaders.commit) === '';
  } else boundary.outcomeHead = message;
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
