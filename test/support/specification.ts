/** Specifications of the decider: `given(...steps).when(command, data).records(...facts)` / `.refuses(CODE, culprit)`. */
import assert from 'node:assert/strict';
import type { CommandInput, CommandType } from '../../events/commands.ts';
import type { Culprit, EventType, Fact } from '../../events/events.ts';
import type { Code } from '../../events/refusals.ts';
import { type Sender, World, type WorldOptions } from './world.ts';

/** Something that has happened before the command. */
export type Step = (world: World) => void;

/** A command that was accepted. */
export const did =
  <T extends CommandType>(type: T, data: CommandInput<T>): Step =>
  (world) => {
    world.run(type, data);
  };
/** A network that is asked for. */
export const network = (name: string, more: Partial<CommandInput<'CreateNetwork'>> = {}): Step =>
  did('CreateNetwork', { name, ...more });
/** An endpoint that is asked for. */
export const endpoint = (networkName: string, name: string, more: Partial<CommandInput<'CreateEndpoint'>> = {}): Step =>
  did('CreateEndpoint', { network: networkName, name, ...more });
export const joined = (networkName: string, name: string, sandbox: string): Step =>
  did('JoinEndpoint', { network: networkName, endpoint: name, sandbox });
export const left = (networkName: string, name: string): Step =>
  did('LeaveEndpoint', { network: networkName, endpoint: name });
/** The worker has done everything that was asked for so far. */
export const reported: Step = (world) => world.succeed();
/** The worker could not do the first open intent of this type. */
export const failed =
  (type: EventType): Step =>
  (world) =>
    world.fail(type);
export const later =
  (ms: number): Step =>
  (world) => {
    world.nowMs += ms;
  };

/** Each expected fact names the fields that matter; they are compared deeply, all others are free. */
export interface Expected {
  readonly type: EventType;
  readonly data?: Readonly<Record<string, unknown>>;
}

export interface Verdict {
  /** These facts and no others, in this order. */
  records(...facts: readonly Expected[]): readonly Fact[];
  recordsNothing(): void;
  /** With this code; `culprit`: fields of one of the culprits. */
  refuses(code: Code, culprit?: Partial<Culprit>): readonly Culprit[];
}

export interface Given {
  readonly world: World;
  /** @param sender alice, unless it says so */
  when<T extends CommandType>(type: T, data: CommandInput<T>, sender?: Sender): Verdict;
}

export const givenIn = (options: WorldOptions, ...steps: readonly Step[]): Given => {
  const world = new World(options);
  for (const step of steps) step(world);
  return {
    world,
    when: (type, data, sender = {}) => {
      const decision = world.decide(type, data, sender);
      const facts = (): readonly Fact[] =>
        decision.ok ? decision.facts : assert.fail(`refused: ${decision.code} ${decision.detail}`);
      return {
        records: (...expected) => {
          const got = facts();
          assert.deepEqual(
            got.map((fact) => fact.type),
            expected.map((fact) => fact.type),
          );
          for (const [index, { data: fields = {} }] of expected.entries())
            assert.partialDeepStrictEqual(got[index]?.data, fields);
          // what is decided must be storable, and its fold must not throw
          world.recordAll(got, { type, id: 'mhx3k2p1-spec' });
          return got;
        },
        recordsNothing: () => assert.deepEqual(facts(), []),
        refuses: (code, culprit) => {
          if (decision.ok) return assert.fail(`accepted: ${JSON.stringify(decision.facts)}`);
          assert.equal(decision.code, code, decision.detail);
          assert.ok(decision.detail.length > 0, 'a refusal says why');
          assert.ok(decision.culprits.length > 0, `${code} names no culprit`);
          if (culprit) {
            const matches = decision.culprits.some((one) =>
              Object.entries(culprit).every(([key, value]) => one[key as keyof Culprit] === value),
            );
            assert.ok(matches, `${JSON.stringify(culprit)} is not among ${JSON.stringify(decision.culprits)}`);
          }
          return decision.culprits;
        },
      };
    },
  };
};

export const given = (...steps: readonly Step[]): Given => givenIn({}, ...steps);
