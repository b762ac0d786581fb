/**
 * The blocks (subnets) of one address family in a binary tree: the node of a subnet has its two halves as children. Each node
 * knows the largest free block beneath it, so that finding the first free block of a size, and holding or releasing one, cost one
 * walk between root and leaf however many subnets are held, and blocks of all sizes can be mixed.
 */

import { type Cidr, FAMILY_BITS, type Family } from './ip.ts';
import type { Holder } from './ipam-choice.ts';
import { type Journal, Table } from './table.ts';

interface Block {
  /** Who holds exactly this block: more than one only where overlap was asked for. */
  readonly holders: readonly Holder[];
  /** Released not long ago: given again only when nothing else is left. */
  readonly resting: boolean;
  /** Prefix length of the largest block in here that is neither held nor resting. */
  readonly unused: number;
  /** Prefix length of the largest block in here that is not held. */
  readonly free: number;
}

export interface BlockTree {
  readonly family: Family;
  /** Only blocks that are held or resting, and those above them. */
  readonly blocks: Table<bigint, Block>;
}

/** Longer than any prefix: there is no such block. */
const NONE = 255;

export function blockTree(journal: Journal, family: Family): BlockTree {
  return { family, blocks: new Table(journal) };
}

/** The key of a block: its prefix bits behind a leading one, so that parent and children are one shift away. */
export function blockKey(cidr: Cidr): bigint {
  return (1n << BigInt(cidr.prefix)) | (cidr.base >> BigInt(FAMILY_BITS[cidr.family] - cidr.prefix));
}

/** The reverse of `blockKey`. */
export function blockOfKey(family: Family, key: bigint): Cidr {
  return blockAt(family, key, key.toString(2).length - 1);
}

function blockAt(family: Family, key: bigint, prefix: number): Cidr {
  const bits = key ^ (1n << BigInt(prefix));
  return { family, base: bits << BigInt(FAMILY_BITS[family] - prefix), prefix };
}

export function holdersOf(tree: BlockTree, cidr: Cidr): readonly Holder[] {
  return tree.blocks.get(blockKey(cidr))?.holders ?? [];
}

/** Says who holds a block and whether it rests, and sums up the blocks above it as far as that changes anything. */
export function setBlock(tree: BlockTree, cidr: Cidr, holders: readonly Holder[], resting: boolean): void {
  let key = blockKey(cidr);
  let prefix = cidr.prefix;
  let block = sumUp(tree, key, prefix, holders, resting);
  for (;;) {
    const before = tree.blocks.get(key);
    if (block === null) tree.blocks.delete(key);
    else tree.blocks.set(key, block);
    const isSame = before !== undefined && before.unused === block?.unused && before.free === block.free;
    if (isSame || prefix === 0) return;
    key >>= 1n;
    prefix -= 1;
    const parent = tree.blocks.get(key);
    block = sumUp(tree, key, prefix, parent?.holders ?? [], parent?.resting ?? false);
  }
}

/** The row of a block by what its halves say; null when nothing in it is held or rests. */
function sumUp(
  tree: BlockTree,
  key: bigint,
  prefix: number,
  holders: readonly Holder[],
  resting: boolean,
): Block | null {
  const left = tree.blocks.get(key << 1n);
  const right = tree.blocks.get((key << 1n) | 1n);
  if (holders.length === 0 && !resting && left === undefined && right === undefined) return null;
  const half = prefix + 1;
  const isHeld = holders.length > 0;
  return {
    holders,
    resting,
    unused: isHeld || resting ? NONE : join(prefix, left?.unused ?? half, right?.unused ?? half),
    free: isHeld ? NONE : join(prefix, left?.free ?? half, right?.free ?? half),
  };
}

/** Two halves that are wholly free are one free block. */
function join(prefix: number, left: number, right: number): number {
  return left === prefix + 1 && right === prefix + 1 ? prefix : Math.min(left, right);
}

/** The first block of `size` in `pool` that nobody holds; `unused`: that does not rest either. */
export function firstBlock(tree: BlockTree, pool: Cidr, size: number, want: 'unused' | 'free'): Cidr | null {
  if (size < pool.prefix || isCovered(tree, pool, want)) return null;
  let key = blockKey(pool);
  let prefix = pool.prefix;
  for (;;) {
    const largest = tree.blocks.get(key)?.[want] ?? prefix;
    if (largest > size) return null;
    if (largest === prefix) return { ...blockAt(tree.family, key, prefix), prefix: size };
    prefix += 1;
    const left = tree.blocks.get(key << 1n)?.[want] ?? prefix;
    key = left <= size ? key << 1n : (key << 1n) | 1n;
  }
}

/** Whether nobody holds anything of the block. */
export function isFree(tree: BlockTree, cidr: Cidr): boolean {
  return firstBlock(tree, cidr, cidr.prefix, 'free') !== null;
}

/** Whether a larger block around this one is held (or rests). */
function isCovered(tree: BlockTree, cidr: Cidr, want: 'unused' | 'free'): boolean {
  for (let key = blockKey(cidr) >> 1n; key > 0n; key >>= 1n) {
    const block = tree.blocks.get(key);
    if (block !== undefined && (block.holders.length > 0 || (want === 'unused' && block.resting))) return true;
  }
  return false;
}

/** Who holds blocks that overlap this one, the larger and the lower ones first, at most `limit` of them; those that `counts` says no to are left out. */
export function overlapping(
  tree: BlockTree,
  cidr: Cidr,
  limit: number,
  counts: (holder: Holder) => boolean = () => true,
): readonly (Holder & { cidr: Cidr })[] {
  const found: (Holder & { cidr: Cidr })[] = [];
  const collect = (key: bigint) => {
    const holders = tree.blocks.get(key)?.holders ?? [];
    for (const holder of holders.filter(counts)) found.push({ ...holder, cidr: blockOfKey(tree.family, key) });
  };
  const own = blockKey(cidr);
  for (let depth = cidr.prefix; depth > 0; depth--) collect(own >> BigInt(depth));
  const stack = [own];
  for (let key = stack.pop(); key !== undefined && found.length < limit; key = stack.pop()) {
    const block = tree.blocks.get(key);
    // What is wholly free holds resting blocks at most.
    if (block === undefined || block.free === key.toString(2).length - 1) continue;
    collect(key);
    stack.push((key << 1n) | 1n, key << 1n);
  }
  return found.slice(0, limit);
}
