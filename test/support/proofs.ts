/**
 * The proofs that every plan gets before it is carried out: a kernel that takes each plan apart. Whatever single call of it fails, the
 * machine is as before (or the plan is done all the same); where calls go on failing, so that the undoing fails too, the next look at
 * everything mends it; and done twice it is as done once.
 */
import assert from 'node:assert/strict';
import { diff } from '../../drivers/plan.ts';
import type { Kernel, Plan, PlanResult } from '../../drivers/port.ts';
import type { Fuse } from './fuse.ts';

export interface Tallies {
  plans: number;
  /** Calls that were let fail, one at a time. */
  failures: number;
  /** Of them those that the plan could do without. */
  borne: number;
  /** Undoings that were interrupted. */
  interrupted: number;
  /** Of them those that left something, which the next look removed. */
  mended: number;
}

export const tallies = (): Tallies => ({ plans: 0, failures: 0, borne: 0, interrupted: 0, mended: 0 });

export interface Proving {
  readonly kernel: Kernel;
  readonly fuse: Fuse;
  /** Everything that plans may change, as text. */
  readonly photograph: () => string;
  readonly tallies: Tallies;
  /** Of the calls of a plan every so manieth has its undoing interrupted. */
  readonly interruptEvery: number;
}

const callsMax = 300;

/** Lines that only one of two photographs has. */
const differences = (before: string, now: string): readonly string[] => {
  const [left, right] = [before.split('\n'), now.split('\n')];
  return [
    ...left.filter((line) => !right.includes(line)).map((line) => `missing: ${line}`),
    ...right.filter((line) => !left.includes(line)).map((line) => `left: ${line}`),
  ];
};

class Proofs {
  readonly #proving: Proving;

  constructor(proving: Proving) {
    this.#proving = proving;
  }

  async #photo(): Promise<string> {
    await this.#proving.kernel.settled();
    return this.#proving.photograph();
  }

  async #expect(photo: string, at: string): Promise<void> {
    assert.deepEqual(differences(photo, await this.#photo()), [], at);
  }

  async #apply(plan: Plan, from: number, through = from): Promise<{ result: PlanResult; calls: number }> {
    const { kernel, fuse } = this.#proving;
    fuse.set(from, through);
    const [result] = await kernel.apply([plan]);
    const { calls } = fuse;
    fuse.clear();
    assert.ok(result);
    return { result, calls };
  }

  /** Makes everything as it was, the way a worker does: by a look at all that is there. */
  async #mend(before: Awaited<ReturnType<Kernel['census']>>): Promise<void> {
    const { kernel } = this.#proving;
    const now = await kernel.census();
    assert.deepEqual(now.unknown, []);
    const operations = diff(before.objects, now.objects);
    assert.deepEqual(await kernel.apply([{ id: 'mend', operations }]), [{ ok: true }]);
  }

  /** Lets each call fail. @returns the result of the plan when none did */
  async #eachFailure(plan: Plan): Promise<PlanResult> {
    const { kernel, tallies: counts } = this.#proving;
    const photo = await this.#photo();
    const before = await kernel.census();
    for (let call = 1; call < callsMax; call++) {
      const { result, calls } = await this.#apply(plan, call);
      if (calls < call) return result;
      const at = `${plan.id}, call ${call} of ${plan.operations.map(({ op, object }) => `${op} ${object.kind}`).join(', ')}`;
      counts.failures += 1;
      if (result.ok) {
        counts.borne += 1;
        await this.#mend(before);
      } else assert.deepEqual(result.fault.undoFaults, [], at);
      await this.#expect(photo, at);
      if (!result.ok && call % this.#proving.interruptEvery === 0)
        await this.#interrupted(plan, call, at, photo, before);
    }
    return assert.fail(`${plan.id} has more than ${callsMax} calls`);
  }

  /** From a call on all fail, so nothing can be taken back either. */
  async #interrupted(
    plan: Plan,
    call: number,
    at: string,
    photo: string,
    before: Awaited<ReturnType<Kernel['census']>>,
  ): Promise<void> {
    const { tallies: counts } = this.#proving;
    const { result } = await this.#apply(plan, call, callsMax * 10);
    counts.interrupted += 1;
    assert.ok(!result.ok, at);
    if (result.fault.undoFaults.length > 0) counts.mended += 1;
    await this.#mend(before);
    assert.equal(
      await this.#photo(),
      photo,
      `${at}, with an undoing that failed: ${result.fault.undoFaults.join('; ')}`,
    );
  }

  async prove(plan: Plan): Promise<PlanResult> {
    if (plan.operations.length === 0) return { ok: true };
    const { tallies: counts } = this.#proving;
    counts.plans += 1;
    const result = await this.#eachFailure(plan);
    if (!result.ok) return result;
    const photo = await this.#photo();
    const doubled = { ...plan, operations: plan.operations.flatMap((operation) => [operation, operation]) };
    for (const again of [plan, doubled]) {
      assert.deepEqual((await this.#apply(again, 0)).result, { ok: true }, `${plan.id} again`);
      await this.#expect(photo, `${plan.id} again`);
    }
    return result;
  }
}

/** A kernel that proves each plan before it carries it out; `failed` is told of a proof that fails. */
export const proven = (proving: Proving, failed: (error: unknown) => void): Kernel => {
  const proofs = new Proofs(proving);
  let turn: Promise<unknown> = Promise.resolve();
  const each = async (plans: readonly Plan[]): Promise<readonly PlanResult[]> => {
    const results: PlanResult[] = [];
    for (const plan of plans) results.push(await proofs.prove(plan));
    return results;
  };
  return {
    ...proving.kernel,
    apply: (plans) => {
      const done = turn.then(() => each(plans));
      turn = done.catch(failed);
      return done;
    },
  };
};
