/**
 * The states that decisions are taken on, as lines of JSON, and back: what a segment of the log begins with. A state that was written and
 * read again decides everything as the one that was written (test/property/state-codec.test.ts). Lines: `["row", TABLE, KEY, ROW]`, and for
 * address pools, blocks of subnets, released ones and remembered commands forms of their own; big numbers are decimal text.
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

// ---------------------------------------------------------------- writing

const releasesOf = (releases: Releases): readonly (readonly [string, number])[] =>
  [...releases.oldestFirst()].map(({ key, atMs }) => [String(key), atMs]);

const rowsOf = function* (tables: object, names: readonly string[]): Generator<StateLine> {
  for (const name of names)
    for (const [key, row] of (tables as Readonly<Record<string, AnyTable>>)[name] as AnyTable)
      yield ['row', name, key, row];
};

const poolOf = ({ held, releases, cursor }: AddressPool) => ({
  held: [...held].map(([address, holder]) => [String(address), holder]),
  releases: releasesOf(releases),
  next: cursor.has('next') ? String(cursor.get('next')) : null,
});

const cellLines = function* ({ cells }: NetworkHome): Generator<StateLine> {
  for (const [id, cell] of cells) {
    for (const name of cellTables) for (const [key, value] of cell[name]) yield ['cell', id, name, key, value];
    for (const [index, pool] of cell.pools.entries()) yield ['pool', id, index, poolOf(pool)];
  }
};

const spaceLines = function* ({ families, routes }: SubnetSpace): Generator<StateLine> {
  for (const family of [4, 6] as const) {
    const { tree, releases } = families[family];
    for (const [key, block] of tree.blocks) yield ['block', family, String(key), block];
    yield ['rested', family, releasesOf(releases)];
  }
  for (const [host, list] of routes) yield ['routes', host, list];
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

const takePool = ({ held, releases, cursor }: AddressPool, pool: ReturnType<typeof poolOf>): void => {
  // Gateway and auxiliary addresses are in it as it is made.
  for (const address of [...held.keys()]) held.delete(address);
  for (const [address, holder] of pool.held) held.set(BigInt(address as string), holder as Holder);
  takeReleases(releases, pool.releases);
  if (pool.next === null) cursor.delete('next');
  else cursor.set('next', BigInt(pool.next));
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

const takeLine = (home: NetworkHome & { readonly subnets: SubnetSpace }, line: StateLine): void => {
  const [kind, first, second, third, fourth] = line;
  switch (kind) {
    case 'row': {
      const table = (home as unknown as Readonly<Record<string, AnyTable>>)[String(first)];
      table?.set(second, third);
      // Empty cells have no lines of their own.
      if (first === 'networks') cellIn(home, String(second));
      return;
    }
    case 'cell':
      (cellIn(home, String(first))[second as 'names'] as Table<unknown, unknown>).set(third, fourth);
      return;
    case 'pool': {
      const pool = cellIn(home, String(first)).pools[Number(second)];
      if (pool) takePool(pool, third as ReturnType<typeof poolOf>);
      return;
    }
    case 'block':
      home.subnets.families[first as 4].tree.blocks.set(BigInt(second as string), third as never);
      return;
    case 'rested':
      takeReleases(home.subnets.families[first as 4].releases, second as readonly (readonly [string, number])[]);
      return;
    case 'routes':
      home.subnets.routes.set(String(first), second as readonly string[]);
      return;
    default:
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
