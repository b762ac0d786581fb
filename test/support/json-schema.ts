/**
 * A check of values against JSON Schema, draft-07, as far as our documents use it. It knows nothing of zod, so it shows what others see;
 * a keyword that it does not know is an error, never passed over.
 */
import type { JsonSchema } from '../../docs/generate/json-schema.ts';

const annotations = new Set(['$schema', 'title', 'description', 'default', 'format']);

type Rule = (operand: never, value: unknown, context: Context) => readonly string[];

interface Context {
  readonly root: JsonSchema;
  readonly at: string;
  readonly schema: JsonSchema;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isOfType = (type: string, value: unknown): boolean => {
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return isObject(value);
  if (type === 'null') return value === null;
  if (type === 'integer') return Number.isInteger(value);
  return typeof value === type;
};

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
const when = (problem: boolean, text: string): readonly string[] => (problem ? [text] : []);
const size = (value: unknown): number => (typeof value === 'string' ? [...value].length : 0);

const inner = (schema: JsonSchema, value: unknown, { root }: Context, at: string): readonly string[] =>
  problemsOf(schema, value, root, at);

const choice = (schemas: readonly JsonSchema[], value: unknown, context: Context): number =>
  schemas.filter((schema) => inner(schema, value, context, context.at).length === 0).length;

/** What a `$ref` inside a document points to. */
export const resolveRef = (root: unknown, ref: string): unknown => {
  const steps = ref.replace(/^#\//, '').split('/');
  return steps.reduce<unknown>(
    (part, step) => (isObject(part) ? part[step.replaceAll('~1', '/').replaceAll('~0', '~')] : undefined),
    root,
  );
};

const rules: Readonly<Record<string, Rule>> = {
  $ref: (ref: string, value, context) => {
    const target = resolveRef(context.root, ref);
    return target === undefined
      ? [`${context.at}: ${ref} leads nowhere`]
      : inner(target as JsonSchema, value, context, context.at);
  },
  type: (types: string | readonly string[], value, { at }) =>
    when(![types].flat().some((type) => isOfType(type, value)), `${at}: is no ${types}`),
  const: (wanted: unknown, value, { at }) => when(!same(wanted, value), `${at}: is not ${JSON.stringify(wanted)}`),
  enum: (wanted: readonly unknown[], value, { at }) =>
    when(!wanted.some((one) => same(one, value)), `${at}: is none of ${JSON.stringify(wanted)}`),
  pattern: (pattern: string, value, { at }) =>
    when(typeof value === 'string' && !new RegExp(pattern, 'u').test(value), `${at}: does not match ${pattern}`),
  minLength: (least: number, value, { at }) =>
    when(typeof value === 'string' && size(value) < least, `${at}: too short`),
  maxLength: (most: number, value, { at }) => when(size(value) > most, `${at}: too long`),
  minimum: (least: number, value, { at }) => when(typeof value === 'number' && value < least, `${at}: too small`),
  maximum: (most: number, value, { at }) => when(typeof value === 'number' && value > most, `${at}: too large`),
  minItems: (least: number, value, { at }) => when(Array.isArray(value) && value.length < least, `${at}: too few`),
  maxItems: (most: number, value, { at }) => when(Array.isArray(value) && value.length > most, `${at}: too many`),
  items: (schema: JsonSchema, value, context) =>
    Array.isArray(value) ? value.flatMap((item, index) => inner(schema, item, context, `${context.at}/${index}`)) : [],
  properties: (schemas: Readonly<Record<string, JsonSchema>>, value, context) =>
    isObject(value)
      ? Object.entries(schemas).flatMap(([name, schema]) =>
          name in value ? inner(schema, value[name], context, `${context.at}/${name}`) : [],
        )
      : [],
  required: (names: readonly string[], value, { at }) =>
    isObject(value) ? names.filter((name) => !(name in value)).map((name) => `${at}: lacks ${name}`) : [],
  propertyNames: (schema: JsonSchema, value, context) =>
    isObject(value) ? Object.keys(value).flatMap((name) => inner(schema, name, context, `${context.at}/${name}`)) : [],
  additionalProperties: (schema: boolean | JsonSchema, value, context) => {
    const known = context.schema.properties ?? {};
    const others = isObject(value) ? Object.entries(value).filter(([name]) => !(name in known)) : [];
    return others.flatMap(([name, field]) => {
      if (typeof schema === 'boolean') return when(!schema, `${context.at}: has an unknown field ${name}`);
      return inner(schema, field, context, `${context.at}/${name}`);
    });
  },
  allOf: (schemas: readonly JsonSchema[], value, context) =>
    schemas.flatMap((schema) => inner(schema, value, context, context.at)),
  anyOf: (schemas: readonly JsonSchema[], value, context) =>
    when(choice(schemas, value, context) === 0, `${context.at}: fits none of the choices`),
  oneOf: (schemas: readonly JsonSchema[], value, context) =>
    when(choice(schemas, value, context) !== 1, `${context.at}: fits not exactly one of the choices`),
};

/** What is wrong with a value; empty when it fits. `root` is the document that references point into. */
export const problemsOf = (schema: JsonSchema, value: unknown, root: JsonSchema, at = ''): readonly string[] =>
  Object.entries(schema).flatMap(([keyword, operand]) => {
    if (annotations.has(keyword)) return [];
    const rule = rules[keyword];
    return rule ? rule(operand as never, value, { root, at, schema }) : [`${at}: unknown keyword ${keyword}`];
  });
