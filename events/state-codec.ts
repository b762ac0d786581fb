/**
 * The states that decisions are taken on, as lines of JSON, and back: what a segment of the log begins with. A state that was written and
 * read again decides everything as the one that was written (test/property/state-codec.test.ts). Lines: `["row", TABLE, KEY, ROW]`, and for
 * address pools, blocks of subnets, released ones and remembered commands forms of their own; big numbers are decimal text. A long list goes
 * on in further lines.
 */

import { ownCell } from './evolve-networks.ts';
import type { AddressPool, SubnetSpace } from './ipam.ts';
import type { Holder } from './ipam-choice.ts';
import type { Releases } from './ipam-releases.ts';
import type { BoundaryState, NetworkCell, NetworkHome, SharedState } from './state.ts';
import type { Table } from './table.ts';

export type StateLine = readonly [kind: string, ...unknown[]];

const sharedTables = [
  'networks',
  'networkNames',
  'vnis',
  'vniCursor',
  'tunnelKeys',
  'holds',
  'shredded',
  'quotas',
  'refused',
] as const;
const boundaryTables = [
  'facts',
  'lapsed',
  'regressed',
  'pressure',
  'lost',
  'drivers',
  'networks',
  'networkNames',
  'outlets',
  'endpoints',
  'sandboxes',
  'sandboxIds',
  'occupants',
  'ports',
  'commands',
  'progress',
  'intents',
  'expired',
] as const;
const cellTables = ['endpoints', 'names', 'macs', 'others'] as const;

type AnyTable = Table<unknown, unknown>;

/** Of a list in one line: lists grow with use for as long as a network is there, and a line has to fit into one message. */
const ENTRIES_MAX = 250;

// ---------------------------------------------------------------- writing

const releasesOf = (releases: Releases): readonly (readonly [string, number])[] =>
  [...releases.oldestFirst()].map(({ key, atMs }) => [String(key), atMs]);

const rowsOf = function* (tables: object, names: readonly string[]): Generator<StateLine> {
  for (const name of names)
    for (const [key, row] of (tables as Readonly<Record<string, AnyTable>>)[name] as AnyTable)
      yield ['row', name, key, row];
};

const firstOf = <Entry>(list: readonly Entry[]): readonly Entry[] => list.slice(0, ENTRIES_MAX);

/** What of a list its first line has no room for, as lines of this kind. */
const further = function* (list: readonly unknown[], ...start: StateLine): Generator<StateLine> {
  for (let from = ENTRIES_MAX; from < list.length; from += ENTRIES_MAX)
    yield [...start, list.slice(from, from + ENTRIES_MAX)];
};

const heldIn = ({ held }: AddressPool): readonly (readonly [string, Holder])[] =>
  [...held].map(([address, holder]) => [String(address), holder]);

interface PoolRow {
  readonly held: ReturnType<typeof heldIn>;
  readonly releases: ReturnType<typeof releasesOf>;
  readonly next: string | null;
}

const poolLines = function* (pool: AddressPool, id: string, index: number): Generator<StateLine> {
  const [held, releases, next] = [heldIn(pool), releasesOf(pool.releases), pool.cursor.get('next')];
  const row: PoolRow = {
    held: firstOf(held),
    releases: firstOf(releases),
    next: next === undefined ? null : String(next),
  };
  yield ['pool', id, index, row];
  yield* further(held, 'addresses', id, index);
  yield* further(releases, 'released', id, index);
};

const cellLines = function* ({ cells }: NetworkHome): Generator<StateLine> {
  for (const [id, cell] of cells) {
    for (const name of cellTables) for (const [key, value] of cell[name]) yield ['cell', id, name, key, value];
    for (const [index, pool] of cell.pools.entries()) yield* poolLines(pool, id, index);
  }
};

const spaceLines = function* ({ families, routes }: SubnetSpace): Generator<StateLine> {
  for (const family of [4, 6] as const) {
    const { tree, releases } = families[family];
    for (const [key, block] of tree.blocks) {
      yield ['block', family, String(key), { ...block, holders: firstOf(block.holders) }];
      yield* further(block.holders, 'holders', family, String(key));
    }
    const rested = releasesOf(releases);
    yield ['rested', family, firstOf(rested)];
    yield* further(rested, 'rested', family);
  }
  for (const [host, list] of routes) {
    yield ['routes', host, firstOf(list)];
    yield* further(list, 'routed', host);
  }
};

/** What is decided for all hosts together. */
export const encodeShared = function* (shared: SharedState): Generator<StateLine> {
  yield* rowsOf(shared, sharedTables);
  yield* cellLines(shared);
  yield* spaceLines(shared.subnets);
};

/** Of one boundary alone, without what all share. */
export const encodeState = function* (state: BoundaryState): Generator<StateLine> {
  yield* rowsOf(state, boundaryTables);
  yield* cellLines(state);
  yield* spaceLines(state.subnets);
  for (let index = 0; index < state.remembered.length; index++) yield ['remembered', state.remembered.at(index)];
};

// ---------------------------------------------------------------- reading

const takeReleases = (releases: Releases, rows: readonly (readonly [string, number])[]): void => {
  for (const [key, atMs] of rows) releases.add(BigInt(key), atMs);
};

const takeHeld = ({ held }: AddressPool, rows: PoolRow['held']): void => {
  for (const [address, holder] of rows) held.set(BigInt(address), holder);
};

const takePool = (pool: AddressPool, { held, releases, next }: PoolRow): void => {
  // Gateway and auxiliary addresses are in it as it is made.
  for (const address of [...pool.held.keys()]) pool.held.delete(address);
  takeHeld(pool, held);
  takeReleases(pool.releases, releases);
  if (next === null) pool.cursor.delete('next');
  else pool.cursor.set('next', BigInt(next));
};

/** The cell of a network whose row is there. */
const cellIn = (home: NetworkHome, id: string): NetworkCell => {
  const known = home.cells.get(id);
  if (known) return known;
  const row = home.networks.get(id);
  if (!row) throw new RangeError(`a state with a cell of network ${id}, and without the network`);
  const cell = ownCell(home.journal, row.facts);
  home.cells.set(id, cell);
  return cell;
};

/** A line of the pools of a cell; false for one of another kind. */
const takeOfPool = (home: NetworkHome, [kind, id, index, value]: StateLine): boolean => {
  if (kind !== 'pool' && kind !== 'addresses' && kind !== 'released') return false;
  const pool = cellIn(home, String(id)).pools[Number(index)];
  if (!pool) return true;
  if (kind === 'pool') takePool(pool, value as PoolRow);
  else if (kind === 'addresses') takeHeld(pool, value as PoolRow['held']);
  else takeReleases(pool.releases, value as PoolRow['releases']);
  return true;
};

/** A line of the subnets; false for one of another kind. */
const takeOfSpace = ({ families, routes }: SubnetSpace, [kind, first, second, third]: StateLine): boolean => {
  switch (kind) {
    case 'block':
      families[first as 4].tree.blocks.set(BigInt(second as string), third as never);
      return true;
    case 'holders': {
      const { blocks } = families[first as 4].tree;
      const key = BigInt(second as string);
      const block = blocks.get(key);
      if (block) blocks.set(key, { ...block, holders: [...block.holders, ...(third as readonly Holder[])] });
      return true;
    }
    case 'rested':
      takeReleases(families[first as 4].releases, second as PoolRow['releases']);
      return true;
    case 'routes':
      routes.set(String(first), second as readonly string[]);
      return true;
    case 'routed':
      routes.set(String(first), [...(routes.get(String(first)) ?? []), ...(second as readonly string[])]);
      return true;
    default:
      return false;
  }
};

const takeLine = (home: NetworkHome & { readonly subnets: SubnetSpace }, line: StateLine): void => {
  const [kind, first, second, third, fourth] = line;
  if (kind === 'row') {
    const table = (home as unknown as Readonly<Record<string, AnyTable>>)[String(first)];
    table?.set(second, third);
    // Empty cells have no lines of their own.
    if (first === 'networks') cellIn(home, String(second));
  } else if (kind === 'cell') {
    (cellIn(home, String(first))[second as 'names'] as Table<unknown, unknown>).set(third, fourth);
  } else if (!takeOfPool(home, line) && !takeOfSpace(home.subnets, line)) {
    throw new RangeError(`a state with a line of kind ${kind}`);
  }
};

/** Takes up one line of `encodeShared`, in their order. */
export const takeShared = (shared: SharedState, line: StateLine): void => takeLine(shared, line);

/** Takes up one line of `encodeState`, in their order. */
export const takeState = (state: BoundaryState, line: StateLine): void => {
  const isOfCommands = line[0] === 'remembered' || (line[0] === 'row' && line[1] === 'commands');
  if (isOfCommands && state.shared.memoryMs === 0) return;
  if (line[0] === 'remembered') state.remembered.push(line[1] as { key: string; decidedMs: number });
  else takeLine(state, line);
};
