/** Long forms of tests: `npm run soak NAME [ARGUMENT]...`. Each prints what it found, and ends with 1 when that is not what it should be. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const [name = '', ...words] = process.argv.slice(2);
const names = readdirSync(import.meta.dirname)
  .filter((file) => file !== 'run.ts')
  .map((file) => file.replace('.ts', ''));
if (names.includes(name)) {
  // servers of tests keep no process alive, and some of this waits for nothing but them
  setInterval(() => {}, 60_000);
  const { soak } = (await import(join(import.meta.dirname, `${name}.ts`))) as {
    readonly soak: (words: readonly string[]) => Promise<boolean>;
  };
  process.exit((await soak(words)) ? 0 : 1);
}
console.error(`npm run soak ${names.join('|')}`);
process.exit(2);
