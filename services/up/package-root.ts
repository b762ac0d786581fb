/** Where this package lies, and which version of it this is. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';

/** The folder of package.json: two levels up in the repository, three in the built package. */
const findRoot = (folder: string): string => {
  if (existsSync(join(folder, 'package.json'))) return folder;
  const parent = dirname(folder);
  if (parent === folder) throw new Error('cnmbus is not installed: no package.json above its files');
  return findRoot(parent);
};

export const packageRoot = findRoot(import.meta.dirname);

/** Of package.json. */
export const packageVersion = z
  .object({ version: z.string() })
  .parse(JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8'))).version;

/** Where services/setup/nats-server.sh puts a nats-server. */
export const serverCache = join(packageRoot, '.cache/nats-server');
