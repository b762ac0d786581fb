/** Applies plans on the set-up thread: each whole or not at all. */
import type { Element, KernelObject, Netns, Route, Tag, Veth } from '../objects.ts';
import type { Operation, Plan, PlanResult } from '../port.ts';
import { ensureBridge, removeBridge } from './bridge.ts';
import { createSandbox, isCompact, removeSandbox, type Sandbox } from './burst.ts';
import { faultOf, stepOf } from './failure.ts';
import { goHome, type Host } from './host.ts';
import { AnswerLost } from './netlink.ts';
import { ensureRoute, removeRoute } from './route.ts';
import { getLinkByIndex } from './rtnetlink.ts';
import { ensureNetns, removeNetns } from './sandbox.ts';
import type { ElementChange, Table } from './table.ts';
import { begin, commit, rollback, type Transaction } from './transaction.ts';
import { ensureVeth, removeVeth } from './veth.ts';

/** What is being done, for the fault. */
interface Progress {
  step: string;
}

interface Work {
  readonly transaction: Transaction;
  readonly table: Table;
  readonly progress: Progress;
}

const ensure = ({ transaction, table }: Work, object: KernelObject, tags: readonly Tag[]): void => {
  switch (object.kind) {
    case 'netns':
      ensureNetns(transaction, object, tags);
      return;
    case 'bridge':
      ensureBridge(transaction, object, tags);
      return;
    case 'veth':
      ensureVeth(transaction, object, tags);
      return;
    case 'route':
      ensureRoute(transaction, object);
      return;
    case 'element':
      changeElements(transaction, table, [{ element: object, wanted: true, tags }]);
      return;
    default:
      object satisfies never;
  }
};

const remove = ({ transaction, table }: Work, object: KernelObject): void => {
  switch (object.kind) {
    case 'netns':
      removeNetns(transaction, object);
      return;
    case 'bridge':
      removeBridge(transaction, object);
      return;
    case 'veth':
      removeVeth(transaction, object);
      return;
    case 'route':
      removeRoute(transaction, object);
      return;
    case 'element':
      changeElements(transaction, table, [{ element: object, wanted: false, tags: [object.tag] }]);
      return;
    default:
      object satisfies never;
  }
};

/** One nf_tables transaction for all of them. */
const changeElements = (transaction: Transaction, table: Table, changes: readonly ElementChange[]): void => {
  const back = table.change(changes);
  transaction.undo.push({ what: 'restore nft elements', run: back });
};

const carefully = (work: Work, operation: Operation): void => {
  work.progress.step = stepOf(operation.op, operation.object);
  if (operation.op === 'delete') remove(work, operation.object);
  else if (operation.op === 'create') ensure(work, operation.object, [operation.object.tag]);
  else ensure(work, operation.object, [operation.object.tag, operation.from.tag]);
};

interface Sorted {
  readonly elements: readonly Operation[];
  readonly sandboxes: readonly { readonly sandbox: Sandbox; readonly operations: readonly Operation[] }[];
  readonly rest: readonly Operation[];
}

/** Where an object is, when it is inside a namespace. */
const namespaceOf = (object: KernelObject): string | null =>
  object.kind === 'netns' ? object.path : object.kind === 'veth' || object.kind === 'route' ? object.netns : null;

/** Sorts a run of creations, or of deletions: whole sandboxes, elements, and the rest. */
const sort = (operations: readonly Operation[]): Sorted => {
  const whole = new Map<string, { netns: Netns; veths: Veth[]; routes: Route[]; operations: Operation[] }>();
  for (const operation of operations) {
    const { object } = operation;
    if (object.kind === 'netns' && object.owned) {
      whole.set(object.path, { netns: object, veths: [], routes: [], operations: [] });
    }
  }
  const elements: Operation[] = [];
  const rest: Operation[] = [];
  for (const operation of operations) {
    const { object } = operation;
    const group = whole.get(namespaceOf(object) ?? '');
    if (group) {
      group.operations.push(operation);
      if (object.kind === 'veth') group.veths.push(object);
      if (object.kind === 'route') group.routes.push(object);
    } else (object.kind === 'element' ? elements : rest).push(operation);
  }
  const sandboxes = [...whole.values()].map(({ operations: own, ...sandbox }) => ({ sandbox, operations: own }));
  return { elements, sandboxes, rest };
};

const changeOf = ({ object, op }: Operation): ElementChange => ({
  element: object as Element,
  wanted: op !== 'delete',
  tags: [object.tag],
});

const runElements = ({ transaction, table, progress }: Work, operations: readonly Operation[]): void => {
  const [first] = operations;
  if (first === undefined) return;
  progress.step = stepOf(first.op, first.object);
  changeElements(transaction, table, operations.map(changeOf));
};

const isInside = (operation: Operation): boolean =>
  operation.object.kind === 'veth' || operation.object.kind === 'route';

const createRun = (work: Work, operations: readonly Operation[]): void => {
  const { elements, sandboxes, rest } = sort(operations);
  for (const operation of rest) if (!isInside(operation)) carefully(work, operation);
  runElements(work, elements);
  for (const { sandbox, operations: own } of sandboxes) {
    work.progress.step = stepOf('create', sandbox.netns);
    if (isCompact(sandbox) && createSandbox(work.transaction, sandbox)) continue;
    for (const operation of own) carefully(work, operation);
  }
  for (const operation of rest) if (isInside(operation)) carefully(work, operation);
};

const deleteRun = (work: Work, operations: readonly Operation[]): void => {
  const { elements, sandboxes, rest } = sort(operations);
  for (const operation of rest) if (isInside(operation)) carefully(work, operation);
  for (const { sandbox, operations: own } of sandboxes) {
    work.progress.step = stepOf('delete', sandbox.netns);
    if (removeSandbox(work.transaction, sandbox)) continue;
    for (const operation of own) carefully(work, operation);
  }
  runElements(work, elements);
  for (const operation of rest) if (!isInside(operation)) carefully(work, operation);
};

/** Operations of one kind that follow each other may be taken together; between kinds the order is kept. */
const runsOf = (operations: readonly Operation[]): readonly Operation[][] => {
  const runs: Operation[][] = [];
  for (const operation of operations) {
    const last = runs.at(-1);
    if (last?.[0]?.op === operation.op) last.push(operation);
    else runs.push([operation]);
  }
  return runs;
};

const applyPlan = (host: Host, table: Table, plan: Plan): PlanResult => {
  const work: Work = { transaction: begin(host), table, progress: { step: plan.id } };
  try {
    for (const run of runsOf(plan.operations)) {
      if (run[0]?.op === 'create') createRun(work, run);
      else if (run[0]?.op === 'delete') deleteRun(work, run);
      else for (const operation of run) carefully(work, operation);
    }
  } catch (error) {
    const { step } = work.progress;
    const undoFaults = rollback(work.transaction);
    return { ok: false, fault: faultOf(error, step, undoFaults) };
  }
  commit(work.transaction);
  return { ok: true };
};

/** A look at each new host end, and at its bridge, makes the kernel finish bringing it up: else the first packet may wait a second. */
const synchronise = (host: Host): void => {
  const fresh = [...host.fresh];
  host.fresh.clear();
  for (let at = 0; at < fresh.length; at += 256) {
    host.writer.reset();
    for (const index of fresh.slice(at, at + 256)) getLinkByIndex(host.writer, index);
    try {
      // Some of them may be gone again, by an undoing.
      host.route.request(host.writer);
    } catch (error) {
      // Its answers are of no use.
      if (!(error instanceof AnswerLost)) throw error;
    }
  }
};

/** Applies plans in order. The thread is at home again afterwards, so that it keeps no sandbox alive. */
export const applyPlans = (host: Host, table: Table, plans: readonly Plan[]): readonly PlanResult[] => {
  try {
    const results = plans.map((plan) => applyPlan(host, table, plan));
    synchronise(host);
    return results;
  } finally {
    goHome(host);
  }
};
