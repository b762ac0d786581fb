/** A line on standard error that says what is being waited for, when somebody sits there and it takes long. */
import { styleText } from 'node:util';
import type { Context } from './context.ts';

const LONG_MS = 300;
const EVERY_MS = 100;
const clearLine = '\r\u001b[K';
const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'] as const;

/** Runs `work`; the line is gone when it ends. */
export const withProgress = async <T>(
  { clock, err, errIsTerminal }: Pick<Context, 'clock' | 'err' | 'errIsTerminal'>,
  what: string,
  work: () => Promise<T>,
): Promise<T> => {
  if (!errIsTerminal) return work();
  const startedMs = clock.monotonicMs();
  let shown = 0;
  let cancel = (): void => {};
  const show = (): void => {
    const seconds = ((clock.monotonicMs() - startedMs) / 1000).toFixed(1);
    const frame = frames[shown++ % frames.length] ?? '';
    err(`${clearLine}${styleText('cyan', frame)} waiting for ${what} (${seconds} s)`);
    cancel = clock.after(EVERY_MS, show);
  };
  cancel = clock.after(LONG_MS, show);
  try {
    return await work();
  } finally {
    cancel();
    if (shown > 0) err(clearLine);
  }
};
