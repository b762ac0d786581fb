/**
 * JSON as Go's encoding/json writes and reads it, since that is what plugins have been written against. Written: fields of a struct in
 * their order, keys of a map sorted by their bytes, `<`, `>`, `&` and the two line separators escaped. Read: keys without regard to case,
 * unknown ones ignored, missing ones and `null` the zero value.
 */
import { z } from 'zod';

/** A plain object is a struct, whose fields keep their order; a Map is a map, whose keys are sorted. */
export type GoValue =
  | string
  | number
  | boolean
  | null
  | readonly GoValue[]
  | ReadonlyMap<string, GoValue>
  | { readonly [field: string]: GoValue };

const escapes: Readonly<Record<string, string>> = {
  '<': '\\u003c',
  '>': '\\u003e',
  '&': '\\u0026',
  '\u2028': '\\u2028',
  '\u2029': '\\u2029',
};

const goString = (text: string): string =>
  JSON.stringify(text.toWellFormed()).replaceAll(/[<>&\u2028\u2029]/g, (character) => escapes[character] ?? '');

const byBytes = ([a]: readonly [string, GoValue], [b]: readonly [string, GoValue]): number =>
  Buffer.compare(Buffer.from(a), Buffer.from(b));

const isList = (value: GoValue): value is readonly GoValue[] => Array.isArray(value);

/** The text that Go's json.Marshal makes of the value. */
export const goJson = (value: GoValue): string => {
  if (typeof value === 'string') return goString(value);
  if (value === null || typeof value !== 'object') return String(value);
  if (isList(value)) return `[${value.map(goJson).join(',')}]`;
  const entries = value instanceof Map ? [...value].sort(byBytes) : Object.entries(value);
  return `{${entries.map(([key, item]) => `${goString(key)}:${goJson(item)}`).join(',')}}`;
};

/** A map of texts, such as the options of a user. */
export const goMap = (entries: Readonly<Record<string, GoValue>>): ReadonlyMap<string, GoValue> =>
  new Map(Object.entries(entries));

/** The value with the keys named as the fields are, and without those that are unknown or null. The later of two equal ones counts. */
const fold =
  (fields: readonly string[]) =>
  (value: unknown): unknown => {
    if (value === null) return {};
    if (typeof value !== 'object' || Array.isArray(value)) return value;
    const known = new Map(fields.map((field) => [field.toLowerCase(), field]));
    const entries = Object.entries(value).flatMap(([key, item]) => {
      const field = known.get(key.toLowerCase());
      return field === undefined || item === null ? [] : [[field, item] as const];
    });
    return Object.fromEntries(entries);
  };

/** A Go struct as it is read. Every field says its own zero value, with `default` or `optional`. */
export const goStruct = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z.preprocess(fold(Object.keys(shape)), z.object(shape));

export const goText = z.string().default('');
export const goFlag = z.boolean().default(false);
/** A map of texts; a value that is null is the empty text. */
export const goTexts = z
  .record(
    z.string(),
    z
      .string()
      .nullable()
      .transform((text) => text ?? ''),
  )
  .default({});

/** The value behind the body of an answer, or what is wrong with it. An empty body is an error, as it is in Docker (EOF). */
export const readBody = (
  body: string,
): { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly problem: string } => {
  if (body.trim() === '') return { ok: false, problem: 'an empty body, where a JSON object is due' };
  try {
    return { ok: true, value: JSON.parse(body) };
  } catch (error) {
    return { ok: false, problem: `no JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
};
