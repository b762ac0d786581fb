/** The catalogue has a meaning for everything, and a golden sample of every released version stays readable for ever. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { definitionsUnder, undescribed } from '../../docs/generate/json-schema.ts';
import {
  codeMeanings,
  commandMeanings,
  commandName,
  eventMeanings,
  eventName,
  stateMeanings,
} from '../../events/catalogue.ts';
import { Command, commandTypes } from '../../events/commands.ts';
import { cloudType, decodeCommit, encodeEvent, eventVersions } from '../../events/envelope.ts';
import { type EventType, eventData } from '../../events/events.ts';
import { Answer, Query, QueryAnswer, viewNames } from '../../events/queries.ts';
import { codes } from '../../events/refusals.ts';
import { endpointStates, networkStates, sandboxStates } from '../../events/states.ts';
import { upcasts } from '../../events/upcasts.ts';

const golden = join(import.meta.dirname, '../golden');
const read = (file: string): unknown => JSON.parse(readFileSync(join(golden, file), 'utf8'));
const namesIn = (folder: string): readonly string[] =>
  readdirSync(join(golden, folder)).map((file) => file.replace('.json', ''));

const eventTypes = Object.keys(eventData) as readonly EventType[];
/** Every version that was ever released. */
const released = eventTypes.flatMap((type) =>
  Array.from({ length: eventVersions[type] }, (_, index) => ({ type, version: index + 1 })),
);
const decode = (event: unknown) => decodeCommit(new TextEncoder().encode(JSON.stringify([event])))[0];

describe('meanings', () => {
  const isSaid = (text: string | undefined): boolean => /^.{3,}[^ ]$/.test(text ?? '');

  it('of every command, event, code and state', () => {
    for (const type of commandTypes) assert.ok(isSaid(commandMeanings[type]), type);
    for (const type of eventTypes) assert.ok(isSaid(eventMeanings[type]), type);
    for (const code of Object.keys(codes) as (keyof typeof codes)[]) assert.ok(isSaid(codeMeanings[code]), code);
    for (const state of networkStates) assert.ok(isSaid(stateMeanings.network[state]), state);
    for (const state of endpointStates) assert.ok(isSaid(stateMeanings.endpoint[state]), state);
    for (const state of sandboxStates) assert.ok(isSaid(stateMeanings.sandbox[state]), state);
  });

  it('of every field of every message', () => {
    assert.deepEqual(undescribed(definitionsUnder('#/definitions/')), []);
  });
});

describe('golden samples of events', () => {
  it('are there for every released version, and for nothing else', () => {
    assert.deepEqual(
      [...namesIn('events')].sort(),
      released.map(({ type, version }) => eventName(type, version)).sort(),
    );
  });

  it('have an upcast for every version that is not the current one', () => {
    const old = released.filter(({ type, version }) => version < eventVersions[type]);
    assert.deepEqual(Object.keys(upcasts).sort(), old.map(({ type, version }) => `${type}.v${version}`).sort());
  });

  it('and documentation for every version', () => {
    const page = readFileSync(join(golden, '../../docs/events.md'), 'utf8');
    for (const { type, version } of released) assert.match(page, new RegExp(`^####? ${type}\\.v${version}$`, 'm'));
  });

  for (const { type, version } of released) {
    it(`${type}.v${version} is read, in the shape of today`, () => {
      const stored = read(`events/${type}.v${version}.json`) as Record<string, unknown>;
      assert.equal(stored.type, cloudType(type, version));
      const event = decode(stored);
      assert.ok(event);
      assert.equal(event.type, type);
      assert.equal(event.version, eventVersions[type]);
      eventData[type].parse(event.data);
      // what is written today is the same, byte for byte
      if (version !== eventVersions[type]) return;
      const { id, source, subject, time, specversion, type: _type, data, ...rest } = stored as Record<string, never>;
      assert.equal(
        encodeEvent({ ...event, meta: { id, source, subject, time, ...rest } as never }),
        JSON.stringify(stored),
      );
      assert.ok(specversion && data);
    });
  }

  it('of a version that is not known yet stop the reader', () => {
    const stored = read('events/NetworkCreated.v1.json') as Record<string, unknown>;
    assert.throws(() => decode({ ...stored, type: 'cnm.NetworkCreated.v2' }), /newer than v1/);
    assert.throws(() => decode({ ...stored, type: 'cnm.RouterCreated.v1' }), /unknown/);
  });
});

describe('golden samples of messages', () => {
  it('are there for every command, and are commands', () => {
    assert.deepEqual([...namesIn('commands')].sort(), commandTypes.map(commandName).sort());
    for (const name of namesIn('commands'))
      assert.equal(commandName(Command.parse(read(`commands/${name}.json`)).type), name);
  });

  it('are answers of every kind', () => {
    const kinds = namesIn('answers').map((name) => Answer.parse(read(`answers/${name}.json`)).kind);
    assert.deepEqual([...new Set(kinds)].sort(), ['accepted', 'outcome', 'refused']);
  });

  it('are there for every view, and are queries with their answers', () => {
    for (const name of [...viewNames, 'events', 'status']) {
      assert.ok(existsSync(join(golden, `queries/${name}.json`)), name);
      const { request, answer } = read(`queries/${name}.json`) as { request: unknown; answer: unknown };
      Query.parse(request);
      assert.ok(QueryAnswer.parse(answer).rows.length > 0, name);
    }
  });
});
