/** The log folded into the state of every boundary, in log order: what controllers and workers decide and act on. */
import { type CommandRecord, foldCommand } from '../../events/command-record.ts';
import { commitHeaders, type Event } from '../../events/envelope.ts';
import { evolve, forget } from '../../events/evolve.ts';
import { fits } from '../../events/fits.ts';
import { decodeToken, subjects } from '../../events/names.ts';
import { type BoundaryState, commandKey, initialState, type SharedState, sharedState } from '../../events/state.ts';
import { type Folding, foldOrWait, type ParkedBoundary, settleParked, Unfoldable } from './boundary-parking.ts';
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
  /** What it cannot get past; null: nothing, as nearly always. */
  parked: ParkedBoundary | null;
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
  /** Boundaries that stand still. */
  readonly parked: Set<Boundary>;
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
  parked: new Set(),
  position: 0,
  isTorn: false,
  roundFrom: 1,
});

const untouched = { head: null, outcomeHead: null, decidedThrough: 0, parked: null, term: 0 } as const;

/** The boundary of a host, or the one of no host. */
export const boundaryOf = (realm: Realm, host: string | null): Boundary => {
  const subject = host === null ? subjects.realm : subjects.host(host);
  let boundary = realm.boundaries.get(subject);
  if (!boundary) {
    boundary = { subject, host, state: initialState(realm.shared), ...untouched };
    realm.boundaries.set(subject, boundary);
  }
  return boundary;
};

/** The boundary of a realm network: what is unique in it, and whether it is there, is guarded by its head. */
export const networkBoundary = (realm: Realm, id: string): Boundary => {
  let boundary = realm.networks.get(id);
  if (!boundary) {
    const { state } = boundaryOf(realm, null);
    boundary = { subject: subjects.network(id), host: null, state, ...untouched };
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
  /** A commit is folded in, or waits where its boundary is parked. */
  folded?(boundary: Boundary, position: number, message: Message): void;
  /** A boundary stands still from here on: see `parked` of it. */
  parked?(boundary: Boundary): void;
  /** It goes on, and what waited is folded in. */
  released?(boundary: Boundary): void;
}

/** The key of the command whose record an event moves on. */
const recordKey = (event: Event): string =>
  event.type === 'CommandTimedOut'
    ? commandKey(event.data.actor, event.data.commandId)
    : commandKey(event.meta.actor, event.meta.commandid);

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
      listener.before?.(boundary, event);
      isHeard = true;
      const key = recordKey(event);
      const running = state.progress.get(key);
      evolve(state, event, position);
      if (running && !state.progress.has(key)) ended.push(foldCommand(running, event, position));
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
  boundary.head = message;
  noteAwaited(realm, message);
  boundary.term = Math.max(boundary.term, Number(message.header(commitHeaders.term)) || 0);
  boundary.decidedThrough = Math.max(boundary.decidedThrough, through);
  realm.roundFrom = Math.max(realm.roundFrom, from);
  realm.isTorn = message.header(batchHeaders.id) !== '' && message.header(batchHeaders.commit) === '';
};

/** Folds one stored message. @throws UnreadableCommit for what is newer than this version */
export const applyMessage = (realm: Realm, message: Message, listener: RealmListener = {}): void => {
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
  else boundary.outcomeHead = message;
  if (message.subject === subjects.realm) settleParked(realm, message, folding);
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
