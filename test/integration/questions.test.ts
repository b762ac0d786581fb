// What a witness was answered while it worked, and what the projector says of it afterwards.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import type { QueryInput } from '../../events/queries.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { createProjector } from '../../services/projector/projector.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { type Ask, questionsOf } from '../support/questions.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';
import { Witness } from '../support/witness.ts';

const COMMANDS = 2_000;
const QUESTIONS = 260;

/** The same choices every time (the constants of C's `rand`). */
const choices = (seed: number): (() => number) => {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
};

test('questions: whatever a witness was told is what the projector says of the past', async () => {
  const random = choices(5);
  const streams = memoryStreams();
  const machine = new MemoryMachine();
  machine.fail({ when: ({ op, object }) => op === 'create' && object.kind === 'veth' && random() < 0.05 });
  const witness = new Witness({
    ...{ actors: 20, commands: COMMANDS, networks: ['red', 'green', 'blue', 'grey'], random },
    send: (subject, body, id) => void streams.commands.append({ subject, body, id }),
  });
  const kernel = memoryKernel(machine, { realm, host });
  const system = await new System({ ...streams, kernel, runDir: '/run/cnm/test', publish: witness.take }).start();
  const { commands, stays } = await witness.work();
  await system.stop();
  const refused = commands.filter(({ first }) => first.kind === 'refused').length;
  const failed = commands.filter(({ end }) => end?.status === 'failed').length;
  assert.ok(commands.length >= COMMANDS && refused > 20 && failed > 10, `${commands.length} ${refused} ${failed}`);

  const { log } = streams;
  const projector = createProjector({ log, clock: systemClock, logger: pino({ level: 'silent' }) });
  await projector.caughtUp;
  const ask: Ask = async (name, query) => {
    const rows: Record<string, unknown>[] = [];
    let position: number | undefined;
    for (let after: string | undefined; ; ) {
      const more: QueryInput = after === undefined ? {} : { after, ...(name === 'ledger' ? {} : { asOf: position }) };
      const page = await projector.query(name, { ...query, ...more });
      position = page.position;
      rows.push(...page.rows);
      after = page.next;
      if (after === undefined) return rows;
    }
  };
  const asked = new Map<string, number>();
  for (const { kind, text, check } of questionsOf({ commands, stays }, await log.last(), QUESTIONS, random)) {
    await check(ask).catch((error: unknown) => {
      throw new Error(`${text}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    });
    asked.set(kind, (asked.get(kind) ?? 0) + 1);
  }
  assert.deepEqual([...asked.values()], Array(13).fill(20));
  await projector.stop();
});
