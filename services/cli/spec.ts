/** What commands of the command line look like, as data, and how words become a call of one. Pure. */
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import type { Context } from './context.ts';

export interface Option {
  /** Placeholder of its value in the help; left out: it takes none. */
  readonly value?: string;
  readonly short?: string;
  /** May be given several times. */
  readonly multiple?: true;
  readonly help: string;
}
export type Options = Readonly<Record<string, Option>>;

export interface Spec {
  /** Noun and verb, such as `network create`, or `audit hold set`. */
  readonly path: string;
  /** `NAME` is needed, `[NAME]` is not, `CMD...` takes all that is left, behind `--` too; in brackets, if there is any. */
  readonly args: readonly string[];
  readonly summary: string;
  readonly options: Options;
  readonly run: (call: Call, context: Context) => Promise<number | undefined>;
}

/** The words of a call, checked against its spec. */
export interface Call {
  /** One per argument that was given; what `CMD...` takes is in `rest`. */
  readonly args: readonly string[];
  readonly rest: readonly string[];
  text(option: string): string | undefined;
  texts(option: string): readonly string[];
  flag(option: string): boolean;
}

/** The words make no sense: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  /** The command that was meant, for the usage line; null when none was. */
  readonly spec: Spec | null;

  constructor(message: string, spec: Spec | null = null) {
    super(message);
    this.spec = spec;
  }
}

export const jsonOption = { json: { help: 'one JSON document instead of text' } } as const satisfies Options;
export const listOptions = {
  'as-of': { value: 'POSITION|TIME', help: 'as it was then' },
  ...jsonOption,
} as const satisfies Options;

const isRest = (argument: string): boolean => /\.\.\.\]?$/.test(argument);
const isOptional = (argument: string): boolean => argument.startsWith('[');

/** Arguments and options in the order in which they are written: what a command of its own takes comes last. */
export const synopsis = ({ args }: Spec, options: readonly string[]): readonly string[] => [
  ...args.filter((argument) => !isRest(argument)),
  ...options,
  ...args.filter(isRest).map((argument) => (isOptional(argument) ? `[-- ${argument.slice(1)}` : `-- ${argument}`)),
];

export const usageOf = (spec: Spec): string => {
  const options = Object.entries(spec.options).map(([name, { value, short, multiple }]) => {
    const words = `${short === undefined ? `--${name}` : `-${short}`}${value === undefined ? '' : ` ${value}`}`;
    return `[${words}]${multiple ? '...' : ''}`;
  });
  return ['cnm', spec.path, ...synopsis(spec, options)].join(' ');
};

const configOf = (options: Options): ParseArgsOptionsConfig =>
  Object.fromEntries(
    Object.entries(options).map(([name, { value, short, multiple }]) => [
      name,
      {
        type: value === undefined ? ('boolean' as const) : ('string' as const),
        ...(short === undefined ? {} : { short }),
        multiple: multiple ?? false,
      },
    ]),
  );

/** What parseArgs says, without its advice on how to write positional arguments. */
const firstSentence = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split(/\. |\n/)[0] ?? '';

/** @throws UsageError naming the word that is wrong */
export const parseCall = (spec: Spec, words: readonly string[]): Call => {
  const takesRest = spec.args.some(isRest);
  // behind `--` everything is the command's own, dashes included
  const cut = takesRest ? words.indexOf('--') : -1;
  const own = cut < 0 ? words : words.slice(0, cut);
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args: [...own], options: configOf(spec.options), allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(firstSentence(error), spec);
  }
  const names = spec.args.filter((argument) => !isRest(argument));
  const given = parsed.positionals;
  const missing = names.slice(given.length).find((argument) => !isOptional(argument));
  if (missing !== undefined) throw new UsageError(`${missing} is missing`, spec);
  const extra = given.slice(names.length);
  const rest = cut < 0 ? extra : [...extra, ...words.slice(cut + 1)];
  if (!takesRest && extra.length > 0) throw new UsageError(`one word too many: ${extra[0]}`, spec);
  const needed = spec.args.find((argument) => isRest(argument) && !isOptional(argument));
  if (needed !== undefined && rest.length === 0) throw new UsageError(`${needed} is missing`, spec);
  const values = parsed.values as Readonly<Record<string, string | boolean | readonly string[] | undefined>>;
  return {
    args: given.slice(0, names.length),
    rest,
    text: (option) => {
      const value = values[option];
      return typeof value === 'string' ? value : undefined;
    },
    texts: (option) => {
      const value = values[option];
      return Array.isArray(value) ? value : [];
    },
    flag: (option) => values[option] === true,
  };
};

/** The command that the words begin with, and the words behind it. A noun alone is no command. */
export const findSpec = (
  specs: readonly Spec[],
  words: readonly string[],
): { readonly spec: Spec; readonly words: readonly string[] } | null => {
  for (const length of [3, 2, 1]) {
    const path = words.slice(0, length).join(' ');
    const spec = words.length >= length ? specs.find((candidate) => candidate.path === path) : undefined;
    if (spec) return { spec, words: words.slice(length) };
  }
  return null;
};
