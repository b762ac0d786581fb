/** `--accept POSITION`: whoever calls answers for what is found there, such as a stray message that was discarded and stays on the log. */
import { type Call, type Options, UsageError } from './spec.ts';

export const acceptOption = {
  accept: {
    value: 'POSITION',
    multiple: true,
    help: 'what is found there is known, as of a stray message that was discarded; it is named all the same',
  },
} as const satisfies Options;

export const acceptedOf = (call: Call): ReadonlySet<number> => {
  const given = call.texts('accept');
  const wrong = given.find((text) => !/^[1-9]\d{0,14}$/.test(text));
  if (wrong !== undefined) throw new UsageError(`--accept: ${wrong} is no position`);
  return new Set(given.map(Number));
};
