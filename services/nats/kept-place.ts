/**
 * What `cnm nats-config` was told of its server, kept beside the configuration (`settings.json`): a later call says only what is new, and
 * whoever adds an actor does not open a server that asked for certificates.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { NatsFault } from './fault.ts';

const KeptPlace = z.strictObject({
  /** `0.0.0.0:4222` */
  listen: z.string(),
  /** Null: no monitoring port. */
  monitor: z.string().nullable(),
  storeDir: z.string(),
  keys: z.string(),
  url: z.string(),
  tls: z.strictObject({ cert: z.string(), key: z.string(), ca: z.string().nullable() }).nullable(),
});
export type KeptPlace = z.infer<typeof KeptPlace>;

const pathIn = (directory: string): string => join(directory, 'settings.json');

export const placeFile = (directory: string, place: KeptPlace): readonly [path: string, content: string] => [
  pathIn(directory),
  `${JSON.stringify(place, null, 2)}\n`,
];

/** Null where nothing was written yet. @throws NatsFault CREDENTIALS_UNREADABLE for a file that is not ours */
export const keptPlace = (directory: string): KeptPlace | null => {
  const path = pathIn(directory);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    return KeptPlace.parse(JSON.parse(text));
  } catch (error) {
    throw new NatsFault('CREDENTIALS_UNREADABLE', `${path} holds no settings: remove it, and name all of them again`, {
      cause: error,
    });
  }
};
