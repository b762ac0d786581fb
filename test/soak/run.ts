/**
 * Long forms of tests: `npm run soak NAME [ARGUMENT]...`. Each runs in namespaces of
 * its own, prints what it found, and ends with 1 when that is not what it should be.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const INSIDE = 'CNM_SOAK_INSIDE';
const [name = '', ...words] = process.argv.slice(2);
const names = readdirSync(import.meta.dirname)
  .filter((file) => file !== 'run.ts')
  .map((file) => file.replace('.ts', ''));
if (names.includes(name)) {
  const { soak, namespaces = ['--net', '--mount'] } = (await import(join(import.meta.dirname, `${name}.ts`))) as {
    readonly soak: (words: readonly string[]) => Promise<boolean>;
    /** What `unshare` is told, where it needs more than most. */
    readonly namespaces?: readonly string[];
  };
  if (process.env[INSIDE] === undefined) {
    const argv = [...namespaces, process.execPath, ...process.argv.slice(1)];
    process.exit(spawnSync('unshare', argv, { stdio: 'inherit', env: { ...process.env, [INSIDE]: '1' } }).status ?? 1);
  }
  // servers of tests keep no process alive, and some of this waits for nothing but them
  setInterval(() => {}, 60_000);
  process.exit((await soak(words)) ? 0 : 1);
}
console.error(`npm run soak ${names.join('|')}`);
process.exit(2);
