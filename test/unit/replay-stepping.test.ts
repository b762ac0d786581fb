// The words with which somebody goes through a replay.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { goThrough, type Step, stepHelp } from '../../services/replay/stepping.ts';

const LAST = 5;

/** What is done for these lines, in order; positions where something is shown. */
const played = async (...lines: readonly string[]): Promise<readonly string[]> => {
  const done: string[] = [];
  let at = 2;
  const stepAt = (position: number): Step => ({ position, events: [], changes: [], failures: [] });
  const note = (text: string) => async (): Promise<number> => done.push(text);
  await goThrough({
    lines: (async function* () {
      yield* lines;
    })(),
    steps: {
      next: async () => (at < LAST ? stepAt(++at) : null),
      goTo: async (position) => {
        if (position > LAST) throw new RangeError('not there');
        at = position;
        return stepAt(at);
      },
    },
    show: ({ position }) => done.push(`at ${position}`),
    say: (text) => done.push(text === stepHelp ? 'help' : text.trim()),
    shell: note('shell'),
    list: note('links'),
    wordsFor: (error) => (error instanceof RangeError ? error.message : null),
  });
  return done;
};

test('stepping: one message, several, there and back, and the end', async () => {
  assert.deepEqual(await played('n', '', 'g 1', 'n 2'), ['help', 'at 3', 'at 4', 'at 1', 'at 2', 'at 3']);
  assert.deepEqual(await played('n 9', 'n'), [
    'help',
    'at 3',
    'at 4',
    'at 5',
    'that was the last message',
    'that was the last message',
  ]);
  assert.deepEqual(await played('l', 's', 'q', 'n'), ['help', 'links', 'shell']);
});

test('stepping: what makes no sense is answered with what does, and what is not there is told', async () => {
  assert.deepEqual(await played('x', 'g', 'g 0', 'n -1', 'n x'), ['help', 'help', 'help', 'help', 'help', 'help']);
  assert.deepEqual(await played('g 6', 'n'), ['help', 'not there', 'at 3']);
});

test('stepping: a defect is nobody’s words', async () => {
  const broken = goThrough({
    lines: (async function* () {
      yield 'n';
    })(),
    steps: { next: () => Promise.reject(new TypeError('defect')), goTo: () => Promise.reject(new TypeError('defect')) },
    show: () => undefined,
    say: () => undefined,
    shell: async () => undefined,
    list: async () => undefined,
    wordsFor: () => null,
  });
  await assert.rejects(broken, /defect/);
});
