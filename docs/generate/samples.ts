/** Golden samples: messages of a real run (test/golden/record.ts), which examples in the documents are taken from. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../../test/golden');

/** `events/EndpointJoined.v1` */
export const sample = (name: string): unknown => JSON.parse(readFileSync(join(root, `${name}.json`), 'utf8'));

/** `wire/exchange.txt` */
export const sampleText = (name: string): string => readFileSync(join(root, name), 'utf8');

/** The part of a sample that a path of field names leads to; the whole of it without a path. */
export const samplePart = (name: string, path: readonly string[]): unknown =>
  path.reduce<unknown>((value, field) => (value as Record<string, unknown>)[field], sample(name));
