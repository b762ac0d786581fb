/**
 * The proofs that every plan gets before it is carried out: a kernel that takes each plan apart. Whatever single call of it fails, the
 * machine is as before (or the plan is done all the same); where calls go on failing, so that the undoing fails too, the next look at
 * everything mends it; and done twice it is as done once. What others have in the way is
 * refused by name and stays; what is to be removed may be gone already, in part or all of it.
 */
import assert from 'node:assert/strict';
import { objectKey } from '../../drivers/objects.ts';
import { diff } from '../../drivers/plan.ts';
import type { Census, Kernel, Plan, PlanResult } from '../../drivers/port.ts';
import type { Fuse } from './fuse.ts';
import { destroy, madeBy, rivalOf, subsets } from './meddling.ts';

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
  /** Plans that were carried out once more, and with each step twice. */
  repeated: number;
  /** Things of others that were in the way: refused by name, untouched. */
  foreign: number;
  /** Removals of what was not whole any more. */
  bereft: number;
  /** What was not as it should be. */
  readonly wrong: string[];
}

export const tallies = (): Tallies => ({
  ...{ plans: 0, failures: 0, borne: 0, interrupted: 0, mended: 0, repeated: 0, foreign: 0, bereft: 0 },
  wrong: [],
});

export interface Proving {
  readonly kernel: Kernel;
  readonly fuse: Fuse;
  /** Everything that plans may change, as text. */
  readonly photograph: () => string;
  readonly tallies: Tallies;
  /** Of the calls of a plan every so manieth has its undoing interrupted. */
  readonly interruptEvery: number;
  /** So many subsets of what is removed are gone before, beside each alone and all. */
  readonly subsets: number;
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

/**
 * What the next start sees to, where an undoing failed: a link that is marked as dead and its peer, an empty directory for files, and
 * files on their way in or out. And a record of a file that was to be changed says so (`before` in drivers/kernel/files.ts).
 */
const forTheNextStart = /^(?:left|missing): (?:cd\w+ |\S*\/files(?:\/[^/:]+)?$|\S*\/\.files\/)/;

/** The machine as it was before a plan. */
interface Before {
  photo: string;
  readonly census: Census;
}

const namesOf = ({ operations }: Plan): string => operations.map(({ op, object }) => `${op} ${object.kind}`).join(', ');

class Proofs {
  readonly #proving: Proving;

  constructor(proving: Proving) {
    this.#proving = proving;
  }

  async #photo(): Promise<string> {
    await this.#proving.kernel.settled();
    return this.#proving.photograph();
  }

  /** Notes what is not as it was, and goes on from there. */
  async #compare(before: Before, at: string, apart?: RegExp): Promise<void> {
    const photo = await this.#photo();
    const different = differences(before.photo, photo).filter((line) => apart?.test(line) !== true);
    if (different.length > 0) this.#proving.tallies.wrong.push([at, ...different].join('\n  '));
    if (different.length > 0) before.photo = photo;
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
  async #mend({ census }: Before, at: string): Promise<void> {
    const { kernel, tallies: counts } = this.#proving;
    for (let tries = 0; ; tries++) {
      const now = await kernel.census();
      const operations = diff(census.objects, now.objects);
      const [result] = await kernel.apply([{ id: 'mend', operations }]);
      if (result?.ok && now.unknown.length === 0) return;
      // A namespace that others have removed keeps the addresses of ipvlan until the kernel has cleared it away.
      const isGoing = result?.ok === false && result.fault.errno === 'EADDRINUSE' && tries < 100;
      if (!isGoing) {
        counts.wrong.push(`${at}: not mended: ${JSON.stringify([result, now.unknown])}`);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async #now(): Promise<Before> {
    return { photo: await this.#photo(), census: await this.#proving.kernel.census() };
  }

  /** Lets each call fail. @returns the result of the plan when none did */
  async #eachFailure(plan: Plan): Promise<PlanResult> {
    const { tallies: counts } = this.#proving;
    const before = await this.#now();
    for (let call = 1; call < callsMax; call++) {
      const { result, calls } = await this.#apply(plan, call);
      if (calls < call) return result;
      const at = `call ${call} of ${namesOf(plan)}${result.ok ? '' : `: ${result.fault.step}: ${result.fault.text}`}`;
      counts.failures += 1;
      if (result.ok) {
        counts.borne += 1;
        await this.#mend(before, at);
      } else if (result.fault.undoFaults.length > 0)
        counts.wrong.push(`${at}: not undone: ${result.fault.undoFaults.join('; ')}`);
      // What could not be done for a plan that stands is no reason to deny it.
      await this.#compare(before, at, result.ok ? forTheNextStart : undefined);
    }
    return assert.fail(`${plan.id} has more than ${callsMax} calls`);
  }

  /** From a call on all fail, so nothing can be taken back either. */
  async #interruptions(plan: Plan): Promise<void> {
    const { tallies: counts, interruptEvery } = this.#proving;
    const before = await this.#now();
    for (let call = interruptEvery; call < callsMax; call += interruptEvery) {
      const { result, calls } = await this.#apply(plan, call, callsMax * 10);
      const faults = result.ok ? [] : result.fault.undoFaults;
      const at = `${namesOf(plan)}, all calls from ${call} on failing: ${faults.join('; ')}`;
      await this.#mend(before, at);
      if (calls < call) return;
      counts.interrupted += 1;
      if (faults.length > 0) counts.mended += 1;
      await this.#compare(before, at, forTheNextStart);
    }
  }

  /** Something of others in the place of each thing that is made. */
  async #rivals(plan: Plan): Promise<void> {
    const { tallies: counts } = this.#proving;
    const before = await this.#now();
    const there = new Set(before.census.objects.map(objectKey));
    for (const object of madeBy(plan)) {
      const rival = there.has(objectKey(object)) ? null : rivalOf(object);
      if (rival === null) continue;
      rival.put();
      const { result } = await this.#apply(plan, 0);
      const at = `${namesOf(plan)} with ${rival.name} of others: ${JSON.stringify(result)}`;
      const says = result.ok ? '' : `${result.fault.step} ${result.fault.text}`;
      if (result.ok || result.fault.code !== 'FOREIGN_OBJECT' || !says.includes(rival.name)) counts.wrong.push(at);
      if (!rival.isThere()) counts.wrong.push(`${at}: touched`);
      if (result.ok) await this.#mend(before, at);
      else if (result.fault.undoFaults.length > 0) counts.wrong.push(at);
      rival.remove();
      counts.foreign += 1;
      await this.#compare(before, at);
    }
  }

  /** What is to be removed is gone already, in part or all of it. */
  async #bereaved(plan: Plan, before: Before, after: Before): Promise<void> {
    const { tallies: counts, subsets: more } = this.#proving;
    const all = plan.operations.flatMap(({ op, object }) =>
      op === 'delete' && object.kind !== 'element' ? [object] : [],
    );
    if (all.length === 0) return;
    for (const some of subsets(all, more)) {
      const at = `${namesOf(plan)} without ${some.map(objectKey).join(', ')}`;
      await this.#mend(before, at);
      for (const object of some) destroy(object);
      const { result } = await this.#apply(plan, 0);
      if (!result.ok) counts.wrong.push(`${at}: ${JSON.stringify(result.fault)}`);
      counts.bereft += 1;
      await this.#compare(after, at);
    }
  }

  async prove(plan: Plan): Promise<PlanResult> {
    if (plan.operations.length === 0) return { ok: true };
    const { tallies: counts } = this.#proving;
    counts.plans += 1;
    await this.#rivals(plan);
    await this.#interruptions(plan);
    const before = await this.#now();
    const result = await this.#eachFailure(plan);
    if (!result.ok) return result;
    const after = await this.#now();
    const doubled = { ...plan, operations: plan.operations.flatMap((operation) => [operation, operation]) };
    for (const again of [plan, doubled]) {
      const { result: repeated } = await this.#apply(again, 0);
      const at = `${namesOf(plan)} again`;
      counts.repeated += 1;
      if (!repeated.ok) counts.wrong.push(`${at}: ${JSON.stringify(repeated.fault)}`);
      await this.#compare(after, at);
    }
    await this.#bereaved(plan, before, after);
    return result;
  }
}

/** A kernel that proves each plan before it carries it out. */
export const proven = (proving: Proving): Kernel => {
  const proofs = new Proofs(proving);
  let turn: Promise<unknown> = Promise.resolve();
  const each = async (plans: readonly Plan[]): Promise<readonly PlanResult[]> => {
    const results: PlanResult[] = [];
    for (const plan of plans) results.push(await proofs.prove(plan));
    return results;
  };
  /** In the order in which they are asked, as by the thread itself. */
  const inTurn = <T>(run: () => Promise<T>): Promise<T> => {
    const done = turn.then(run);
    turn = done.catch(() => undefined);
    return done;
  };
  const { kernel } = proving;
  return {
    ...kernel,
    apply: (plans) => inTurn(() => each(plans)),
    census: () => inTurn(() => kernel.census()),
    setPeers: (tables) => inTurn(() => kernel.setPeers(tables)),
    changePeers: (changes) => inTurn(() => kernel.changePeers(changes)),
    checkPeers: () => inTurn(() => kernel.checkPeers()),
    findPorts: (searches) => inTurn(() => kernel.findPorts(searches)),
    openResolver: (netns, port) => inTurn(() => kernel.openResolver(netns, port)),
  };
};
