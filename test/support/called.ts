/** A call of the command line within this process. */
import { runCli } from '../../services/cli/run.ts';
import { systemClock } from '../../services/lib/clock.ts';

export interface Called {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
}

export const callCli = async (...words: string[]): Promise<Called> => {
  let [out, err] = ['', ''];
  const exit = await runCli(
    {
      clock: systemClock,
      out: (text) => {
        out += text;
      },
      flushed: async () => undefined,
      err: (text) => {
        err += text;
      },
      width: null,
      errIsTerminal: false,
    },
    words,
  );
  return { exit, out, err };
};
