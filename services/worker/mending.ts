/** Repairs what others have changed, between the batches of what was asked for. */
import type { Logger } from 'pino';
import type { Kernel, Plan, PlanResult } from '../../drivers/port.ts';
import type { Naming } from './naming.ts';
import type { Peers } from './peers.ts';
import type { Present } from './present.ts';
import type { Restoring } from './restoring.ts';

/** Networks whose tunnels these plans have made. */
export const madeTunnels = (plans: readonly Plan[]): ReadonlySet<string> =>
  new Set(
    plans
      .flatMap(({ operations }) => operations)
      .flatMap(({ op, object }) => (op !== 'delete' && object.kind === 'vxlan' ? [object.tag.id] : [])),
  );

export interface Mending {
  readonly kernel: Pick<Kernel, 'apply'>;
  readonly logger: Logger;
  readonly present: Present;
  readonly peers: Pick<Peers, 'set'>;
  readonly restoring: Restoring;
  readonly naming: Naming;
  /** Looks at everything again in a while. */
  readonly later: () => void;
}

/**
 * Handed in at once, and as good as done from then on: whatever is planned later is executed behind it. What is lent by plugins is theirs to
 * bring back.
 */
export const mend = async (
  { kernel, logger, present, peers, restoring, naming, later }: Mending,
  plans: readonly Plan[],
): Promise<readonly PlanResult[]> => {
  const possible = plans.map((plan) => ({ ...plan, operations: restoring.possible(plan.operations) }));
  for (const { operations } of possible) present.apply(operations);
  const results = await kernel.apply(possible);
  const done: Plan[] = [];
  for (const [at, plan] of possible.entries()) {
    const result = results[at];
    if (result?.ok) done.push(plan);
    else {
      present.see(plan.operations);
      logger.error({ plan: plan.id, fault: result?.fault }, 'could not be repaired, trying again later');
    }
  }
  await peers.set(madeTunnels(done));
  for (const { what, fault } of await naming.openIn(done.flatMap(({ operations }) => operations))) {
    logger.error({ sandbox: what, fault }, 'names are not answered, trying again later');
    later();
  }
  return results;
};
