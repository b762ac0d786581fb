// Random commands, reports and answers: a backlog gives what a look at all open intents would give, and forgets none of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CommandInput, CommandType } from '../../events/commands.ts';
import { Backlog } from '../../services/worker/backlog.ts';
import { openUnits, placesOf, scopeOf, type Unit } from '../../services/worker/units.ts';
import { fault, outcomeOf, World } from '../support/world.ts';

const names = ['a', 'b', 'c'] as const;
const name = fc.constantFrom(...names);
const run = <T extends CommandType>(type: T, data: fc.Arbitrary<CommandInput<T>>) =>
  data.map((input) => ({ kind: 'run' as const, type, data: input as unknown }));
const move = fc.oneof(
  run('CreateNetwork', fc.record({ name })),
  run('UpdateNetwork', fc.record({ network: name, labels: fc.record({ of: name }) })),
  run('DeleteNetwork', fc.record({ network: name })),
  run('CreateEndpoint', fc.record({ network: name, name })),
  run('UpdateEndpoint', fc.record({ network: name, endpoint: name, aliases: fc.uniqueArray(name) })),
  run('DeleteEndpoint', fc.record({ network: name, endpoint: name })),
  run('JoinEndpoint', fc.record({ network: name, endpoint: name, sandbox: name })),
  run('LeaveEndpoint', fc.record({ network: name, endpoint: name })),
  run(
    'AttachSandbox',
    fc.record({ sandbox: name, networks: fc.array(fc.record({ network: name }), { minLength: 1 }) }),
  ),
  run('DetachSandbox', fc.record({ sandbox: name })),
  fc.record({ kind: fc.constant('expire' as const), at: fc.nat(9) }),
  fc.record({ kind: fc.constant('take' as const), holds: fc.uniqueArray(fc.nat(9)) }),
  fc.record({ kind: fc.constant('touch' as const), at: fc.nat(9) }),
  fc.record({ kind: fc.constant('report' as const), at: fc.nat(9), fails: fc.boolean() }),
  fc.record({ kind: fc.constant('report' as const), at: fc.nat(9), fails: fc.constant(false) }),
);

/** What each open unit has to wait for, from a look at all of them in log order. */
const freeOf = (world: World): ReadonlyMap<string, boolean> => {
  const [written, read] = [new Set<string>(), new Set<string>()];
  const free = new Map<string, boolean>();
  for (const unit of openUnits(world.state)) {
    const scopes = unit.intents.map(scopeOf);
    const writes = [...scopes.flatMap((scope) => scope.writes), ...placesOf(world.state, unit)];
    const reads = scopes.flatMap((scope) => scope.reads);
    const waits = writes.some((id) => written.has(id) || read.has(id)) || reads.some((id) => written.has(id));
    free.set(unit.id, !waits);
    for (const id of writes) written.add(id);
    for (const id of reads) read.add(id);
  }
  return free;
};

class Play {
  readonly world = new World();
  readonly #backlog = new Backlog(this.world.state);
  #noted = this.world.log.length;
  /** Units that are being executed. */
  taken: readonly Unit[] = [];

  run({ type, data }: { readonly type: CommandType; readonly data: unknown }): void {
    const input = data as CommandInput<CommandType>;
    if (this.world.decide(type, input).ok) this.world.run(type, input, { deadlineMs: 1 });
  }

  expire(at: number): void {
    const unit = openUnits(this.world.state).at(at);
    const [intent] = unit?.intents ?? [];
    this.world.nowMs += 2;
    if (!intent) return;
    const { actor, commandid: commandId } = intent.meta;
    this.run({ type: 'ExpireCommand', data: { actor, commandId } });
  }

  take(isReady: (unit: Unit, asked: number) => boolean): readonly Unit[] {
    for (const event of this.world.log.slice(this.#noted)) this.#backlog.note(event);
    this.#noted = this.world.log.length;
    const free = freeOf(this.world);
    let asked = 0;
    const got = this.#backlog.take((unit) => {
      assert.ok(free.get(unit.id), `${unit.id} is not to wait for others`);
      assert.ok(!this.taken.some(({ id }) => id === unit.id), `${unit.id} is taken twice`);
      return isReady(unit, asked++);
    });
    this.taken = [...this.taken, ...got];
    return got;
  }

  touchAll(): void {
    for (const id of this.world.state.intents.keys()) this.#backlog.touch(id);
  }

  touch(at: number): void {
    const id = [...this.world.state.intents.keys()][at];
    if (id !== undefined) this.#backlog.touch(id);
  }

  report(at: number, fails: boolean): void {
    const unit = this.taken[at];
    if (!unit) return;
    this.taken = this.taken.filter((other) => other !== unit);
    const { world } = this;
    for (const intent of unit.intents) {
      if (!world.state.intents.has(intent.meta.id)) continue;
      if (fails || unit.expired) world.report(outcomeOf(intent, fault()), intent);
      else world.succeedOne(intent);
    }
  }

  /** All that can be done at last is done. */
  finish(): void {
    for (let rounds = 0; this.world.state.intents.size > 0; rounds++) {
      assert.ok(rounds < 1000, 'something that is open is never taken');
      this.touchAll();
      const free = [...freeOf(this.world)].filter(([, isFree]) => isFree);
      this.take(() => true);
      if (free.length <= 16) assert.ok(free.every(([id]) => this.taken.some((unit) => unit.id === id)));
      while (this.taken.length > 0) this.report(0, false);
    }
  }
}

test('a backlog takes what nobody is in the way of, in any order of answers, and everything in the end', () => {
  fc.assert(
    fc.property(fc.array(move, { minLength: 10, maxLength: 60 }), (moves) => {
      const play = new Play();
      for (const name of ['a', 'b']) play.run({ type: 'CreateNetwork', data: { name } });
      for (const one of moves) {
        if (one.kind === 'run') play.run(one);
        else if (one.kind === 'expire') play.expire(one.at);
        else if (one.kind === 'take') play.take((_, asked) => !one.holds.includes(asked));
        else if (one.kind === 'touch') play.touch(one.at);
        else play.report(one.at, one.fails);
      }
      play.finish();
    }),
    { seed: 1, numRuns: 300 },
  );
});
