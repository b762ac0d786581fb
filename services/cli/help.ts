/** Help, out of the same tables that parse. Pure. */
import { variables } from '../lib/config.ts';
import type { Noun } from './nouns.ts';
import { type Spec, synopsis } from './spec.ts';

const COLUMN = 28;

const line = (left: string, right: string): string =>
  left.length < COLUMN - 2 ? `  ${left.padEnd(COLUMN - 2)}${right}` : `  ${left}\n${' '.repeat(COLUMN)}${right}`;

export const overview = (nouns: readonly Noun[]): string =>
  [
    'cnm: container networks as events',
    '',
    ...nouns.map(({ name, summary }) => line(name, summary)),
    '',
    line('help NOUN', 'its commands and their options'),
    line('help environment', 'the variables that are read'),
    line('--version', 'of cnmbus'),
    '',
    'A network on a host may be written HOST/NAME. Every listing takes --as-of, everything takes --json.',
    'Exit codes: 0 done, 1 refused or failed, 2 usage, 3 nothing answered in time, 78 settings that cannot be.',
    '',
  ].join('\n');

const describeSpec = (spec: Spec): string => {
  const options = Object.entries(spec.options).map(([name, { value, short, help }]) => {
    const dashes = `${short === undefined ? '' : `-${short}, `}--${name}`;
    return line(value === undefined ? dashes : `${dashes} ${value}`, help);
  });
  const usage = ['cnm', spec.path, ...synopsis(spec, options.length > 0 ? ['[OPTIONS]'] : [])].join(' ');
  return [usage, `  ${spec.summary}`, ...options, ''].join('\n');
};

export const describeSpecs = (specs: readonly Spec[]): string => specs.map(describeSpec).join('\n');

export const describeEnvironment = (): string =>
  `${Object.entries(variables)
    .map(([name, meaning]) => line(name, meaning))
    .join('\n')}\n`;
