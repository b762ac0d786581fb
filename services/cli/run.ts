/** From the words of a call to its exit code. */
import { systemClock } from '../lib/clock.ts';
import { EXIT_CONFIG, readConfig } from '../lib/config.ts';
import { packageVersion } from '../up/package-root.ts';
import type { Context } from './context.ts';
import { exits, report } from './failures.ts';
import { describeEnvironment, describeSpecs, overview } from './help.ts';
import { type Noun, nouns } from './nouns.ts';
import { findSpec, parseCall, type Spec, UsageError } from './spec.ts';

type Output = Omit<Context, 'config' | 'call'>;

const asksForHelp = (words: readonly string[]): boolean => {
  const cut = words.indexOf('--');
  const own = cut < 0 ? words : words.slice(0, cut);
  return own.includes('--help') || own.includes('-h');
};

const findNoun = (word: string | undefined): Noun => {
  const noun = nouns.find(({ name }) => name === word);
  if (noun) return noun;
  throw new UsageError(word === undefined ? 'a command is missing' : `there is no command ${word}`);
};

const specsOf = async ({ name, load }: Noun): Promise<readonly Spec[]> =>
  (await load()).filter(({ path }) => path === name || path.startsWith(`${name} `));

const help = async (output: Output, words: readonly string[]): Promise<number> => {
  const [word] = words;
  if (word === undefined) output.out(overview(nouns));
  else if (word === 'environment') output.out(describeEnvironment());
  else {
    const specs = await specsOf(findNoun(word));
    const meant = findSpec(specs, words);
    output.out(describeSpecs(meant && words.length > 1 ? [meant.spec] : specs));
  }
  return exits.done;
};

const findCall = async (words: readonly string[]) => {
  const specs = await specsOf(findNoun(words[0]));
  const found = findSpec(specs, words);
  if (found) return found;
  const verbs = specs.map(({ path }) => path.slice(path.indexOf(' ') + 1)).join(', ');
  throw new UsageError(words[1] === undefined ? `cnm ${words[0]} what? ${verbs}` : `cnm ${words[0]} knows ${verbs}`);
};

/** With settings that are known already. @throws whatever the command throws */
const callWith = async (context: Context, words: readonly string[]): Promise<number> => {
  const { spec, words: own } = await findCall(words);
  try {
    return (await spec.run(parseCall(spec, own), context)) ?? exits.done;
  } catch (error) {
    // Whoever reads a value does not know of which command it is.
    throw error instanceof UsageError && error.spec === null ? new UsageError(error.message, spec) : error;
  }
};

const call = async (output: Output, words: readonly string[]): Promise<number> => {
  // words that make no sense are told before settings that make none
  const { spec, words: own } = await findCall(words);
  parseCall(spec, own);
  const read = readConfig();
  if (read.ok) return callWith({ ...output, config: read.config, call: callWith }, words);
  for (const problem of read.problems) output.err(`cnm: ${problem}\n`);
  return EXIT_CONFIG;
};

/** Runs one call; never throws. */
export const runCli = async (output: Output, words: readonly string[]): Promise<number> => {
  try {
    const [first] = words;
    if (first === '--version' || first === 'version') {
      output.out(`${packageVersion}\n`);
      return exits.done;
    }
    if (first === 'help') return await help(output, words.slice(1));
    if (asksForHelp(words))
      return await help(
        output,
        words.filter((word) => !word.startsWith('-')),
      );
    return await call(output, words);
  } catch (error) {
    return report(output, error, words.includes('--json'));
  }
};

/** Columns of a terminal; null for files and pipes, and for a terminal that does not know how wide it is. */
export const widthOf = ({ isTTY, columns }: { readonly isTTY?: boolean; readonly columns?: number }): number | null =>
  isTTY === true && columns ? columns : null;

/** The streams of this process. A reader that has seen enough (`| head`) ends it quietly. */
export const processOutput = (): Output => {
  const { stdout, stderr } = process;
  stdout.on('error', (error: NodeJS.ErrnoException) =>
    process.exit(error.code === 'EPIPE' ? exits.done : exits.failed),
  );
  return {
    clock: systemClock,
    out: (text) => stdout.write(text),
    flushed: async () => {
      if (stdout.writableLength === 0) return;
      // a reader that is gone ends the process, above
      await new Promise<void>((resolve) => stdout.write('', (error) => error || resolve()));
    },
    err: (text) => stderr.write(text),
    width: widthOf(stdout),
    errIsTerminal: stderr.isTTY === true,
  };
};
