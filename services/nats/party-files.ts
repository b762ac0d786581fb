/**
 * The folder of a server with accounts: `nats.conf`, and below `keys/` one folder for each who is to use it, such as `keys/actor-alice/` with
 * its seed (`seed.nk`, 0600) and its settings (`env`). Doing it again keeps what is there and adds to it.
 */
import { chmodSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { nkeys } from '@nats-io/transport-node';
import { decodeToken, encodeToken } from '../../events/names.ts';
import { makeFolder } from '../lib/make-folder.ts';
import {
  API_PREFIX,
  accountsConfig,
  type CoreService,
  coreServices,
  type Parties,
  type Person,
  type ServerPlace,
} from './accounts.ts';
import { NatsFault } from './fault.ts';
import { placeFile } from './kept-place.ts';

type Kind = 'service' | 'operator' | 'host' | 'actor' | 'reader' | 'viewer';
const kinds: readonly Kind[] = ['service', 'operator', 'host', 'actor', 'reader', 'viewer'];

export interface Wanted {
  readonly hosts: readonly string[];
  readonly actors: readonly string[];
  readonly viewers: readonly string[];
  readonly readers: readonly string[];
  readonly operators: readonly string[];
  /** Folders below `keys/` that are to go. */
  readonly remove: readonly string[];
  /** Where keys lie; `keys` below the directory when left out. */
  readonly keys?: string;
  readonly url: string;
  readonly place: ServerPlace;
}

export interface Written {
  /** Path of nats.conf. */
  readonly config: string;
  readonly parties: readonly { readonly name: string; readonly folder: string; readonly isNew: boolean }[];
}

interface Party {
  readonly kind: Kind;
  readonly name: string;
}

const folderName = ({ kind, name }: Party): string => `${kind}-${encodeToken(name)}`;

const parsePartyFolder = (folder: string): Party | null => {
  const kind = kinds.find((one) => folder.startsWith(`${one}-`));
  const name = kind === undefined ? null : decodeToken(folder.slice(kind.length + 1));
  return kind === undefined || name === null ? null : { kind, name };
};

/** People who are several of these have one key for it, whichever of their folders they are given. */
const personKinds = ['actor', 'reader', 'viewer'] as const;

/** A folder that the same person has already; null: none. */
const sameIn = (keys: string, { kind, name }: Party): string | null => {
  if (!personKinds.some((one) => one === kind)) return null;
  const others = personKinds.filter((one) => one !== kind).map((one) => join(keys, folderName({ kind: one, name })));
  return others.find((folder) => existsSync(join(folder, 'seed.nk'))) ?? null;
};

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * The public key of the seed that is there, or else of a new one. @param like a folder with the seed that is to be had here too
 * @throws NatsFault CREDENTIALS_UNREADABLE for a file that holds none
 */
const keyIn = (folder: string, like: string | null): { readonly key: string; readonly isNew: boolean } => {
  const path = join(folder, 'seed.nk');
  if (existsSync(path)) {
    try {
      return { key: nkeys.fromSeed(encoder.encode(readFileSync(path, 'utf8').trim())).getPublicKey(), isNew: false };
    } catch (error) {
      throw new NatsFault('CREDENTIALS_UNREADABLE', `${path} holds no key: remove it to have a new one`, {
        cause: error,
      });
    }
  }
  makeFolder(folder, 0o700);
  const seed = like === null ? null : encoder.encode(readFileSync(join(like, 'seed.nk'), 'utf8').trim());
  const pair = seed === null ? nkeys.createUser() : nkeys.fromSeed(seed);
  writeFileSync(path, `${decoder.decode(pair.getSeed())}\n`, { mode: 0o600, flag: 'wx', flush: true });
  return { key: pair.getPublicKey(), isNew: true };
};

/** The settings that go with a key, as a shell and Docker read them. */
const settingsOf = ({ kind, name }: Party, folder: string, url: string): string => {
  const isPerson = kind === 'actor' || kind === 'reader' || kind === 'viewer';
  const lines = [
    `CNM_NATS_URL=${url}`,
    `CNM_NATS_NKEY_FILE=${join(folder, 'seed.nk')}`,
    ...(kind === 'host' || isPerson ? [`CNM_NATS_API_PREFIX=${API_PREFIX}`] : []),
    ...(kind === 'service' || kind === 'host' ? ['CNM_NATS_SYNC=always', 'CNM_ACTORS=authenticated'] : []),
    ...(kind === 'host' ? [`CNM_HOST=${name}`] : []),
    ...(isPerson || kind === 'operator' ? [`CNM_ACTOR=${name}`] : []),
  ];
  return `${lines.join('\n')}\n`;
};

/** Under its name only when it is whole: a server may read it at any time. */
const replace = (path: string, content: string): void => {
  writeFileSync(`${path}.new`, content, { mode: 0o600, flush: true });
  renameSync(`${path}.new`, path);
};

/** @throws NatsFault CREDENTIALS_UNREADABLE; errors of the file system */
export const writeParties = (directory: string, wanted: Wanted): Written => {
  const { keys = join(directory, 'keys') } = wanted;
  for (const path of [directory, keys]) {
    makeFolder(path, 0o700);
    chmodSync(path, 0o700);
  }
  for (const folder of wanted.remove) {
    if (parsePartyFolder(folder) === null || !existsSync(join(keys, folder)))
      throw new NatsFault(
        'CREDENTIALS_UNREADABLE',
        `there is no ${folder} in ${keys}, but ${readdirSync(keys).join(', ') || 'nothing'}`,
      );
    rmSync(join(keys, folder), { recursive: true });
  }
  const asked: readonly Party[] = [
    ...coreServices.map((name): Party => ({ kind: 'service', name })),
    ...wanted.operators.map((name): Party => ({ kind: 'operator', name })),
    ...wanted.hosts.map((name): Party => ({ kind: 'host', name })),
    ...wanted.actors.map((name): Party => ({ kind: 'actor', name })),
    ...wanted.readers.map((name): Party => ({ kind: 'reader', name })),
    ...wanted.viewers.map((name): Party => ({ kind: 'viewer', name })),
  ];
  const folders = new Set([...readdirSync(keys), ...asked.map(folderName)]);
  const parties = [...folders].sort().flatMap((name) => {
    const party = parsePartyFolder(name);
    if (party === null) return [];
    const folder = join(keys, name);
    const { key, isNew } = keyIn(folder, sameIn(keys, party));
    replace(join(folder, 'env'), settingsOf(party, folder, wanted.url));
    return [{ ...party, key, isNew, folder }];
  });
  const { listen, monitor, storeDir, tls } = wanted.place;
  replace(...placeFile(directory, { listen, monitor, storeDir, tls, keys, url: wanted.url }));
  const config = join(directory, 'nats.conf');
  replace(config, accountsConfig(wanted.place, partiesOf(parties)));
  return {
    config,
    parties: parties.map(({ kind, name, folder, isNew }) => ({ name: `${kind} ${name}`, folder, isNew })),
  };
};

/** Who is several of an actor, a reader and a viewer has one account for it, and one key. */
const partiesOf = (found: readonly (Party & { readonly key: string })[]): Parties => {
  const of = (kind: Kind) => found.filter((party) => party.kind === kind);
  const isOne = (kind: Kind, name: string): boolean => of(kind).some((party) => party.name === name);
  const keyOf = (name: CoreService): string => of('service').find((party) => party.name === name)?.key ?? '';
  const people = new Map<string, Person>();
  for (const { name, key } of personKinds.flatMap(of)) {
    if (people.has(name)) continue;
    const reads = isOne('reader', name);
    people.set(name, { name, key, acts: isOne('actor', name), reads, views: reads || isOne('viewer', name) });
  }
  return {
    services: { controller: keyOf('controller'), projector: keyOf('projector'), collector: keyOf('collector') },
    operators: of('operator'),
    hosts: of('host'),
    people: [...people.values()],
  };
};
