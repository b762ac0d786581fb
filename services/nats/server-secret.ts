/** What the embedded server lets its own in by: a password of its data directory, the same for as long as that lasts. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../lib/clock.ts';

export const SERVER_USER = 'cnm';
const FILE = 'nats.secret';
/** Of 36 signs: 165 bits. */
const SIGNS = 32;
const SECRET = /^[A-Za-z0-9_-]{32,128}$/;

/**
 * The password, made at the first start and kept in `dataDir/nats.secret`, which nobody else may read: clients that stay connected over a
 * restart go on with it. What is no password there (an empty file, as a full disk leaves it) is replaced.
 */
export const serverSecret = (dataDir: string, clock: Clock): string => {
  const path = join(dataDir, FILE);
  try {
    const kept = readFileSync(path, 'utf8').trim();
    if (SECRET.test(kept)) return kept;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const secret = clock.randomId(SIGNS);
  // whatever mode an unusable one had
  rmSync(path, { force: true });
  writeFileSync(path, `${secret}\n`, { mode: 0o600, flag: 'wx', flush: true });
  return secret;
};
