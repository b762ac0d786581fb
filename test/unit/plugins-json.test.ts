/** JSON as Go writes and reads it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { z } from 'zod';
import {
  type GoValue,
  goFlag,
  goJson,
  goMap,
  goStruct,
  goText,
  goTexts,
  readBody,
} from '../../services/plugins/go-json.ts';

describe('what is written', () => {
  const cases: readonly (readonly [string, GoValue, string])[] = [
    ['fields of a struct in their order', { Z: 1, A: 'x', M: null }, '{"Z":1,"A":"x","M":null}'],
    ['keys of a map sorted', goMap({ b: 1, a: 2, 'a.b': 3, B: 4 }), '{"B":4,"a":2,"a.b":3,"b":1}'],
    ['keys by their bytes, not by UTF-16', goMap({ '\u{1f600}': 1, '\ufffd': 2 }), '{"\ufffd":2,"\u{1f600}":1}'],
    ['numbers as keys where they belong', goMap({ 10: 1, 9: 2, a: 3 }), '{"10":1,"9":2,"a":3}'],
    ['what is special in HTML escaped', 'a<b>&c', '"a\\u003cb\\u003e\\u0026c"'],
    ['line separators escaped', '\u2028\u2029', '"\\u2028\\u2029"'],
    ['control characters as Go has them', '\b\f\n\r\t\u0001"\\', '"\\b\\f\\n\\r\\t\\u0001\\"\\\\"'],
    ['half a surrogate pair as the replacement character', 'a\ud800', '"a\ufffd"'],
    ['empty lists and maps', { L: [], M: goMap({}) }, '{"L":[],"M":{}}'],
    ['lists in their order', [true, false, [2, 1]], '[true,false,[2,1]]'],
  ];
  for (const [what, value, text] of cases) it(what, () => assert.equal(goJson(value), text));

  it('reads back as what it was', () => {
    const property = fc.property(fc.dictionary(fc.string(), fc.string()), (texts) => {
      const wellFormed = Object.entries(texts).map(([key, text]) => [key.toWellFormed(), text.toWellFormed()] as const);
      const wanted = new Map(wellFormed);
      const read = new Map(Object.entries(JSON.parse(goJson(goMap(texts))) as Record<string, string>));
      assert.deepEqual([...read].sort(), [...wanted].sort());
    });
    fc.assert(property);
  });
});

describe('what is read', () => {
  const Inner = goStruct({ Name: goText, On: goFlag });
  const Outer = goStruct({
    Text: goText,
    Count: z.int().default(0),
    Inner: Inner.optional(),
    Map: goTexts,
    List: z.array(Inner).default([]),
  });
  const zero = { Text: '', Count: 0, Map: {}, List: [] };
  const cases: readonly (readonly [string, unknown, unknown])[] = [
    ['missing fields are zero', {}, zero],
    ['null is an empty struct', null, zero],
    ['null fields are zero', { Text: null, Count: null, Inner: null, Map: null, List: null }, zero],
    ['unknown fields are ignored', { Text: 'x', Other: [1] }, { ...zero, Text: 'x' }],
    ['keys have no case', { tEXT: 'x', INNER: { name: 'n' } }, { ...zero, Text: 'x', Inner: { Name: 'n', On: false } }],
    ['the later of two counts', { Text: 'x', text: 'y' }, { ...zero, Text: 'y' }],
    ['keys of maps keep their case', { Map: { a: '1', A: '2', n: null } }, { ...zero, Map: { a: '1', A: '2', n: '' } }],
    ['null in a list is a zero struct', { List: [null] }, { ...zero, List: [{ Name: '', On: false }] }],
  ];
  for (const [what, value, read] of cases) it(what, () => assert.deepEqual(Outer.parse(value), read));

  for (const wrong of [
    { Text: 1 },
    { Count: '1' },
    { Count: 1.5 },
    { Inner: [] },
    { Inner: 'x' },
    { Map: { a: 1 } },
    [],
    'x',
    1,
  ])
    it(`${JSON.stringify(wrong)} is refused`, () => assert.ok(!Outer.safeParse(wrong).success));

  it('a body has to be there and to be JSON', () => {
    assert.deepEqual(readBody('{"a":1}\n'), { ok: true, value: { a: 1 } });
    assert.deepEqual(readBody('null'), { ok: true, value: null });
    for (const body of ['', ' \n', '{', '<html>', '{"a":1}}']) assert.equal(readBody(body).ok, false, body);
  });
});
