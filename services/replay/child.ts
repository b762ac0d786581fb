/** A command of the user in a replay, as a child: the replay lasts as long as it does. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';

/** A sandbox of the replay, as a command sees it that runs in it. */
export interface Inside {
  readonly netns: string;
  /** Directory of its files; null when it has none. */
  readonly files: string | null;
}

/** What a runtime mounts in a container: only this command sees it. */
const mounting = `for file in hosts resolv.conf; do
  if [ -e "$0/$file" ] && [ -e "/etc/$file" ]; then mount --bind "$0/$file" "/etc/$file"; fi
done
exec "$@"`;

const extension = import.meta.filename.slice(import.meta.filename.lastIndexOf('.'));

/** The words to start: the command itself on the host, and by way of enter.ts in a sandbox. */
export const wordsOf = (command: readonly string[], inside: Inside | null): readonly string[] => {
  if (inside === null) return command;
  const enter = join(import.meta.dirname, `enter${extension}`);
  const mounted = inside.files === null ? [] : ['unshare', '--mount', 'sh', '-c', mounting, inside.files];
  return [process.execPath, enter, inside.netns, ...mounted, ...command];
};

/** The shell's codes: 128 and the number of the signal that ended it, 127 for what is not there, 126 for what cannot be run. */
const [SIGNALLED, NOT_FOUND, NOT_RUN] = [128, 127, 126];

/** Runs a command at our terminal. @param watch is told its process, and null behind it. @returns its exit code */
export const runChild = async (
  command: readonly string[],
  inside: Inside | null,
  env: Readonly<Record<string, string>>,
  watch: (pid: number | null) => void,
): Promise<number> => {
  const [file = '', ...words] = wordsOf(command, inside);
  const child = spawn(file, words, { stdio: 'inherit', env });
  // A Ctrl-C is the child's, which the terminal tells as well; an end that is meant for us is its end too.
  const ignore = (): void => undefined;
  const pass = (): void => void child.kill('SIGTERM');
  watch(child.pid ?? null);
  process.on('SIGINT', ignore).on('SIGTERM', pass);
  try {
    return await new Promise((resolve) => {
      child.once('error', (error: NodeJS.ErrnoException) => {
        const isMissing = error.code === 'ENOENT';
        process.stderr.write(`cnm: ${file}: ${isMissing ? 'no such command' : error.message}\n`);
        resolve(isMissing ? NOT_FOUND : NOT_RUN);
      });
      child.once('exit', (code, signal) => resolve(code ?? SIGNALLED + constants.signals[signal ?? 'SIGKILL']));
    });
  } finally {
    process.off('SIGINT', ignore).off('SIGTERM', pass);
    watch(null);
  }
};
