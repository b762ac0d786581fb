/**
 * At which positions of the log something stands about a thing: what a history is read by, instead of the whole log. Keys are kept as
 * numbers of 32 bits, since all that is promised is a superset: two keys that share one cost a commit that is read in vain.
 */
import { cutsShort } from '../events/cut-short.ts';
import type { Event } from '../events/envelope.ts';
import {
  addressesOf,
  type EventFilter,
  endedBy,
  endpointNamesOf,
  macOf,
  networkIdsOf,
  sandboxNamesOf,
  thingsOf,
} from './event-filter.ts';
import { parsePort, portsNamedBy } from './event-ports.ts';
import { bareAddress } from './projection.ts';

/** What a key names: network, endpoint, sandbox, address, MAC, port, command, actor, type of command, correlation. */
type Kind = 'n' | 'e' | 's' | 'a' | 'm' | 'p' | 'c' | 'A' | 't' | 'r';

const PRIME = 0x01000193;
const BASIS = 0x811c9dc5;

/** FNV-1a over the UTF-16 units of `KIND:TEXT`. */
const keyOf = (kind: Kind, text: string): number => {
  let hash = Math.imul(BASIS ^ kind.charCodeAt(0), PRIME);
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), PRIME);
  return hash;
};

/** A range of more host ports than this stands under one key for all such ranges. */
const RANGE_MAX = 64;
const wideRanges = keyOf('p', 'wide');

const portKeys = (first: number, count: number): readonly number[] =>
  count > RANGE_MAX ? [wideRanges] : Array.from({ length: count }, (_, n) => keyOf('p', String(first + n)));

const namedKeys = (event: Event): readonly number[] => {
  const mac = macOf(event);
  return [
    ...networkIdsOf(event).map((id) => keyOf('n', id)),
    ...endpointNamesOf(event).map((text) => keyOf('e', text.toLowerCase())),
    ...sandboxNamesOf(event).flatMap((text) => (text === null ? [] : [keyOf('s', text)])),
    ...addressesOf(event).flatMap((text) => (text === '' ? [] : [keyOf('a', bareAddress(text))])),
    ...(mac === '' ? [] : [keyOf('m', mac)]),
    ...portsNamedBy(event).flatMap(({ first, count }) => portKeys(first, count)),
  ];
};

/** The command behind an event, and who sent it. The correlation is a key of its own where it is not the command's id. */
const commandKeys = (event: Event): readonly number[] => {
  const { actor, commandid, commandtype, correlationid } = event.meta;
  const keys: number[] = [];
  if (commandid !== '') keys.push(keyOf('c', commandid));
  if (cutsShort(event)) keys.push(keyOf('c', event.data.commandId));
  if (event.type === 'HostLost') for (const { commandId } of event.data.commands) keys.push(keyOf('c', commandId));
  if (actor !== '') keys.push(keyOf('A', actor));
  if (commandtype !== undefined) keys.push(keyOf('t', commandtype));
  if (correlationid !== '' && correlationid !== commandid) keys.push(keyOf('r', correlationid));
  return keys;
};

/** What everything that happens to a thing stands under too, from this event on: the names, addresses and ports that it has got. */
const followedKeys = (event: Event): readonly (readonly [id: string, keys: readonly number[]])[] => {
  const ports = portsNamedBy(event).flatMap(({ holder, first, count }) =>
    holder === null ? [] : [[holder, portKeys(first, count)] as const],
  );
  if (event.type === 'EndpointCreateRequested' || event.type === 'EndpointSettled') {
    const [name = '', id = ''] = endpointNamesOf(event);
    const mac = macOf(event);
    const held = addressesOf(event).flatMap((text) => (text === '' ? [] : [keyOf('a', bareAddress(text))]));
    const keys = [keyOf('e', name.toLowerCase()), ...held, ...(mac === '' ? [] : [keyOf('m', mac)])];
    return [[id, keys], ...ports];
  }
  if (event.type !== 'EndpointJoinRequested') return ports;
  const { id, incarnation } = event.data.sandbox;
  return [[incarnation, [keyOf('s', id)]], ...ports];
};

/** Things that an event is about or names by id alone. */
const aboutIds = (event: Event): readonly string[] =>
  event.type === 'PortsLeased' ? event.data.ports.map(({ holder }) => holder) : thingsOf(event);

const nothing: readonly number[] = [];

/** Positions of commits by what they are about, ascending. Fed with the whole log, in its order. */
export class EventIndex {
  /** One position stands as a number: most commands are three commits, most correlations one. */
  readonly #postings = new Map<number, number | number[]>();
  /** By id of what is there now. */
  readonly #followed = new Map<string, Set<number>>();
  #count = 0;

  add(event: Event, position: number): void {
    for (const key of commandKeys(event)) this.#post(key, position);
    for (const [id, keys] of followedKeys(event)) this.#follow(id, keys);
    for (const key of namedKeys(event)) this.#post(key, position);
    for (const id of aboutIds(event)) for (const key of this.#followed.get(id) ?? nothing) this.#post(key, position);
    this.#followed.delete(endedBy(event));
    if (event.type === 'HostLost') for (const id of thingsOf(event)) this.#followed.delete(id);
  }

  /** A superset of the positions with this in it. */
  positions(kind: Kind, text: string): readonly number[] {
    return this.#at(keyOf(kind, text));
  }

  /** A superset of the positions that name this host port or are about who has it. */
  portPositions(port: number): readonly number[] {
    return union([this.positions('p', String(port)), this.#at(wideRanges)]);
  }

  size(): { readonly keys: number; readonly postings: number } {
    return { keys: this.#postings.size, postings: this.#count };
  }

  #at(key: number): readonly number[] {
    const found = this.#postings.get(key) ?? nothing;
    return typeof found === 'number' ? [found] : found;
  }

  #follow(id: string, keys: readonly number[]): void {
    const known = this.#followed.get(id);
    if (known) for (const key of keys) known.add(key);
    else this.#followed.set(id, new Set(keys));
  }

  /** One for each commit, however many of its events it is for. */
  #post(key: number, position: number): void {
    const found = this.#postings.get(key);
    if (found === undefined) this.#postings.set(key, position);
    else if (typeof found === 'number') {
      if (found === position) return;
      this.#postings.set(key, [found, position]);
    } else {
      if (found.at(-1) === position) return;
      found.push(position);
    }
    this.#count += 1;
  }
}

/** All that is in any of the lists, ascending, each once. */
const union = (lists: readonly (readonly number[])[]): readonly number[] => {
  const filled = lists.filter(({ length }) => length > 0);
  if (filled.length < 2) return filled[0] ?? nothing;
  return [...new Set(filled.flat())].sort((a, b) => a - b);
};

/** Lists of which each alone takes in all that passes, and all that a matcher has to learn from. */
const complete = (
  index: EventIndex,
  { commandid, command, actor, correlationid, network }: EventFilter,
  networkIds: ReadonlySet<string>,
): readonly (readonly number[])[] => {
  const lists: (readonly number[])[] = [];
  if (commandid !== undefined) lists.push(index.positions('c', commandid));
  if (command !== undefined) lists.push(index.positions('t', command));
  if (actor !== undefined) lists.push(index.positions('A', actor));
  if (correlationid !== undefined)
    lists.push(union([index.positions('r', correlationid), index.positions('c', correlationid)]));
  if (network !== undefined) lists.push(union([...networkIds, network].map((id) => index.positions('n', id))));
  return lists;
};

/** Lists that a matcher has to see all of, to know who holds what and who is meant. */
const learning = (
  index: EventIndex,
  { endpoint, sandbox, address, mac, port }: EventFilter,
): readonly (readonly number[])[] => {
  const lists: (readonly number[])[] = [];
  if (endpoint !== undefined) lists.push(index.positions('e', endpoint.toLowerCase()));
  if (sandbox !== undefined) lists.push(index.positions('s', sandbox));
  if (address !== undefined) lists.push(index.positions('a', address));
  if (mac !== undefined) lists.push(index.positions('m', mac));
  if (port !== undefined) lists.push(index.portPositions(parsePort(port)?.port ?? -1));
  return lists;
};

/** Whether a matcher of this filter has to see what came before the events that are asked for: who got what, and who is meant. */
export const looksBack = ({ endpoint, sandbox, address, mac, port }: EventFilter): boolean =>
  [endpoint, sandbox, address, mac, port].some((text) => text !== undefined);

/**
 * Positions, ascending, among which are all that a matcher of this filter passes and learns from when it starts with nothing but
 * `networkIds`, the networks that the filter means. Null: the filter names nothing that is indexed.
 */
export const candidates = (
  index: EventIndex,
  filter: EventFilter,
  networkIds: ReadonlySet<string>,
): readonly number[] | null => {
  const learnt = learning(index, filter);
  if (learnt.length > 0) return union(learnt);
  const lists = complete(index, filter, networkIds);
  if (lists.length === 0) return null;
  return lists.reduce((least, list) => (list.length < least.length ? list : least));
};
