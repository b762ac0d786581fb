/** Logs of all that was ever released, each an export with digests of the views at some of its positions. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createViews } from '../../projections/views.ts';
import { type Export, openExport } from '../../services/audit/open-export.ts';
import { foldUntil } from '../../services/projector/fold.ts';
import { digestOf } from '../../services/projector/rebuild.ts';

/** By position, as text; ascending. */
export type Digests = Readonly<Record<string, string>>;

const folder = import.meta.dirname;

export const filesOf = (name: string): { readonly log: string; readonly digests: string } => ({
  log: join(folder, name, 'log.ndjson.zst'),
  digests: join(folder, name, 'digests.json'),
});

/** Oldest first: they are named by the day of the version that wrote them, and a letter where a day had several. */
export const corpora = (): readonly string[] =>
  readdirSync(folder)
    .filter((name) => existsSync(filesOf(name).log))
    .sort();

export const openCorpus = (name: string): Promise<Export> => openExport(filesOf(name).log);

export const readDigests = (name: string): Digests => JSON.parse(readFileSync(filesOf(name).digests, 'utf8'));

/** Of the views of this version of the code, at ascending positions. */
export const digestsAt = async (log: Export, positions: readonly number[]): Promise<Digests> => {
  const views = createViews();
  const digests: Record<string, string> = {};
  for (const position of positions) {
    await foldUntil(log, views, position);
    digests[position] = await digestOf(views);
  }
  return digests;
};
