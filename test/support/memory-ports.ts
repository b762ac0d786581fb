/** Host ports of the machine in memory: who listens, and what is free. */
import type { Element } from '../../drivers/objects.ts';
import type { PortSearch } from '../../drivers/port.ts';

/** A process of the host that listens. */
export interface Listener {
  readonly protocol: string;
  readonly address: string;
  readonly port: number;
  /** `pid 123 (nginx)` */
  readonly holder: string;
}

const everywhere = (address: string): boolean => address === '0.0.0.0' || address === '::';

const familyOf = (address: string): number => (address.includes(':') ? 6 : 4);

const overlap = (a: string, b: string): boolean =>
  familyOf(a) === familyOf(b) && (a === b || everywhere(a) || everywhere(b));

interface Place {
  readonly protocol: string;
  readonly address: string;
  readonly port: number;
}

/** Where an element takes a port of the host; null for those that do not. */
const placeOf = ({ set, key }: Element): Place | null => {
  const [first = '', second = '', third = ''] = key;
  switch (set) {
    case 'dnat4':
      return { address: '0.0.0.0', protocol: first, port: Number(second) };
    case 'dnat6':
      return { address: '::', protocol: first, port: Number(second) };
    case 'dnat4ip':
    case 'dnat6ip':
      return { address: first, protocol: second, port: Number(third) };
    default:
      return null;
  }
};

const sharePlace = (a: Place, b: Place): boolean =>
  a.protocol === b.protocol && a.port === b.port && overlap(a.address, b.address);

/** Who is in the way of an element. */
export const listenerAt = (listeners: readonly Listener[], element: Element): Listener | undefined => {
  const place = placeOf(element);
  return place === null ? undefined : listeners.find((listener) => sharePlace(listener, place));
};

/** net.ipv4.ip_local_port_range as Linux starts with it. */
const ephemeral = { from: 32768, to: 60999 };

/** The first of `count` ports in a row that nobody has. */
export const findPort = (
  { protocol, addresses, count, choice, avoid }: PortSearch,
  listeners: readonly Listener[],
  elements: readonly Element[],
): number | null => {
  const { from, to } = choice ?? ephemeral;
  const taken: readonly Place[] = [...listeners, ...elements.map(placeOf).filter((place) => place !== null)];
  const isFree = (port: number): boolean =>
    !avoid.includes(port) &&
    addresses.every((address) => !taken.some((place) => sharePlace(place, { protocol, address, port })));
  for (let first = from; first + count - 1 <= to; first++) {
    if (Array.from({ length: count }, (_, at) => first + at).every(isFree)) return first;
  }
  return null;
};
