/** Writes every generated document: `npm run docs`. A test fails until that was done after a change of what they are made from. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { documents, root } from './generate/documents.ts';

for (const [file, text] of documents()) {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), text);
}
