/**
 * The constant rules. Networks, endpoints and published ports differ only in elements of hash sets and maps (`elementSets`), so
 * the number of rules never grows, and no rule is ever added or removed while we run (kernel.md, section 3).
 */
import { hash } from 'node:crypto';
import { type ElementSet, elementSets } from '../objects.ts';
import type { Expression } from './expressions.ts';
import { type Hook, newChain, newRule, newSet } from './nftables.ts';
import * as r from './rules.ts';
import type { MessageWriter } from './writer.ts';

/** Carried by every packet that we let through a bridge of ours, so that other tables can tell: theirs decide too. */
export const acceptMark = 0x01000000;
/** From a bridge through a published port back into it: who sent it must see the answer come from where it was sent to. */
const hairpinMark = 0x02000000;

/** NF_INET_* and the priorities of iptables. Filtering is just before that of others at 0: what we drop, they do not see. */
const hooks: Readonly<Record<string, Hook>> = {
  guard: { type: 'filter', number: 0, priority: -300 },
  prerouting: { type: 'nat', number: 0, priority: -100 },
  output: { type: 'nat', number: 3, priority: -100 },
  forward: { type: 'filter', number: 2, priority: -5 },
  postrouting: { type: 'nat', number: 4, priority: 100 },
};

const plainChains = ['publish', 'to_bridge', 'from_bridge'] as const;

type Chain = keyof typeof hooks | (typeof plainChains)[number];

/** A rule: where it is, and its steps; the name is how tests take one out. */
export interface Rule {
  readonly name: string;
  readonly chain: Chain;
  readonly steps: readonly Expression[];
}

const rule = (name: string, chain: Chain, ...steps: readonly (Expression | readonly Expression[])[]): Rule => ({
  name,
  chain,
  steps: steps.flat(),
});

export const rules: readonly Rule[] = [
  // Bridges have route_localnet for ports published at 127.0.0.1. Nothing but the host itself may use it.
  rule('loopback is not reached', 'guard', r.iif, r.inSet('bridges'), r.toLoopback, r.drop),
  rule('loopback is not pretended', 'guard', r.iif, r.inSet('bridges'), r.fromLoopback, r.drop),
  // The same holds for interfaces that are not ours, should somebody give them route_localnet.
  rule('loopback is published to the host only', 'prerouting', r.toLoopback, r.back),
  rule('published to others', 'prerouting', r.toHost, r.jump('publish')),
  // Translated, it would get no answer; as it is, it is refused at once, and whoever asked for `localhost` goes on to 127.0.0.1.
  rule('the IPv6 loopback is nowhere published', 'output', r.toLoopback6, r.back),
  rule('published to the host', 'output', r.toHost, r.jump('publish')),
  rule('one IPv4 address', 'publish', r.addressProtocolPort(4), r.inSet('dnat4ip'), r.translate(4)),
  rule('every IPv4 address', 'publish', r.protocolPort(4), r.inSet('dnat4'), r.translate(4)),
  rule('one IPv6 address', 'publish', r.addressProtocolPort(6), r.inSet('dnat6ip'), r.translate(6)),
  rule('every IPv6 address', 'publish', r.protocolPort(6), r.inSet('dnat6'), r.translate(6)),
  rule('into a bridge', 'forward', r.oif, r.inSet('bridges'), r.goTo('to_bridge')),
  rule('out of a bridge', 'forward', r.iif, r.inSet('bridges'), r.goTo('from_bridge')),
  rule('marked on the way in', 'to_bridge', r.setMark(acceptMark)),
  // What has begun goes on, whatever changes afterwards.
  rule('ongoing', 'to_bridge', r.isKnown, r.accept),
  rule('invalid on the way in', 'to_bridge', r.isInvalid, r.drop),
  rule('hairpin', 'to_bridge', r.iifOif, r.inSet('own'), r.isPublished, r.setMark(hairpinMark), r.accept),
  rule('neighbours', 'to_bridge', r.iifOif, r.inSet('icc'), r.accept),
  rule('no neighbours', 'to_bridge', r.iifOif, r.inSet('own'), r.drop),
  rule('into internal', 'to_bridge', r.oif, r.inSet('internal'), r.drop),
  rule('from internal to another', 'to_bridge', r.iif, r.inSet('internal'), r.drop),
  rule('published', 'to_bridge', r.isPublished, r.accept),
  rule('trusted', 'to_bridge', r.iifOif, r.inSet('trusted'), r.accept),
  rule('routed IPv4', 'to_bridge', r.addressProtocolPort(4), r.inSet('routed4'), r.accept),
  rule('routed IPv6', 'to_bridge', r.addressProtocolPort(6), r.inSet('routed6'), r.accept),
  rule('unprotected IPv4', 'to_bridge', r.ofFamily(4), r.oif, r.inSet('open4'), r.accept),
  rule('unprotected IPv6', 'to_bridge', r.ofFamily(6), r.oif, r.inSet('open6'), r.accept),
  rule('isolation', 'to_bridge', r.drop),
  rule('marked on the way out', 'from_bridge', r.setMark(acceptMark)),
  // It would leave with the address of its endpoint, since it is not translated either.
  rule('invalid on the way out', 'from_bridge', r.isInvalid, r.drop),
  rule('out of internal', 'from_bridge', r.iif, r.inSet('internal'), r.drop),
  rule('hairpin answers', 'postrouting', r.oif, r.inSet('bridges'), r.hasMark(hairpinMark), r.masquerade),
  // From the host through 127.0.0.1: an endpoint could not answer there.
  rule('loopback leaves', 'postrouting', r.oif, r.inSet('bridges'), r.fromLoopback, r.masquerade),
  rule('within a bridge', 'postrouting', r.iifOif, r.inSet('own'), r.back),
  rule('chosen IPv4', 'postrouting', r.ofFamily(4), r.iif, r.inSet('snat4'), r.leaveAs(4)),
  rule('chosen IPv6', 'postrouting', r.ofFamily(6), r.iif, r.inSet('snat6'), r.leaveAs(6)),
  rule('masqueraded IPv4', 'postrouting', r.ofFamily(4), r.iif, r.inSet('masq4'), r.masquerade),
  rule('masqueraded IPv6', 'postrouting', r.ofFamily(6), r.iif, r.inSet('masq6'), r.masquerade),
];

export const setNames = Object.keys(elementSets) as readonly ElementSet[];

/** Changes when anything above does: a table made by another version of us is recognised by it. */
export const versionOf = (chosen: readonly Rule[]): string =>
  hash('sha256', JSON.stringify([elementSets, hooks, chosen]), 'hex').slice(0, 16);

export const version = versionOf(rules);

const encodeName = (text: string): string =>
  text.replaceAll(/[^A-Za-z0-9_]/g, (char) => `_${char.charCodeAt(0).toString(16)}`);

export const tableName = (realm: string, host: string): string => `cnm_${encodeName(realm)}_${encodeName(host)}`;

/** Sets, chains and rules of a new table. */
export const encodeRuleset = (w: MessageWriter, table: string, chosen: readonly Rule[] = rules): void => {
  setNames.forEach((name, at) => {
    newSet(w, table, name, elementSets[name], at + 1);
  });
  for (const chain of plainChains) newChain(w, table, chain);
  for (const [chain, hook] of Object.entries(hooks)) newChain(w, table, chain, hook);
  for (const { chain, steps } of chosen) newRule(w, table, chain, steps);
};
