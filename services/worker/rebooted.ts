/** What a worker says of sandboxes that were made in another boot of its host: lost, or there again. */
import { objectKey } from '../../drivers/objects.ts';
import type { KernelFault, Plan } from '../../drivers/port.ts';
import { type Fault, isConstructive, type SandboxFacts } from '../../events/events.ts';
import { bootOf, isAway, isOfBefore } from '../../events/reboots.ts';
import type { BoundaryState, SandboxRow } from '../../events/state.ts';
import { sandboxSettled } from './census.ts';
import type { Scene } from './inmates.ts';
import { pathOf } from './present.ts';
import type { Report } from './reports.ts';
import { openUnits, sandboxOf, type Unit } from './units.ts';

const lostFault = ({ id }: SandboxFacts): Fault => ({
  code: 'SANDBOX_LOST',
  step: 'check',
  errno: '',
  text: `sandbox ${id} was lost when the host was booted`,
  retryable: false,
  undoFaults: [],
});

/** Why a unit that makes something in a sandbox that is lost cannot be executed; null: it is about none. */
export const lostIn = (state: BoundaryState, unit: Unit): Fault | null => {
  if (!unit.intents.some(({ type }) => isConstructive(type))) return null;
  const sandbox = sandboxOf(state, unit);
  const row = state.sandboxes.get(sandbox?.incarnation ?? '');
  return row && isAway(state, row) ? lostFault(row.facts) : null;
};

export class Rebooted {
  readonly #scene: Scene;
  readonly #report: (reports: readonly Report[]) => void;
  /** What was said and is not folded in yet. */
  #said = new Set<string>();

  constructor(scene: Scene, report: (reports: readonly Report[]) => void) {
    this.#scene = scene;
    this.#report = report;
  }

  /** Those that are not to be made again. */
  tellLost(): void {
    const { state } = this.#scene;
    for (const row of state.sandboxes.values()) if (!row.lost && isAway(state, row)) this.#lose(row, 'policy');
  }

  /** A namespace that a caller had made is gone with the boot: what was in it is lost, whatever was asked for. @returns whether it was that */
  couldNot(plan: Plan, fault: KernelFault): boolean {
    if (fault.code !== 'NETNS_UNUSABLE') return false;
    const paths = new Set(plan.operations.map(({ object }) => pathOf(object)));
    const { state } = this.#scene;
    const rows = [...state.sandboxes.values()].filter(
      (row) => paths.has(row.facts.key) && isOfBefore(state, row) && !isAway(state, row),
    );
    for (const row of rows) this.#lose(row, 'namespace');
    return rows.length > 0;
  }

  /** Those that are there again. @returns whether there are others that are to be and are not yet */
  tellRestored(): boolean {
    const { state, present, deployment } = this.#scene;
    const rows = [...state.sandboxes.values()].filter((row) => isOfBefore(state, row) && !isAway(state, row));
    if (rows.length === 0) return false;
    const busy = new Set(openUnits(state).map((unit) => sandboxOf(state, unit)?.incarnation));
    let isMissing = false;
    for (const row of rows) {
      const isThere =
        !busy.has(row.facts.incarnation) &&
        sandboxSettled(state, deployment, row).every(
          (object) => present.get(objectKey(object))?.tag.id === object.tag.id,
        );
      if (isThere) this.#tell(row, { type: 'SandboxRestored', data: this.#dataOf(row) });
      else isMissing = true;
    }
    return isMissing;
  }

  #lose(row: SandboxRow, reason: 'policy' | 'namespace'): void {
    this.#tell(row, { type: 'SandboxLost', data: { ...this.#dataOf(row), reason } });
  }

  #dataOf({ facts: { id, incarnation } }: SandboxRow): Extract<Report['fact'], { type: 'SandboxRestored' }>['data'] {
    return { sandbox: { id, incarnation }, bootId: bootOf(this.#scene.state) ?? '' };
  }

  /** Once, as long as nothing has become of it. */
  #tell({ facts: { incarnation }, boot, lost }: SandboxRow, fact: Report['fact']): void {
    const key = JSON.stringify([incarnation, fact.type, boot, lost]);
    if (this.#said.has(key)) return;
    this.#said.add(key);
    this.#report([{ fact, intent: null }]);
  }
}
