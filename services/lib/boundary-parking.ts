/**
 * A boundary with a commit on it that nobody can read, or that cannot be folded: it stands still as it was before that commit, what comes
 * later on it waits in order, and all other boundaries go on. Once it is decided what becomes of the event (ParkedRetried, ParkedDiscarded),
 * what waited is folded in. Of no use where the state of a boundary is at hand alone: what is shown is parked by thing (projections/parking.ts).
 */
import { type CommitPart, type Event, isMalformed } from '../../events/envelope.ts';
import type { Boundary, Realm } from './boundaries.ts';
import { partsOf } from './commit.ts';
import type { Message } from './stream.ts';

export interface ParkedBoundary {
  /** Of the commit that cannot be folded. */
  readonly position: number;
  /** Of the event in it that is in the way. */
  readonly index: number;
  readonly reason: string;
  /** That commit, and all that has come on the boundary since. */
  readonly messages: Message[];
  /** Places in that commit of what was discarded before. */
  readonly discarded: ReadonlySet<number>;
}

/** `812.0` */
export const parkedEvent = ({ position, index }: Pick<ParkedBoundary, 'position' | 'index'>): string =>
  `${position}.${index}`;

/** What boundaries cannot do: takes up the events of a commit, or parks it with all of them. Given by realm.ts. */
export interface Folding {
  /** Changes the state, or throws and has changed nothing. @returns how to tell of it */
  readonly fold: (boundary: Boundary, events: readonly Event[], message: Message) => void;
  readonly parked: (boundary: Boundary) => void;
  readonly released: (boundary: Boundary) => void;
}

/** An event could not be folded; the state is as before its commit. */
export class Unfoldable extends Error {
  override name = 'Unfoldable';
  /** Among those that were to be folded. */
  readonly event: Event;

  constructor(event: Event, cause: unknown) {
    super(`cannot be folded: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.event = event;
  }
}

/** @returns where in the commit it is stuck, and why; null when all of it is folded in */
const foldOne = (
  boundary: Boundary,
  message: Message,
  discarded: ReadonlySet<number>,
  { fold }: Folding,
): Pick<ParkedBoundary, 'index' | 'reason'> | null => {
  const left: (CommitPart | null)[] = partsOf(message).map((part, index) => (discarded.has(index) ? null : part));
  for (const [index, part] of left.entries())
    if (part !== null && isMalformed(part)) return { index, reason: part.malformed };
  const events = left.filter((part): part is Event => part !== null);
  try {
    fold(boundary, events, message);
    return null;
  } catch (error) {
    if (!(error instanceof Unfoldable)) throw error;
    return { index: left.indexOf(error.event), reason: error.message };
  }
};

const nothing: ReadonlySet<number> = new Set();

/** Folds messages of one boundary in order, up to one that cannot be. */
const foldAll = (
  realm: Realm,
  boundary: Boundary,
  messages: readonly Message[],
  discarded: ReadonlySet<number>,
  folding: Folding,
): void => {
  for (const [n, message] of messages.entries()) {
    const without = n === 0 ? discarded : nothing;
    const stuck = foldOne(boundary, message, without, folding);
    if (stuck === null) continue;
    boundary.parked = { position: message.position, ...stuck, messages: messages.slice(n), discarded: without };
    realm.parked.add(boundary);
    folding.parked(boundary);
    return;
  }
};

/** What has come on a boundary: folded in, or put behind what is parked there. */
export const foldOrWait = (realm: Realm, boundary: Boundary, message: Message, folding: Folding): void => {
  if (boundary.parked) boundary.parked.messages.push(message);
  else foldAll(realm, boundary, [message], nothing, folding);
};

/** Goes on where something parked was decided about. Such an event is looked at wherever it stands, even where it waits itself. */
export const settleParked = (realm: Realm, message: Message, folding: Folding): void => {
  if (realm.parked.size === 0) return;
  for (const part of partsOf(message)) {
    if (isMalformed(part) || (part.type !== 'ParkedRetried' && part.type !== 'ParkedDiscarded')) continue;
    const { position, index } = part.data;
    for (const boundary of [...realm.parked]) {
      const { parked } = boundary;
      if (parked?.position !== position || parked.index !== index) continue;
      boundary.parked = null;
      realm.parked.delete(boundary);
      const discarded = part.type === 'ParkedDiscarded' ? new Set([...parked.discarded, index]) : parked.discarded;
      foldAll(realm, boundary, parked.messages, discarded, folding);
      if (boundary.parked === null) folding.released(boundary);
    }
  }
};

const networkIn = (event: Event): string | undefined => {
  const data = event.data as {
    readonly networkId?: string;
    readonly network?: { readonly id?: string };
    readonly endpoint?: { readonly networkId?: string };
  };
  return data.networkId ?? data.network?.id ?? data.endpoint?.networkId;
};

/**
 * What stands in the way of deciding about a network: what is parked with something of it, on whatever boundary. Who holds what in a
 * network of the realm is not known while it waits. Complexity: all that waits.
 */
export const parkedFor = (realm: Realm, networkId: string): Boundary | null => {
  for (const boundary of realm.parked) {
    for (const message of boundary.parked?.messages ?? [])
      for (const part of partsOf(message)) if (!isMalformed(part) && networkIn(part) === networkId) return boundary;
  }
  return null;
};
