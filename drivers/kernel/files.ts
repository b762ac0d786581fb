/**
 * Files of sandboxes. A runtime binds one into its container by inode, so it is changed in place, never replaced. What a user writes into it
 * stays: beside each file lies a record of what it was told to be, and a file that says anything else is its user's.
 */
import { hash } from 'node:crypto';
import { dirname, normalize } from 'node:path';
import { formatTag, parseTag, type SandboxFile, type Tag } from '../objects.ts';
import { fileFailure, foreign, KernelFailure, ownership } from './failure.ts';
import * as fs from './file-system.ts';
import type { Host } from './host.ts';
import { C, errno, errnoName, linkat, mkdir, rmdir, SystemError } from './libc.ts';
import type { Transaction } from './transaction.ts';

const recordsDir = (host: Host): string => `${host.runDir}/.files`;

const digest = (content: string | Uint8Array): string => hash('sha256', content, 'hex');

/** Names of one realm and host begin alike: several may share a run directory. */
const prefixOf = (host: Host): string => digest(`${host.realm}:${host.host}`).slice(0, 8);

const recordPath = (host: Host, path: string): string =>
  `${recordsDir(host)}/${prefixOf(host)}${digest(path).slice(0, 32)}`;

/** A file on its way out, and a record on its way in. */
const suffixes = { gone: '.gone', next: '.next' } as const;

interface FileRecord {
  readonly label: string;
  readonly tag: Tag;
  /** Digest of what the file said before it was last changed: a process may end in between. */
  readonly before: string;
  readonly path: string;
  /** What the file was told to say. */
  readonly content: string;
}

/** `TAG BEFORE PATH`, and from the next line on the content. */
const recordText = ({ label, before, path, content }: Omit<FileRecord, 'tag'>): string =>
  `${label} ${before} ${path}\n${content}`;

const parseRecord = (text: string): FileRecord | null => {
  const match = /^(\S+) (\S+) ([^\n]+)\n/.exec(text);
  const tag = parseTag(match?.[1] ?? '');
  if (!match || !tag) return null;
  const [head, label = '', before = '', path = ''] = match;
  return { label, tag, before, path, content: text.slice(head.length) };
};

const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : '');

/** Runs a call of the file system; `expected` errors answer null. */
const attempt = <T>(what: string, call: () => T, ...expected: readonly string[]): T | null => {
  try {
    return call();
  } catch (error) {
    if (expected.includes(codeOf(error))) return null;
    throw fileFailure(error, what);
  }
};

const read = (path: string): Buffer | null => attempt(`read ${path}`, () => fs.readFileSync(path), 'ENOENT', 'ENOTDIR');

const remove = (path: string): void => {
  attempt(`unlink ${path}`, () => fs.unlinkSync(path), 'ENOENT');
};

const readRecord = (host: Host, path: string): FileRecord | null => {
  const text = read(recordPath(host, path));
  return text === null ? null : parseRecord(text.toString());
};

const writeRecord = (host: Host, record: Omit<FileRecord, 'tag'>): void => {
  const path = recordPath(host, record.path);
  attempt(`write ${path}`, () => {
    fs.writeFileSync(path + suffixes.next, recordText(record), { mode: 0o600 });
    fs.renameSync(path + suffixes.next, path);
  });
};

/** Mode of a file that is still being written: whoever lives in the sandbox reads it afterwards, whatever our umask is. */
const [unfinished, readable] = [0, 0o644];

/** A new file where nobody else can be: half the price of `writeNew`. It gets its mode last, so that half of one is known as such. */
const writePlainly = (path: string, content: string): void => {
  attempt(`create ${path}`, () => {
    const descriptor = fs.openSync(path, 'wx', unfinished);
    try {
      fs.writeFileSync(descriptor, content);
      fs.fchmodSync(descriptor, readable);
    } finally {
      fs.closeSync(descriptor);
    }
  });
};

const isUnfinished = (path: string): boolean =>
  attempt(`look at ${path}`, () => (fs.lstatSync(path).mode & 0o777) === unfinished) === true;

/** A new file that is there with all that it says, or not at all. False when something is there already. */
const writeNew = (path: string, content: string): boolean => {
  const descriptor = attempt(`create ${path}`, () =>
    fs.openSync(dirname(path), fs.constants.O_WRONLY | C.O_TMPFILE | C.O_CLOEXEC, readable),
  );
  if (descriptor === null) return false;
  try {
    attempt(`write ${path}`, () => {
      fs.writeFileSync(descriptor, content);
      fs.fchmodSync(descriptor, readable);
    });
    if (linkat(C.AT_FDCWD, `/proc/self/fd/${descriptor}`, C.AT_FDCWD, path, C.AT_SYMLINK_FOLLOW) === 0) return true;
    if (errnoName(errno()) === 'EEXIST') return false;
    throw new SystemError(`link ${path}`, errno());
  } finally {
    fs.closeSync(descriptor);
  }
};

/**
 * Changes what a file says by one write, so that a reader sees it whole. A shorter text is filled up with empty lines, which
 * are then cut off: no reader sees the end of the old text after the new one.
 */
const overwrite = (path: string, content: Uint8Array): void => {
  attempt(`write ${path}`, () => {
    const descriptor = fs.openSync(path, fs.constants.O_WRONLY | fs.constants.O_NOFOLLOW);
    try {
      const { size } = fs.fstatSync(descriptor);
      const bytes = new Uint8Array(Math.max(size, content.length)).fill(0x0a);
      bytes.set(content);
      fs.writeFileSync(descriptor, bytes);
      if (size > content.length) fs.ftruncateSync(descriptor, content.length);
    } finally {
      fs.closeSync(descriptor);
    }
  });
};

/** Whether a file says what we wrote. */
const isOurs = (record: FileRecord, present: Buffer): boolean =>
  present.equals(Buffer.from(record.content)) || digest(present) === record.before;

/** Node would make an error of what is mostly the answer: that something is in it. @returns the name of the errno; '' where it is removed */
const removeDirectory = (path: string): string => (rmdir(path) === 0 ? '' : errnoName(errno()));

/** Removes the directories of a path that are empty now, up to the run directory. */
const prune = (host: Host, path: string): void => {
  for (let at = dirname(path); at.startsWith(`${host.runDir}/`); at = dirname(at)) {
    if (!['', 'ENOENT'].includes(removeDirectory(at))) return;
  }
};

/** Makes the directory of a file. @returns whether the transaction has made it: then nothing is in the way of its files */
const makeDirectory = ({ host, directories }: Transaction, path: string): boolean => {
  const [directory, mode] = [dirname(path), 0o755];
  if (directories.has(directory)) return true;
  if (!path.startsWith(`${host.runDir}/`) || normalize(path) !== path) {
    throw new KernelFailure('KERNEL_ERROR', `${path} is not below ${host.runDir}`, 'EINVAL');
  }
  // One call where its parent is there, which is the rule; `recursive` takes ten times as long.
  if (mkdir(directory, mode) < 0) {
    const made = attempt(`make ${directory}`, () => fs.mkdirSync(directory, { recursive: true, mode }));
    if (made === undefined) return false;
  }
  directories.add(directory);
  return true;
};

/** The record first: a file without one is somebody else's. */
const create = (transaction: Transaction, file: SandboxFile, isFree: boolean): void => {
  const { host, undo } = transaction;
  const { path, content } = file;
  if (!isFree && read(path) !== null) throw foreign('file', path, '');
  const run = (): void => {
    remove(path);
    remove(recordPath(host, path));
    prune(host, path);
  };
  undo.push({ what: `remove file ${path}`, run });
  const record = { label: formatTag(file.tag), before: '-', path, content };
  if (isFree) {
    // Half of a record is no harm while there is no file.
    const place = recordPath(host, path);
    attempt(`write ${place}`, () => fs.writeFileSync(place, recordText(record), { mode: 0o600 }));
    writePlainly(path, content);
    return;
  }
  writeRecord(host, record);
  if (!writeNew(path, content)) throw foreign('file', path, '');
};

const change = (transaction: Transaction, file: SandboxFile, record: FileRecord, present: Buffer): void => {
  const { host, undo } = transaction;
  const label = formatTag(file.tag);
  const wanted = Buffer.from(file.content);
  const ours = isOurs(record, present);
  if (record.label === label && record.content === file.content && (!ours || present.equals(wanted))) return;
  const run = (): void => {
    if (ours) overwrite(file.path, present);
    writeRecord(host, record);
  };
  undo.push({ what: `restore file ${file.path}`, run });
  writeRecord(host, { label, before: ours ? digest(present) : record.before, path: file.path, content: file.content });
  if (ours) overwrite(file.path, wanted);
};

/** Makes a file say what is wanted, unless its user has changed it. One that is there has to carry one of the tags. */
export const ensureFile = (transaction: Transaction, file: SandboxFile, tags: readonly Tag[]): void => {
  if (makeDirectory(transaction, file.path)) {
    create(transaction, file, true);
    return;
  }
  const record = readRecord(transaction.host, file.path);
  if (record !== null && ownership(record.label, tags) !== 'own') throw foreign('file', file.path, record.label);
  const present = record === null ? null : read(file.path);
  if (record === null || present === null) create(transaction, file, false);
  else change(transaction, file, record, present);
};

/** Removes a file, whatever it says by now. It can be put back until the plan has succeeded, as the same inode. */
export const removeFile = (transaction: Transaction, file: SandboxFile): void => {
  const { host, undo, done } = transaction;
  const record = readRecord(host, file.path);
  if (record === null) {
    if (read(file.path) !== null) throw foreign('file', file.path, '');
    return;
  }
  if (ownership(record.label, [file.tag]) !== 'own') return;
  const place = recordPath(host, file.path);
  const moved = attempt(
    `remove ${file.path}`,
    () => {
      fs.renameSync(file.path, place + suffixes.gone);
      return true;
    },
    'ENOENT',
    'ENOTDIR',
  );
  const run = (): void => {
    if (moved) attempt(`restore ${file.path}`, () => fs.renameSync(place + suffixes.gone, file.path));
    writeRecord(host, record);
  };
  undo.push({ what: `restore file ${file.path}`, run });
  remove(place);
  done.push(() => {
    if (moved) remove(place + suffixes.gone);
    prune(host, file.path);
  });
};

/** Removes the directories below this one that have nothing in them: those of records, whose names begin with a dot, stay. */
const pruneBelow = (directory: string): void => {
  for (const entry of attempt(`read ${directory}`, () => fs.readdirSync(directory, { withFileTypes: true })) ?? []) {
    const path = `${directory}/${entry.name}`;
    if (!entry.isDirectory() || entry.name.startsWith('.')) continue;
    pruneBelow(path);
    const code = removeDirectory(path);
    if (!['', 'ENOTEMPTY', 'EBUSY', 'ENOENT'].includes(code)) throw new SystemError(`rmdir ${path}`, errno());
  }
};

/** At the start: the place for records; and what an earlier process left behind, half made or half removed. */
export const prepareFiles = (host: Host): void => {
  attempt(`make ${recordsDir(host)}`, () => {
    fs.mkdirSync(recordsDir(host), { recursive: true, mode: 0o700 });
    for (const name of fs.readdirSync(recordsDir(host))) {
      const half = Object.values(suffixes).some((suffix) => name.endsWith(suffix));
      if (half && name.startsWith(prefixOf(host))) remove(`${recordsDir(host)}/${name}`);
    }
  });
  pruneBelow(host.runDir);
};

/** The file of a record, if it is ours and there. One that its user has changed is shown as it was told to be: that it differs is as it should be. */
const observe = (host: Host, place: string): SandboxFile | null => {
  const text = read(place)?.toString();
  // Its process ended before it had written anything, and so before there was a file.
  if (text === '') remove(place);
  const record = parseRecord(text ?? '');
  if (record === null || record.tag.realm !== host.realm || record.tag.host !== host.host) return null;
  const present = read(record.path);
  if (present === null || isUnfinished(record.path)) {
    remove(record.path);
    remove(place);
    prune(host, record.path);
    return null;
  }
  const { path, tag } = record;
  const content = isOurs(record, present) ? present.toString() : record.content;
  return { kind: 'file', path, content, tag };
};

/** The file of ours at a path; null for none. */
export const readFile = (host: Host, path: string): SandboxFile | null => observe(host, recordPath(host, path));

/** Our files. */
export const listFiles = (host: Host): readonly SandboxFile[] => {
  const names = attempt(`read ${recordsDir(host)}`, () => fs.readdirSync(recordsDir(host))) ?? [];
  return names.flatMap((name) => {
    if (!name.startsWith(prefixOf(host))) return [];
    const place = `${recordsDir(host)}/${name}`;
    return observe(host, place) ?? [];
  });
};
