/** Going through a replay message by message: words from a terminal or a pipe, one a line. Pure but for what it is given. */
import type { Operation } from '../../drivers/port.ts';
import type { Event } from '../../events/envelope.ts';
import type { Failure } from './stage.ts';

/** What one message, or a leap over several, has changed. */
export interface Step {
  readonly position: number;
  /** Of the one message; none for a leap. */
  readonly events: readonly Event[];
  readonly changes: readonly Operation[];
  readonly failures: readonly Failure[];
}

export interface Steps {
  /** Null behind the last message. */
  next(): Promise<Step | null>;
  goTo(position: number): Promise<Step>;
}

export interface StepOptions {
  readonly lines: AsyncIterable<string>;
  readonly steps: Steps;
  /** @throws errors that `isKnown` knows: they are told, and it goes on */
  readonly show: (step: Step) => void;
  readonly say: (text: string) => void;
  readonly shell: () => Promise<unknown>;
  readonly list: () => Promise<unknown>;
  /** The words for an error that is the fault of what was asked for; null for others. */
  readonly wordsFor: (error: unknown) => string | null;
}

export const stepHelp = 'n [COUNT] next message, g POSITION go there, s shell, l links, q end\n';

/** Until `q` or the end of the lines. An empty line is `n`. */
export const goThrough = async (options: StepOptions): Promise<void> => {
  const { lines, steps, show, say } = options;
  const forward = async (count: number): Promise<void> => {
    for (let done = 0; done < count; done++) {
      const step = await steps.next();
      if (step === null) return say('that was the last message\n');
      show(step);
    }
  };
  const obey = async (line: string): Promise<'go on' | 'end'> => {
    const [word = '', number = ''] = line.trim().split(/\s+/);
    const isCount = /^[1-9]\d{0,8}$/.test(number);
    if (word === 'q') return 'end';
    if ((word === '' || word === 'n') && (number === '' || isCount)) await forward(isCount ? Number(number) : 1);
    else if (word === 'g' && isCount) show(await steps.goTo(Number(number)));
    else if (word === 's') await options.shell();
    else if (word === 'l') await options.list();
    else say(stepHelp);
    return 'go on';
  };
  say(stepHelp);
  for await (const line of lines) {
    try {
      if ((await obey(line)) === 'end') return;
    } catch (error) {
      const words = options.wordsFor(error);
      if (words === null) throw error;
      say(`${words}\n`);
    }
  }
};
