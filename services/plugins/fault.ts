/** How a call of a plugin ends: with a value, or with a fault of one of three codes. */
import type { Fault } from '../../events/events.ts';

export type Called<T> = { readonly ok: true; readonly value: T } | Failed;

export interface Failed {
  readonly ok: false;
  readonly fault: Fault;
  /** The plugin was not asked at all, so it has done nothing. Left out: it may have been. */
  readonly isUnsent?: true;
  /** The answer that cannot be acted on, as it was read: it may have lent something all the same. */
  readonly said?: unknown;
}

/** Of the words of a plugin, as much as is passed on. */
const TEXT_MAX = 1_000;

const oneLine = (text: string): string => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is taken out
  const line = text.replaceAll(/[\u0000-\u001f\u007f]+/g, ' ').trim();
  return line.length <= TEXT_MAX ? line : `${line.slice(0, TEXT_MAX)}…`;
};

const fault = (code: string, step: string, text: string, errno: string, retryable: boolean): Fault => ({
  code,
  step,
  errno,
  text: oneLine(text),
  retryable,
  undoFaults: [],
});

/** `step` is `NetworkDriver.Join of plugin weave` in all of them. */
export const faults = {
  /** The plugin said no, in its own words. */
  error: (step: string, text: string): Fault => fault('PLUGIN_ERROR', step, `remote: ${text}`, '', false),
  /** No answer: nobody there, or none in time. What was asked may have been done all the same. */
  unreachable: (step: string, text: string, errno = ''): Fault => fault('PLUGIN_UNREACHABLE', step, text, errno, true),
  /** An answer that is none, or one that cannot be acted on. */
  invalid: (step: string, text: string): Fault => fault('PLUGIN_INVALID', step, text, '', false),
};
