// Addresses against a model that keeps everything in lists and searches them from end to end.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatIp, hostRange, lastAddress } from '../../events/ip.ts';
import {
  type AddressPool,
  addressPool,
  checkAddress,
  chooseAddress,
  holdAddress,
  holderOf,
  releaseAddress,
} from '../../events/ipam.ts';
import { Journal } from '../../events/table.ts';
import { cidr, journalOp, type Release } from '../support/choices.ts';

const quarantineMs = 50;

interface AddressModel {
  held: Map<bigint, string>;
  used: Set<bigint>;
  releases: Release<bigint>[];
}

function expectedAddress(
  model: AddressModel,
  pool: AddressPool,
  nowMs: number,
): { address: string; isEarly: boolean } | null {
  const inFamily = (value: bigint) => formatIp(pool.subnet.family, value);
  const rested = model.releases.find(({ atMs }) => nowMs - atMs >= quarantineMs);
  const isCrowded = model.releases.length >= pool.rememberMax;
  if (rested && isCrowded) return { address: inFamily(rested.of), isEarly: false };
  for (let value = pool.range.first; value <= pool.range.last; value++) {
    if (!model.used.has(value)) return { address: inFamily(value), isEarly: false };
  }
  if (rested) return { address: inFamily(rested.of), isEarly: false };
  const oldest = model.releases[0];
  return oldest ? { address: inFamily(oldest.of), isEarly: true } : null;
}

const addressOp = fc.oneof(
  { weight: 5, arbitrary: fc.record({ op: fc.constant('take' as const) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('hold' as const), at: fc.integer({ min: -1, max: 16 }) }) },
  { weight: 5, arbitrary: fc.record({ op: fc.constant('release' as const), at: fc.nat(15), wrong: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('wait' as const), ms: fc.nat(100) }) },
  { weight: 2, arbitrary: journalOp },
);

const poolShape = fc.constantFrom(
  { subnet: '10.0.0.0/28', range: null },
  { subnet: '10.0.0.0/28', range: '10.0.0.8/30' },
  { subnet: '10.0.0.0/28', range: '10.0.0.12/30' },
  { subnet: '10.0.0.0/30', range: null },
  { subnet: '10.0.0.0/31', range: null },
  { subnet: '10.0.0.7/32', range: null },
  { subnet: 'fd00::/124', range: null },
  { subnet: 'fd00::/124', range: 'fd00::/126' },
  { subnet: 'fd00::2/127', range: null },
);

test('addresses: as the model, through tries that are taken back', () => {
  const setup = fc.record({ shape: poolShape, gateway: fc.boolean(), rememberMax: fc.constantFrom(1, 3, 65_536) });
  fc.assert(
    fc.property(setup, fc.array(addressOp, { maxLength: 80, size: 'max' }), ({ shape, gateway, rememberMax }, ops) => {
      const journal = new Journal();
      const subnet = cidr(shape.subnet);
      const first = hostRange(subnet).first;
      const facts = { ...shape, gateway: gateway ? formatIp(subnet.family, first) : null, aux: {} };
      const pool = addressPool(journal, facts, rememberMax);
      let model: AddressModel = { held: new Map(), used: new Set(), releases: [] };
      let saved: AddressModel | null = null;
      let nowMs = 0;
      let serial = 0;
      const hold = (value: bigint, id: string) => {
        const isPossible = value >= subnet.base && value <= lastAddress(subnet) && !model.held.has(value);
        assert.equal(holdAddress(pool, formatIp(subnet.family, value), { kind: 'endpoint', id }), isPossible);
        if (!isPossible) return;
        model.held.set(value, id);
        model.used.add(value);
        model.releases = model.releases.filter(({ of }) => of !== value);
      };
      if (gateway) {
        model.held.set(first, facts.gateway ?? '');
        model.used.add(first);
      }
      const run = (op: (typeof ops)[number]) => {
        nowMs += 1;
        serial += 1;
        if (op.op === 'wait') nowMs += op.ms;
        if (op.op === 'begin' && !saved) {
          journal.begin();
          saved = structuredClone(model);
        }
        if (op.op === 'commit' && saved) {
          journal.commit();
          saved = null;
        }
        if (op.op === 'rollback' && saved) {
          journal.rollback();
          model = saved;
          saved = null;
        }
        if (op.op === 'hold') hold(subnet.base + BigInt(op.at), `e${serial}`);
        if (op.op === 'take') {
          const choice = chooseAddress(pool, { nowMs, quarantineMs });
          if (choice.ok) hold(parse(choice.value.address), `e${serial}`);
        }
        if (op.op === 'release') {
          const value = subnet.base + BigInt(op.at);
          const id = op.wrong === 0 ? 'nobody' : (model.held.get(value) ?? 'nobody');
          const isPossible = id !== 'nobody';
          assert.equal(releaseAddress(pool, formatIp(subnet.family, value), id, nowMs), isPossible);
          if (!isPossible) return;
          model.held.delete(value);
          if (value >= pool.range.first && value <= pool.range.last) model.releases.push({ of: value, atMs: nowMs });
        }
      };
      for (const op of ops) {
        run(op);
        const choice = chooseAddress(pool, { nowMs, quarantineMs });
        assert.deepEqual(choice.ok ? choice.value : null, expectedAddress(model, pool, nowMs));
        if (choice.ok) assert.ok(checkAddress(pool, choice.value.address).ok, 'what is chosen could be asked for');
        for (let value = subnet.base; value <= lastAddress(subnet); value++) {
          const id = holderOf(pool, formatIp(subnet.family, value))?.id ?? null;
          assert.equal(id, model.held.get(value) ?? null);
        }
      }
    }),
    { numRuns: 1000 },
  );
});

const parse = (text: string): bigint => cidr(`${text}/${text.includes(':') ? 128 : 32}`).base;
