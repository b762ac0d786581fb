/**
 * The constant rules. Networks differ only in the elements of three hash sets: `bridges` (ours), `internal` (no way out) and
 * `own` (from a bridge back to itself), so the number of rules never grows (kernel.md, section 3).
 */
import { hash } from 'node:crypto';
import { type Expression, newChain, newRule, newSet } from './nftables.ts';
import type { MessageWriter } from './writer.ts';

/** Sets and how many interface names make a key. */
export const sets = { bridges: 1, internal: 1, own: 2 } as const;

export type SetName = keyof typeof sets;

export const setNames = Object.keys(sets) as SetName[];

/** linux/netfilter/nf_tables.h (meta keys, ct keys, verdicts), nf_conntrack_common.h (bits of ct state). */
const iif: Expression = { name: 'meta', key: 6, register: 1 };
const oif: Expression = { name: 'meta', key: 7, register: 1 };
const oifSecond: Expression = { name: 'meta', key: 7, register: 2 };
const state: Expression = { name: 'ct', key: 0 };
const any = (mask: number): Expression => ({ name: 'any', mask });
const inSet = (set: SetName): Expression => ({ name: 'lookup', set });
const drop: Expression = { name: 'verdict', code: 0 };
const accept: Expression = { name: 'verdict', code: 1 };
const goTo = (chain: string): Expression => ({ name: 'verdict', code: -4, chain });
const [invalid, established, related] = [1, 2, 4];

/** NF_INET_FORWARD, just before the filter chains of iptables and others at 0: what we drop, they do not see. */
const hook = { number: 2, priority: -5 } as const;

const rules: readonly (readonly [chain: string, ...steps: Expression[]])[] = [
  ['forward', state, any(established | related), accept],
  ['forward', state, any(invalid), drop],
  ['forward', oif, inSet('bridges'), goTo('to_bridge')],
  ['forward', iif, inSet('bridges'), goTo('from_bridge')],
  ['to_bridge', iif, oifSecond, inSet('own'), accept],
  ['to_bridge', drop],
  ['from_bridge', iif, inSet('internal'), drop],
  ['from_bridge', accept],
];

/** Changes when anything above does: a table made by another version of us is recognised by it. */
export const version = hash('sha256', JSON.stringify([sets, hook, rules]), 'hex').slice(0, 16);

const encodeName = (text: string): string =>
  text.replaceAll(/[^A-Za-z0-9_]/g, (char) => `_${char.charCodeAt(0).toString(16)}`);

export const tableName = (realm: string, host: string): string => `cnm_${encodeName(realm)}_${encodeName(host)}`;

/** Sets, chains and rules of a new table. */
export const encodeRuleset = (w: MessageWriter, table: string): void => {
  setNames.forEach((name, at) => {
    newSet(w, table, name, sets[name], at + 1);
  });
  for (const chain of ['to_bridge', 'from_bridge']) newChain(w, table, chain);
  newChain(w, table, 'forward', hook);
  for (const [chain, ...steps] of rules) newRule(w, table, chain, steps);
};
