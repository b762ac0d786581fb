/** The boundaries of a realm, each with its state and its last commits: what folding the log makes. */
import { decodeToken, subjects } from '../../events/names.ts';
import { type BoundaryState, initialState, isLost, type SharedState, sharedState } from '../../events/state.ts';
import type { ParkedBoundary } from './boundary-parking.ts';
import { type CommitHead, type HeadBearer, YoungHeads } from './commit-head.ts';
import type { Opening, SegmentData } from './opening.ts';

export interface Boundary extends HeadBearer {
  /** Subject of its decisions, the one that is guarded. */
  readonly subject: string;
  /** Null for the boundary of commands that reach no host. */
  readonly host: string | null;
  readonly state: BoundaryState;
  /** The last commit of decisions. */
  head: CommitHead | null;
  /** The last report of its worker. */
  outcomeHead: CommitHead | null;
  /** The last command in the command stream that anything was decided of here; others before it may wait. */
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
  /** Of its boundaries. */
  readonly youngHeads: YoungHeads;
  /** Boundaries that stand still. */
  readonly parked: Set<Boundary>;
  /** Position of the last commit that is folded in. */
  position: number;
  /** When all boundaries forgot what they need not remember any more, by the server's clock. */
  forgottenMs: number;
  /** What follows belongs to the same atomic batch: until it is folded in as well, nothing may be decided. */
  isTorn: boolean;
  /** Every command before this position in the command stream is decided, on whatever boundary. */
  roundFrom: number;
  /** The segment that the log begins with; null for a log from its opening on. */
  segment: SegmentData | null;
  /** While its state is not whole. */
  opening: Opening | null;
}

/** @param memoryMs how long it is remembered which commands were decided (`SharedState`); 30 days when left out */
export const emptyRealm = (memoryMs?: number): Realm => ({
  boundaries: new Map(),
  networks: new Map(),
  shared: sharedState(memoryMs),
  awaited: new Set(),
  youngHeads: new YoungHeads(),
  parked: new Set(),
  position: 0,
  forgottenMs: 0,
  isTorn: false,
  roundFrom: 1,
  segment: null,
  opening: null,
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

const boundaryAt = (realm: Realm, subject: string): Boundary => {
  const [, family, kind = '', token = ''] = subject.split('.');
  if (family !== 'event') return boundaryOf(realm, decodeToken(kind));
  if (kind === 'host') return boundaryOf(realm, decodeToken(token));
  return subject === subjects.realm ? boundaryOf(realm, null) : networkBoundary(realm, token);
};

/** The boundary that a message of decisions or reports belongs to: it may become a head there. */
export const boundaryFor = (realm: Realm, subject: string): Boundary => {
  const boundary = boundaryAt(realm, subject);
  realm.youngHeads.note(boundary, realm.position);
  return boundary;
};

/** Hosts that a worker has reported on, with their states; without those that are declared lost. */
export const knownHosts = (realm: Realm): ReadonlyMap<string, BoundaryState> => {
  const hosts = new Map<string, BoundaryState>();
  for (const { host, state } of realm.boundaries.values()) {
    if (host !== null && state.facts.has('host') && !isLost(state)) hosts.set(host, state);
  }
  return hosts;
};
