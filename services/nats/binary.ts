/** Finding a nats-server that is new enough. */
import { execFileSync } from 'node:child_process';
import { accessSync, constants, readdirSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Problem } from './problem.ts';
import { isNewEnough, SERVER_VERSION_LEAST } from './streams.ts';

const NAME = 'nats-server';
/** services/setup/nats-server.sh puts the file directly into the folder; a Debian package unpacked there has it in usr/sbin. */
const DEPTH_MOST = 4;
const VERSION_TIMEOUT_MS = 5_000;

export type FoundBinary =
  | { readonly ok: true; readonly path: string; readonly version: string }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/**
 * The nats-server to embed: the first on `searchPath` (the value of PATH) that is 2.12 or newer, else one below `cacheDir`, which is the
 * project's `.cache/nats-server`. The version is what the program itself prints.
 */
export const findServerBinary = (options: { readonly searchPath: string; readonly cacheDir: string }): FoundBinary => {
  const onPath = options.searchPath
    .split(delimiter)
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, NAME));
  const tooOld: string[] = [];
  for (const path of [...onPath.filter(isProgram), ...programsBelow(options.cacheDir, DEPTH_MOST)]) {
    const version = versionOf(path);
    if (version !== null && isNewEnough(version)) return { ok: true, path, version };
    tooOld.push(`${path} (${version ?? 'does not run'})`);
  }
  const remedy = `Run npm run setup, or put nats-server ${SERVER_VERSION_LEAST.major}.${SERVER_VERSION_LEAST.minor} or newer on PATH.`;
  if (tooOld.length > 0)
    return { ok: false, problems: [{ code: 'SERVER_TOO_OLD', text: `Too old: ${tooOld.join(', ')}.`, remedy }] };
  const text = `There is no ${NAME} on PATH nor below ${options.cacheDir}.`;
  return { ok: false, problems: [{ code: 'SERVER_NOT_FOUND', text, remedy }] };
};

const isProgram = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
};

const programsBelow = (folder: string, depth: number): readonly string[] => {
  const direct = join(folder, NAME);
  if (isProgram(direct)) return [direct];
  if (depth === 0) return [];
  try {
    const entries = readdirSync(folder, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory())
      .flatMap((entry) => programsBelow(join(folder, entry.name), depth - 1));
  } catch {
    return [];
  }
};

const versionOf = (path: string): string | null => {
  try {
    const said = execFileSync(path, ['--version'], {
      encoding: 'utf8',
      timeout: VERSION_TIMEOUT_MS,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return /v?(\d+\.\d+\.\d+\S*)/.exec(said)?.[1] ?? null;
  } catch {
    return null;
  }
};
