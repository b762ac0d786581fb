/**
 * What has to change of what encrypts packets to and from other hosts. Pure. Whatever is newest is added at once where packets come in;
 * where they go out it follows when the other host has had time to do the same. What is older stays where packets may still come with it.
 */
import type { Association, KeyedAssociation } from '../../drivers/port.ts';

/** What two hosts encrypt with from a moment on, until one of them or the generation changes. */
export interface Session {
  readonly inbound: KeyedAssociation;
  readonly outbound: KeyedAssociation;
  /** When this host came to know of it. */
  readonly sinceMs: number;
  /** The other host knows no more of it than we do: it may need a while. False: it is the one that has begun anew, and knows. */
  readonly patient: boolean;
}

export interface Situation {
  /** The newest with each host. */
  readonly sessions: readonly Session[];
  /** In the order in which they were added. */
  readonly present: readonly Association[];
  /** Those that were there before (`associationKey`): none is added twice, since counters would begin again with the same key. */
  readonly spent: ReadonlySet<string>;
  /** Since when there is something newer for incoming packets, by `associationKey`; now, where it is not known. */
  readonly outdatedMs: ReadonlyMap<string, number>;
  readonly nowMs: number;
}

export interface Step {
  readonly add: readonly KeyedAssociation[];
  readonly remove: readonly Association[];
  /** Something is gone that cannot be added again: it takes a new session. */
  readonly lost: boolean;
}

/** From when a session is known to when packets are sent with it, where the other host may not know of it yet. */
export const sendAfterMs = 10_000;
/** How long packets are taken that are encrypted with what is outdated; with the one that is outdated last, until the next is. */
export const takeForMs = 20_000;

export const associationKey = ({ destination, spi }: Association): string => `${destination} ${spi}`;

const isSame = (a: Association, b: Association): boolean => associationKey(a) === associationKey(b);
const isBetween = (a: Association, b: Association): boolean => a.source === b.source && a.destination === b.destination;

/** All that is missing is added, but what is spent. */
const adding = (wanted: KeyedAssociation, { spent }: Situation): Pick<Step, 'add' | 'lost'> =>
  spent.has(associationKey(wanted)) ? { add: [], lost: true } : { add: [wanted], lost: false };

const inboundStep = ({ inbound }: Session, situation: Situation): Step => {
  const { present, outdatedMs, nowMs } = situation;
  const here = present.filter((each) => isBetween(each, inbound));
  const older = here.filter((each) => !isSame(each, inbound));
  const last = older.at(-1);
  const isTaken = (each: Association): boolean =>
    each === last || nowMs - (outdatedMs.get(associationKey(each)) ?? nowMs) < takeForMs;
  const isThere = older.length < here.length;
  return {
    ...(isThere ? { add: [], lost: false } : adding(inbound, situation)),
    remove: older.filter((each) => !isTaken(each)),
  };
};

const outboundStep = ({ outbound, sinceMs, patient }: Session, situation: Situation): Step => {
  const { present, nowMs } = situation;
  const here = present.filter((each) => isBetween(each, outbound));
  const older = here.filter((each) => !isSame(each, outbound));
  if (older.length < here.length) return { add: [], remove: older, lost: false };
  if (older.length > 0 && patient && nowMs - sinceMs < sendAfterMs) return { add: [], remove: [], lost: false };
  const step = adding(outbound, situation);
  // Rather the old one than none.
  return { ...step, remove: step.lost ? [] : older };
};

/** Complexity: sessions times what is present. */
export const encryptionStep = (situation: Situation): Step => {
  const { sessions, present } = situation;
  const steps = sessions.flatMap((session) => [inboundStep(session, situation), outboundStep(session, situation)]);
  const isStray = (each: Association): boolean =>
    !sessions.some(({ inbound, outbound }) => isBetween(each, inbound) || isBetween(each, outbound));
  return {
    add: steps.flatMap(({ add }) => add),
    remove: [...steps.flatMap(({ remove }) => remove), ...present.filter(isStray)],
    lost: steps.some(({ lost }) => lost),
  };
};

/** Since when what packets come in with is outdated, of what is still there. */
export const outdatedBy = ({ sessions, present, outdatedMs, nowMs }: Situation): ReadonlyMap<string, number> => {
  const found = new Map<string, number>();
  for (const { inbound } of sessions)
    for (const each of present)
      if (isBetween(each, inbound) && !isSame(each, inbound)) {
        const key = associationKey(each);
        found.set(key, outdatedMs.get(key) ?? nowMs);
      }
  return found;
};
