/** What views are folded by: the same text is the same fold, so what one process has folded another may go on from. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

/** Hexadecimal characters of the digest that are used: a name of a folder. */
const LENGTH = 16;

const filesBelow = (folder: string): readonly string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

/** Digest over names and bytes of all files below these folders of a root, whatever the order in which they are found. */
export const digestOfFiles = (root: string, folders: readonly string[]): string => {
  const hash = createHash('sha256');
  const files = folders.flatMap((folder) => filesBelow(join(root, folder)));
  for (const file of files.sort()) {
    const bytes = readFileSync(file);
    hash.update(`${relative(root, file)} ${bytes.length}\n`).update(bytes);
  }
  return hash.digest('hex').slice(0, LENGTH);
};

let known: string | null = null;

/** The digest of the rules and folds that run here, as sources or built. Reads some 400 KB, once. */
export const foldCode = (): string => {
  known ??= digestOfFiles(join(import.meta.dirname, '../..'), ['events', 'projections']);
  return known;
};
