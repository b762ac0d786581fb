/** The catalogue's zod schemas as JSON Schema (draft-07), with what each field means. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { catalogue } from '../../events/catalogue.ts';
import { fieldMeanings } from '../../events/field-meanings.ts';

/** The part of draft-07 that zod writes. */
export interface JsonSchema {
  readonly [keyword: string]: unknown;
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly description?: string;
  readonly default?: unknown;
  readonly format?: string;
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly propertyNames?: JsonSchema;
  readonly additionalProperties?: boolean | JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
}

export type Definitions = Readonly<Record<string, JsonSchema>>;

/** Names under which the meaning of a field is looked up: its message first, then what several messages share. */
const contextsOf = (name: string, schema: JsonSchema, path: readonly string[]): readonly string[] => {
  const plain = name.replace(/\.v\d+$/, '');
  if (!name.includes('.v')) return ['Accepted', 'Refused', 'Outcome'].includes(plain) ? [plain, 'Answer'] : [plain];
  const isData = path[0] === 'data' && path.length > 1;
  if (isData) return [plain];
  return [schema.properties?.specversion ? 'Event' : 'Command'];
};

/** What a field means, by its path inside a named schema; undefined where nobody has said. */
const meaningOf = (name: string, schema: JsonSchema, path: readonly string[]): string | undefined => {
  const inside = name.includes('.v') && path[0] === 'data' && path.length > 1 ? path.slice(1) : path;
  const ends = inside.map((_, at) => inside.slice(at).join('.'));
  const contexts = contextsOf(name, schema, path);
  const keys = [...contexts.map((context) => `${context}.${ends[0]}`), ...ends];
  return keys.map((key) => fieldMeanings[key]).find((meaning) => meaning !== undefined);
};

/** zod's bounds of whole numbers are those of the language, which say nothing about the message. */
const isOfLanguage = (keyword: string, value: unknown): boolean =>
  (keyword === 'minimum' && value === Number.MIN_SAFE_INTEGER) ||
  (keyword === 'maximum' && value === Number.MAX_SAFE_INTEGER);

/** @param isField whether it is the schema of a field, and not one of several that a field may have */
type Visit = (schema: JsonSchema, path: readonly string[], isField: boolean) => JsonSchema;

/** Rebuilds a schema from its parts, from the outside in. */
const mapSchema = (schema: JsonSchema, path: readonly string[], visit: Visit, isField = false): JsonSchema => {
  const seen = visit(schema, path, isField);
  const result: Record<string, unknown> = {};
  const inner = (part: JsonSchema): JsonSchema => mapSchema(part, path, visit);
  for (const [keyword, value] of Object.entries(seen)) {
    if (keyword === 'properties') {
      const fields = Object.entries(value as Definitions);
      result[keyword] = Object.fromEntries(
        fields.map(([name, part]) => [name, mapSchema(part, [...path, name], visit, true)]),
      );
    } else if (keyword === 'anyOf' || keyword === 'oneOf')
      result[keyword] = (value as readonly JsonSchema[]).map(inner);
    else if (keyword === 'items' || (keyword === 'additionalProperties' && typeof value === 'object')) {
      result[keyword] = inner(value as JsonSchema);
    } else result[keyword] = value;
  }
  return result as JsonSchema;
};

/** `{anyOf: [{type: "number", const: 4}, …]}` is `{enum: [4, …]}`. */
const asEnum = (schema: JsonSchema): JsonSchema => {
  const { anyOf, ...rest } = schema;
  if (!anyOf || anyOf.some((part) => part.const === undefined)) return schema;
  return { ...rest, enum: anyOf.map((part) => part.const) };
};

/** zod writes formats of its own too, beside the pattern that says the same. */
const isKept = (keyword: string, value: unknown): boolean =>
  keyword === 'format' ? value === 'date-time' : keyword !== '$id' && keyword !== '$schema';

const clean: Visit = (schema) => {
  const kept = Object.entries(asEnum(schema)).filter(
    ([keyword, value]) => isKept(keyword, value) && !isOfLanguage(keyword, value),
  );
  return Object.fromEntries(kept) as JsonSchema;
};

/** Puts meanings on fields. In draft-07 what stands beside a `$ref` is ignored, so a reference is wrapped. */
const described =
  (name: string, root: JsonSchema): Visit =>
  (schema, path, isField) => {
    const description = isField ? meaningOf(name, root, path) : undefined;
    if (description === undefined) return schema;
    return schema.$ref === undefined ? { description, ...schema } : { description, allOf: [schema] };
  };

/**
 * Every schema of the catalogue by its id, sorted, references as `prefix` and the id.
 * `io: input`: what a sender may leave out is not required, and readers are told to bear fields that they do not know.
 */
export const definitionsUnder = (prefix: string): Definitions => {
  const { schemas } = z.toJSONSchema(catalogue, {
    target: 'draft-7',
    io: 'input',
    metadata: catalogue,
    uri: (id) => `${prefix}${id}`,
  });
  const named = Object.entries(schemas as Definitions).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(
    named.map(([name, schema]) => [name, mapSchema(mapSchema(schema, [], clean), [], described(name, schema))]),
  );
};

/** Paths of fields that nobody has said the meaning of: `NAME: path`. */
export const undescribed = (definitions: Definitions): readonly string[] => {
  const missing: string[] = [];
  for (const [name, schema] of Object.entries(definitions)) {
    mapSchema(schema, [], (part, path) => {
      for (const [field, { description }] of Object.entries(part.properties ?? {})) {
        if (description === undefined) missing.push(`${name}: ${[...path, field].join('.')}`);
      }
      return part;
    });
  }
  return missing;
};

/**
 * Events that are not written any more but stay on every log that has them, as schemas.json had them while they were: nothing
 * generates them anew. A part that has changed since bears the version of its event.
 */
const former = JSON.parse(readFileSync(join(import.meta.dirname, 'former-versions.json'), 'utf8')) as Definitions;

/** docs/generated/schemas.json. */
export const schemasDocument = (): object => ({
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'Messages of cnmbus',
  description:
    'Generated from events/catalogue.ts by `npm run docs`. A message is checked against one of the definitions.',
  definitions: { ...definitionsUnder('#/definitions/'), ...former },
});
