/** Applies plans on the set-up thread: each whole or not at all. */
import type { Device, KernelObject, Netns, Resolver, Route, Tag, Veth } from '../objects.ts';
import type { Operation, Plan, PlanResult } from '../port.ts';
import { stepOf } from '../steps.ts';
import { frameOf } from './announce.ts';
import { ensureBridge, removeBridge } from './bridge.ts';
import { createSandbox, isCompact, removeSandbox, type Sandbox } from './burst.ts';
import { ensureDevice, removeDevice } from './device.ts';
import { faultOf, isFailure } from './failure.ts';
import { ensureFile, removeFile } from './files.ts';
import { changeElements, type Firewall } from './firewall.ts';
import { goHome, type Host, requireLink } from './host.ts';
import { withInterference } from './interference.ts';
import { AnswerLost } from './netlink.ts';
import { ensureResolver, removeResolver } from './resolver.ts';
import { ensureRoute, removeRoute } from './route.ts';
import { correctNeighbour, getLinkByIndex } from './rtnetlink.ts';
import { ensureNetns, removeNetns } from './sandbox.ts';
import { ensureStub, removeStub } from './stub.ts';
import { begin, commit, rollback, type Transaction } from './transaction.ts';
import { ensureVeth, removeVeth } from './veth.ts';
import { ensureVlan, removeVlan } from './vlan.ts';
import { ensureVxlan, removeVxlan } from './vxlan.ts';

/** What is being done, for the fault. */
interface Progress {
  step: string;
}

interface Work {
  readonly transaction: Transaction;
  readonly firewall: Firewall;
  /** Those that are still to be changed: all of them together, when the first of the rest would have its turn. */
  readonly elements: Operation[];
  readonly progress: Progress;
}

/** `from` is what the object was, where it is changed. */
const ensure = ({ transaction }: Work, object: KernelObject, from: KernelObject | null): void => {
  const tags: readonly Tag[] = from === null ? [object.tag] : [object.tag, from.tag];
  switch (object.kind) {
    case 'netns':
      ensureNetns(transaction, object, tags);
      return;
    case 'bridge':
      ensureBridge(transaction, object, tags);
      return;
    case 'vxlan':
      ensureVxlan(transaction, object, tags);
      return;
    case 'vlan':
      ensureVlan(transaction, object, tags);
      return;
    case 'stub':
      ensureStub(transaction, object, tags);
      return;
    case 'veth':
      ensureVeth(transaction, object, tags);
      return;
    case 'device':
      ensureDevice(transaction, object, tags);
      return;
    case 'route':
      ensureRoute(transaction, object, from !== null);
      return;
    case 'file':
      ensureFile(transaction, object, tags);
      return;
    case 'resolver':
      ensureResolver(transaction, object);
      return;
    case 'element':
      // Goes with the others of its plan: `runElements`.
      return;
    default:
      object satisfies never;
  }
};

const remove = ({ transaction }: Work, object: KernelObject): void => {
  switch (object.kind) {
    case 'netns':
      removeNetns(transaction, object);
      return;
    case 'bridge':
      removeBridge(transaction, object);
      return;
    case 'vxlan':
      removeVxlan(transaction, object);
      return;
    case 'vlan':
      removeVlan(transaction, object);
      return;
    case 'stub':
      removeStub(transaction, object);
      return;
    case 'veth':
      removeVeth(transaction, object);
      return;
    case 'device':
      removeDevice(transaction, object);
      return;
    case 'route':
      removeRoute(transaction, object);
      return;
    case 'file':
      removeFile(transaction, object);
      return;
    case 'resolver':
      removeResolver(transaction, object);
      return;
    case 'element':
      return;
    default:
      object satisfies never;
  }
};

const carefully = (work: Work, operation: Operation): void => {
  work.progress.step = stepOf(operation.op, operation.object);
  if (operation.op === 'delete') remove(work, operation.object);
  else ensure(work, operation.object, operation.op === 'update' ? operation.from : null);
};

interface Sorted {
  readonly sandboxes: readonly {
    readonly sandbox: Sandbox;
    readonly operations: readonly Operation[];
  }[];
  readonly rest: readonly Operation[];
}

/** Where an object is, when it is inside a namespace. */
const namespaceOf = (object: KernelObject): string | null =>
  object.kind === 'netns' ? object.path : 'netns' in object ? object.netns : null;

/** A sandbox while it is put together. */
interface Whole {
  readonly netns: Netns;
  readonly veths: Veth[];
  readonly devices: Device[];
  readonly routes: Route[];
  resolver: Resolver | null;
  readonly operations: Operation[];
}

/** Sorts a run of creations, or of deletions: whole sandboxes, and the rest. */
const sort = (operations: readonly Operation[]): Sorted => {
  const whole = new Map<string, Whole>();
  for (const operation of operations) {
    const { object } = operation;
    if (object.kind === 'netns' && object.owned) {
      whole.set(object.path, { netns: object, veths: [], devices: [], routes: [], resolver: null, operations: [] });
    }
  }
  const rest: Operation[] = [];
  for (const operation of operations) {
    const { object } = operation;
    const group = whole.get(namespaceOf(object) ?? '');
    if (group) {
      group.operations.push(operation);
      if (object.kind === 'veth') group.veths.push(object);
      if (object.kind === 'device') group.devices.push(object);
      if (object.kind === 'route') group.routes.push(object);
      if (object.kind === 'resolver') group.resolver = object;
    } else rest.push(operation);
  }
  const sandboxes = [...whole.values()].map(({ operations: own, ...sandbox }) => ({ sandbox, operations: own }));
  return { sandboxes, rest };
};

/** One nf_tables transaction for all elements of the plan. */
const runElements = ({ transaction, firewall, elements, progress }: Work): void => {
  changeElements(transaction, firewall, elements.splice(0), (step) => {
    progress.step = step;
  });
};

const isInside = ({ object }: Operation): boolean => 'netns' in object;

const createRun = (work: Work, operations: readonly Operation[]): void => {
  const { sandboxes, rest } = sort(operations);
  for (const operation of rest) if (!isInside(operation)) carefully(work, operation);
  runElements(work);
  for (const { sandbox, operations: own } of sandboxes) {
    work.progress.step = stepOf('create', sandbox.netns);
    if (isCompact(sandbox) && createSandbox(work.transaction, sandbox)) continue;
    for (const operation of own) carefully(work, operation);
  }
  for (const operation of rest) if (isInside(operation)) carefully(work, operation);
};

const deleteRun = (work: Work, operations: readonly Operation[]): void => {
  const { sandboxes, rest } = sort(operations);
  for (const operation of rest) if (isInside(operation)) carefully(work, operation);
  for (const { sandbox, operations: own } of sandboxes) {
    work.progress.step = stepOf('delete', sandbox.netns);
    if (removeSandbox(work.transaction, sandbox)) continue;
    for (const operation of own) carefully(work, operation);
  }
  runElements(work);
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

/** What became of a plan; its transaction is not committed yet. */
interface Outcome {
  readonly transaction: Transaction;
  readonly result: PlanResult;
}

const failed = (transaction: Transaction, error: unknown, step: string): Outcome => {
  const undoFaults = rollback(transaction);
  return { transaction, result: { ok: false, fault: faultOf(error, step, undoFaults) } };
};

const isElement = ({ object }: Operation): boolean => object.kind === 'element';

const applyPlan = (host: Host, firewall: Firewall, { id, operations, needs = [] }: Plan): Outcome => {
  const transaction = begin(host);
  const work: Work = { transaction, firewall, elements: operations.filter(isElement), progress: { step: id } };
  try {
    for (const name of needs) {
      work.progress.step = `look for interface ${name}`;
      requireLink(host.route, host.writer, name);
    }
    for (const run of runsOf(operations.filter((operation) => !isElement(operation)))) {
      if (run[0]?.op === 'create') createRun(work, run);
      else if (run[0]?.op === 'delete') deleteRun(work, run);
      else for (const operation of run) carefully(work, operation);
    }
    runElements(work);
  } catch (error) {
    return failed(transaction, withInterference(transaction, error), work.progress.step);
  }
  return { transaction, result: { ok: true } };
};

/** The flows of all the plans at once. Where they cannot be seen to, nothing of these plans may stand: they are taken back. */
const settleFlows = ({ flows }: Firewall, outcomes: readonly Outcome[]): readonly Outcome[] => {
  try {
    flows.settle();
    return outcomes;
  } catch (error) {
    if (!isFailure(error)) throw error;
    const undone = (outcome: Outcome): Outcome =>
      outcome.result.ok ? failed(outcome.transaction, error, 'delete stale flows') : outcome;
    return outcomes.toReversed().map(undone).reverse();
  }
};

/** Sends what is in the writer to the host's namespace; the answers are of no use. */
const ask = (host: Host): void => {
  try {
    host.route.request(host.writer);
  } catch (error) {
    if (!(error instanceof AnswerLost)) throw error;
  }
};

/** A look at each new host end, and at its bridge, makes the kernel finish bringing it up: else the first packet may wait a second. */
const synchronise = (host: Host): void => {
  const fresh = [...host.fresh];
  host.fresh.clear();
  for (let at = 0; at < fresh.length; at += 256) {
    host.writer.reset();
    for (const index of fresh.slice(at, at + 256)) getLinkByIndex(host.writer, index);
    // Some of them may be gone again, by an undoing.
    ask(host);
  }
};

/** Tells neighbours, and the host itself, of addresses that they may know at another place. */
export const announce = (host: Host): void => {
  for (const announcement of host.announcements.splice(0)) {
    const bridge = host.bridges.get(announcement.bridge);
    const stale = host.announcer.stale(announcement);
    if (bridge === undefined || stale.length === 0) continue;
    host.writer.reset();
    for (const address of stale) correctNeighbour(host.writer, bridge, address, announcement.mac);
    // Refused where the host knows nothing of the address.
    ask(host);
    goHome(host);
    for (const address of stale) host.announcer.send(bridge, frameOf(announcement.mac, address));
  }
};

/** Applies plans in order. The thread is at home again afterwards, so that it keeps no sandbox alive. */
export const applyPlans = (host: Host, firewall: Firewall, plans: readonly Plan[]): readonly PlanResult[] => {
  try {
    firewall.ports.forget();
    const outcomes = settleFlows(
      firewall,
      plans.map((plan) => applyPlan(host, firewall, plan)),
    );
    for (const { transaction, result } of outcomes) if (result.ok) commit(transaction);
    synchronise(host);
    announce(host);
    return outcomes.map(({ result }) => result);
  } finally {
    goHome(host);
  }
};
