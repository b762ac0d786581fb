/** How full a host is: bands of what is in use, and what is refused because of them. Pure. */
import type { Culprit, EventData, Fact } from './events.ts';
import { type Refusal, refuse } from './refusals.ts';

/** Percent from which on the pressure is said, each time that one is passed; the last is where nothing new is begun any more. */
export const bands = [70, 85, 95, 99] as const;
/** How far below its band something must be before it is relieved: what goes up and down around one is said once. */
const hysteresisPercent = 5;
/** From here on what would use more is refused before the kernel does so. */
const fullPercent = 99;

/** What traffic fills, not what we make; and what is counted exactly by whoever needs one. */
const onlyTold: ReadonlySet<string> = new Set(['conntrack', 'subnets']);

export const percentOf = (used: number, limit: number): number =>
  limit <= 0 ? 0 : Math.round((used * 1_000) / limit) / 10;

/** The band that something is in now; 0 below all. @param before the one that it was in */
export const bandOf = (percent: number, before: number): number => {
  const reached = bands.findLast((band) => percent >= band) ?? 0;
  if (reached >= before) return reached;
  // It stays where it was until it is well below.
  return bands.findLast((band) => percent >= band - hysteresisPercent && band <= before) ?? 0;
};

/** What a statement of capacity is about. */
export const capacityKey = ({
  what,
  ofNetwork,
}: {
  readonly what: string;
  readonly ofNetwork: string | null;
}): string => (ofNetwork === null ? what : `${what} ${ofNetwork}`);

type Pressure = EventData<'CapacityPressure'>;

const culpritOf = ({ what, used, limit }: Pressure): Culprit => ({
  kind: 'capacity',
  id: what,
  detail: `${used} of ${limit}`,
});

const grows: ReadonlySet<string> = new Set([
  'NetworkCreateRequested',
  'EndpointCreateRequested',
  'EndpointJoinRequested',
]);

/**
 * Why facts cannot be carried out: their host has nothing left of something that all of it shares. What belongs to one network is counted
 * exactly where that is decided (NETWORK_FULL, ADDRESS_POOL_EXHAUSTED, SUBNET_POOL_EXHAUSTED).
 */
export const hostFull = (pressure: Iterable<Pressure>, host: string, facts: readonly Fact[]): Refusal | null => {
  if (!facts.some(({ type }) => grows.has(type))) return null;
  const full = [...pressure].filter(
    ({ what, ofNetwork, percent }) => ofNetwork === null && percent >= fullPercent && !onlyTold.has(what),
  );
  const [first] = full;
  if (!first) return null;
  return refuse('HOST_FULL', `host ${host} uses ${first.used} of ${first.limit} ${first.what}`, [
    { kind: 'host', id: host },
    ...full.map(culpritOf),
  ]);
};
