// Whatever single thing is changed in a log that is sealed by checkpoints and an end is found, at the right place; in an unchanged one nothing is.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { before, test } from 'node:test';
import fc from 'fast-check';
import type { FindingKind } from '../../services/audit/finding.ts';
import { keyIdOf } from '../../services/audit/keys.ts';
import {
  hashOf,
  realmLog,
  rechained,
  renumbered,
  type Sealed,
  type Stored,
  sealed,
  verified,
  withHeader,
} from '../support/tampered.ts';

const EVERY = 7;
const own = generateKeyPairSync('ed25519');
const other = generateKeyPairSync('ed25519');
const keys = new Map([[keyIdOf(own.publicKey), own.publicKey]]);

let whole: Sealed;
before(async () => {
  whole = sealed(await realmLog(), own.privateKey, EVERY);
});

const findings = (changed: Partial<Sealed>) => verified({ ...whole, ...changed }, { keys, realm: 'test' }).findings;
const firstOf = (changed: Partial<Sealed>) => {
  const [first] = findings(changed);
  return first ?? assert.fail('nothing is found');
};
const at = (index: number): Stored => whole.log[index] ?? assert.fail(`no message ${index}`);
const without = (index: number): readonly Stored[] => whole.log.toSpliced(index, 1);
const replaced = (index: number, stored: Stored): readonly Stored[] => whole.log.with(index, stored);
/** The next message on the same subject, or the message itself. */
const successor = ({ position, subject }: Stored): number =>
  whole.log.find((stored) => stored.subject === subject && stored.position > position)?.position ?? position;
const isIn = (position: number, wanted: readonly number[], what: string): void =>
  assert.ok(wanted.includes(position), `${what}: first finding at ${position}, not at ${wanted.join(' or ')}`);

const flippedBit = (bytes: Uint8Array, bit: number): Uint8Array => {
  const copy = bytes.slice();
  const index = Math.floor(bit / 8) % copy.length;
  copy[index] = (copy[index] ?? 0) ^ (1 << (bit % 8));
  return copy;
};
/** One of the lower bits of one character, so that it stays ASCII. */
const flippedText = (text: string, bit: number): string => {
  const index = Math.floor(bit / 7) % text.length;
  const code = text.charCodeAt(index) ^ (1 << (bit % 7));
  return text.slice(0, index) + String.fromCharCode(code) + text.slice(index + 1);
};

const bit = fc.nat(100_000);
const anyIndex = () => fc.nat(whole.log.length - 1);
const check = <Values>(property: fc.IPropertyWithHooks<Values>): void =>
  fc.assert(property, { numRuns: 200 }) as undefined;

test('the log holds what it has to for this: several subjects, joint batches, checkpoints with messages behind them', () => {
  assert.ok(whole.log.length > 40, `${whole.log.length} messages`);
  assert.ok(whole.checkpoints.length >= 5);
  assert.ok(new Set(whole.log.map(({ subject }) => subject)).size >= 5);
  assert.ok(
    whole.log.some(({ headers }) => headers.some(([name]) => name === 'Cnm-Awaits' || name === 'Nats-Batch-Id')),
  );
  assert.notEqual(whole.end.last % EVERY, 0);
});

test('nothing is found in what is whole, with keys, without, and without checkpoints', () => {
  for (const changed of [{}, { checkpoints: [] }]) {
    assert.deepEqual(findings(changed), []);
    assert.deepEqual(verified({ ...whole, ...changed }, {}).findings, []);
  }
  const report = verified(whole, { keys });
  assert.deepEqual([report.first, report.last, report.messages], [1, whole.end.last, whole.log.length]);
  assert.equal(report.checkpoints, whole.checkpoints.length);
  const signed = whole.checkpoints.length * EVERY;
  assert.ok(report.covered.includes(`all up to ${signed}, by signatures`), report.covered.join('\n'));
  assert.ok(report.notCovered.some((text) => text.endsWith(`behind position ${signed}`)));
});

test('a flipped bit in a body is found at the message, or at the next on its subject', () => {
  check(
    fc.property(anyIndex(), bit, (index, which) => {
      const stored = at(index);
      const log = replaced(index, { ...stored, body: flippedBit(stored.body, which) });
      isIn(firstOf({ log }).position, [stored.position, successor(stored)], 'body');
      isIn(firstOf({ log, checkpoints: [] }).position, [stored.position, successor(stored)], 'body, end line alone');
    }),
  );
});

test('a flipped bit in a header is found at the message, or at the next on its subject', () => {
  check(
    fc.property(anyIndex(), fc.nat(20), fc.boolean(), bit, (index, line, inName, which) => {
      const stored = at(index);
      const headers = stored.headers.map(([name, value], n) => {
        if (n !== line % stored.headers.length) return [name, value] as const;
        return inName ? ([flippedText(name, which), value] as const) : ([name, flippedText(value, which)] as const);
      });
      const { position } = firstOf({ log: replaced(index, { ...stored, headers }) });
      isIn(position, [stored.position, successor(stored)], 'header');
    }),
  );
});

test('an event without one of its fields is found, and stops nothing', () => {
  for (const [index, stored] of whole.log.entries()) {
    for (const field of ['data', 'source', 'id', 'actor', 'type']) {
      const text = new TextDecoder().decode(stored.body);
      if (!text.includes(`"${field}"`)) continue;
      const body = new TextEncoder().encode(text.replaceAll(`"${field}"`, `"x${field}"`));
      const log = replaced(index, { ...stored, body });
      isIn(firstOf({ log }).position, [stored.position, successor(stored)], field);
      assert.ok(verified({ ...whole, log }, {}).found > 0);
    }
  }
});

test('another subject is found at the message, or where it is missed', () => {
  check(
    fc.property(anyIndex(), bit, fc.boolean(), (index, which, known) => {
      const stored = at(index);
      const others = whole.log.map(({ subject }) => subject).filter((subject) => subject !== stored.subject);
      const subject = known ? (others[which % others.length] ?? '') : flippedText(stored.subject, which);
      const { position } = firstOf({ log: replaced(index, { ...stored, subject }) });
      isIn(position, [stored.position, successor(stored)], 'subject');
    }),
  );
});

test('another time is found in the span between two checkpoints', () => {
  check(
    fc.property(anyIndex(), fc.integer({ min: 1, max: 2 ** 40 }), fc.boolean(), (index, ms, later) => {
      const stored = at(index);
      const recordedMs = stored.recordedMs + (later ? ms : -ms);
      const { position } = firstOf({ log: replaced(index, { ...stored, recordedMs }) });
      const from = Math.floor(index / EVERY) * EVERY + 1;
      assert.ok(position >= from && position <= stored.position + 1, `${position} for ${stored.position}`);
    }),
  );
});

test('another position is found', () => {
  check(
    fc.property(anyIndex(), fc.integer({ min: -200, max: 200 }), (index, shift) => {
      fc.pre(shift !== 0);
      const stored = at(index);
      const position = stored.position + shift;
      isIn(
        firstOf({ log: replaced(index, { ...stored, position }) }).position,
        [stored.position, position],
        'position',
      );
    }),
  );
});

test('a message that is gone is found at its position; where all are numbered anew, there or behind it', () => {
  for (const [index, { position }] of whole.log.entries()) {
    const first = firstOf({ log: without(index) });
    assert.equal(first.position, position);
    assert.ok(first.kind === 'gap' || first.kind === 'cut', first.kind);
    assert.ok(firstOf({ log: renumbered(without(index)) }).position >= position);
    assert.ok(firstOf({ log: renumbered(without(index)), checkpoints: [] }).position >= position);
  }
});

test('messages that changed places, or stand twice, are found there or behind', () => {
  check(
    fc.property(anyIndex(), anyIndex(), (one, two) => {
      fc.pre(one !== two);
      const swapped = renumbered(whole.log.with(one, at(two)).with(two, at(one)));
      const from = Math.floor(Math.min(one, two) / EVERY) * EVERY + 1;
      assert.ok(firstOf({ log: swapped }).position >= from);
      const [low, high] = one < two ? [one, two] : [two, one];
      const twice = renumbered(whole.log.toSpliced(high + 1, 0, at(low)));
      const found = findings({ log: twice });
      assert.ok(found.some(({ kind, position }) => kind === 'forged' && position === high + 2));
      assert.ok((found[0]?.position ?? 0) >= high + 1);
    }),
  );
});

test('a log that ends early is cut, at every length', () => {
  for (let length = 0; length < whole.log.length; length++) {
    const first = firstOf({ log: whole.log.slice(0, length) });
    assert.deepEqual([first.position, first.kind], [length + 1, 'cut'] satisfies [number, FindingKind]);
  }
});

test('a message between others that names the right hash and guard is found there or behind', () => {
  check(
    fc.property(anyIndex(), fc.nat(whole.log.length), (index, place) => {
      const { subject } = at(index);
      const last = whole.log.slice(0, place).findLast((stored) => stored.subject === subject);
      const body = new TextEncoder().encode('[]');
      let forged = withHeader({ ...at(index), body }, 'Nats-Msg-Id', 'f'.repeat(16));
      forged = withHeader(forged, 'Nats-Expected-Last-Subject-Sequence', String(last?.position ?? 0));
      if (last) forged = withHeader(forged, 'Cnm-Prev-Hash', hashOf(last));
      const log = renumbered(whole.log.toSpliced(place, 0, forged));
      assert.ok(firstOf({ log }).position >= Math.floor(place / EVERY) * EVERY + 1);
      assert.ok(firstOf({ log, checkpoints: [] }).position > place);
    }),
  );
});

test('a forger who makes the whole chain fit again is found by the next checkpoint', () => {
  check(
    fc.property(anyIndex(), bit, (index, which) => {
      const stored = at(index);
      const body = new TextEncoder().encode(`${new TextDecoder().decode(stored.body)}${' '.repeat(1 + (which % 9))}`);
      const log = rechained(replaced(index, { ...stored, body }));
      const first = firstOf({ log });
      const next = Math.ceil((index + 1) / EVERY) * EVERY;
      assert.ok(
        first.position >= stored.position && first.position <= Math.min(next, whole.end.last),
        String(first.position),
      );
      const signed = sealed(log, other.privateKey, EVERY);
      assert.deepEqual(verified(signed, {}).findings, []);
      const found = verified(signed, { keys }).findings;
      assert.deepEqual(new Set(found.map(({ kind }) => kind)), new Set(['checkpoint']));
      assert.equal(found[0]?.position, EVERY);
    }),
  );
});

test('checkpoints that are changed, signed by another, missing or in another order are found', () => {
  const strange = sealed(whole.log, other.privateKey, EVERY).checkpoints;
  for (const [index, signed] of whole.checkpoints.entries()) {
    const position = (index + 1) * EVERY;
    const is = (checkpoints: Sealed['checkpoints'], from = position): void => {
      const first = firstOf({ checkpoints });
      assert.equal(first.kind, 'checkpoint');
      assert.equal(first.position, from);
    };
    const stranger = strange[index] ?? assert.fail();
    is(whole.checkpoints.with(index, stranger));
    is(whole.checkpoints.with(index, { ...stranger, checkpoint: signed.checkpoint }));
    is(whole.checkpoints.with(index, { ...signed, checkpoint: `${signed.checkpoint} ` }));
    // The last one is not missed by anybody.
    if (index < whole.checkpoints.length - 1) is(whole.checkpoints.toSpliced(index, 1), position + EVERY);
  }
});
