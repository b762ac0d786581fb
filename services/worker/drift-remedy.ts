/** What is done about what a look has found: told of, left or repaired, and looked at again where that is not the end of it. */
import type { Logger } from 'pino';
import type { KernelObject } from '../../drivers/objects.ts';
import { inOrder } from '../../drivers/plan.ts';
import type { Census, Kernel, Operation, Plan, PlanResult } from '../../drivers/port.ts';
import type { Timers } from '../lib/timers.ts';
import { repairPlans } from './census.ts';
import { type Finding, findingsOf, objectsOf, standing } from './drift-finding.ts';
import { adapted, isNews, judged } from './drift-judgement.ts';
import type { DriftReports } from './drift-reports.ts';
import { everything, type Scope, scopeAround, thingOf } from './drift-scope.ts';
import type { Scene } from './inmates.ts';

export interface DriftRemedyOptions {
  readonly scene: () => Scene;
  readonly kernel: Pick<Kernel, 'listeners'>;
  readonly logger: Logger;
  readonly reports: DriftReports;
  readonly timers: Timers;
  readonly mend: (plans: readonly Plan[]) => Promise<readonly PlanResult[]>;
  readonly release: (operations: readonly Operation[]) => Promise<void>;
  /** Looks at networks and sandboxes soon. */
  readonly suspect: (scope: Partial<Scope>) => void;
  readonly isClosed: () => boolean;
}

/** What was looked at, and found. */
export interface Looked {
  /** What was wanted before the look, by key. */
  readonly before: ReadonlyMap<string, KernelObject>;
  /** Of these what was looked for. */
  readonly keys: ReadonlySet<string>;
  readonly census: Census;
  /** What is wanted after it. */
  readonly now: () => ReadonlyMap<string, KernelObject>;
  /** Ours, and not wanted before. */
  readonly strays?: readonly KernelObject[];
  readonly by: 'census' | 'notification';
}

/** Until what could not be repaired is looked at again. */
const retryMs = 2_000;

export class DriftRemedy {
  readonly #options: DriftRemedyOptions;
  /** Keys of findings whose next repair is put off. */
  readonly #pausing = new Set<string>();
  #settings: Readonly<Record<string, string>> | null = null;

  constructor(options: DriftRemedyOptions) {
    this.#options = options;
  }

  get #scene(): Scene {
    return this.#options.scene();
  }

  /** Judges what a look has found, and acts on it. Nothing of ours may be under way meanwhile. */
  async treat({ before, keys, census, now, strays = [], by }: Looked): Promise<void> {
    const judge = () => judged({ before, keys, census, now: now(), strays, scene: this.#scene });
    this.#noteSettings(census, by);
    let result = judge();
    if (result.operations.some(({ op, object }) => object.kind === 'netns' && op !== 'update')) {
      await this.#options.release(result.operations);
      result = judge();
    }
    if (this.#options.isClosed()) return;
    const found = findingsOf(this.#scene.state, result.operations, census);
    const over = this.#options.reports.right(result.settled, found).flatMap((key) => before.get(key) ?? []);
    this.#scene.present.apply(over.map((object) => ({ op: 'create', object }) as const));
    await this.#act(found, result.operations, census, by);
  }

  async #act(
    found: readonly Finding[],
    all: readonly Operation[],
    census: Census,
    by: 'census' | 'notification',
  ): Promise<void> {
    const { present } = this.#scene;
    const reports = this.#options.reports;
    const left: Operation[] = [];
    const told: Finding[] = [];
    // What belongs to nothing any more goes, and nothing is to be told of it.
    const operations: Operation[] = all.filter(({ object }) => thingOf(this.#scene.state, object.tag) === null);
    for (const finding of found) {
      const isDrift = reports.isOpen(finding.key) || finding.operations.some((each) => isNews(each, present, census));
      if (!isDrift) operations.push(...finding.operations);
      else if (finding.policy === 'report') {
        left.push(...finding.operations);
        reports.left(finding, by);
        present.see(finding.operations);
      } else if (reports.mayRepair(finding)) {
        told.push(finding);
        operations.push(...finding.operations);
      } else this.#suspectLater(finding);
    }
    for (const finding of told) if (!adapted(finding, census)) reports.detected(finding, by);
    const plans = repairPlans(inOrder(standing(operations, left)));
    if (plans.length === 0) return;
    this.#options.logger.warn({ plans: plans.map(({ id }) => id), by }, 'somebody has changed what is ours, repairing');
    const results = await this.#options.mend(plans);
    if (this.#options.isClosed()) return;
    for (const finding of told) {
      if (adapted(finding, census)) continue;
      const others = reports.isContested(finding) ? await this.#options.kernel.listeners() : [];
      reports.repaired(finding, plans, results, others);
    }
    this.#afterRepair(found, plans, results);
  }

  /** When its repair is due; however often it is found until then. */
  #suspectLater({ key, operations }: Finding): void {
    if (this.#pausing.has(key)) return;
    this.#pausing.add(key);
    this.#options.timers.after(this.#options.reports.waitMs({ key }), () => {
      this.#pausing.delete(key);
      this.#options.suspect(scopeAround(objectsOf(operations), this.#scene.state));
    });
  }

  /** What stood on a network that had to be made again is looked at; so is what could not be repaired, later. */
  #afterRepair(found: readonly Finding[], plans: readonly Plan[], results: readonly PlanResult[]): void {
    const { state } = this.#scene;
    for (const { operations, of } of found) {
      if (!operations.some(({ op, object }) => op === 'create' && object.kind === 'bridge')) continue;
      const ids = [...state.endpoints.values()].flatMap(({ facts, sandbox }) =>
        facts.networkId === of.networkId && sandbox ? [sandbox.incarnation] : [],
      );
      this.#options.suspect({ sandboxes: new Set(ids) });
    }
    const failed = plans.filter((_, at) => results[at]?.ok !== true).flatMap(({ operations }) => operations);
    if (failed.length === 0) return;
    const scope = scopeAround(objectsOf(failed), state);
    this.#options.timers.after(retryMs, () => this.#options.suspect(scope));
  }

  /** What of the host matters to all: what it was when it was first seen, is how it is to be told of. */
  #noteSettings({ settings = {} }: Census, by: 'census' | 'notification'): void {
    const before = this.#settings;
    const isTable = (key: string): boolean => key.startsWith('table ');
    this.#settings = { ...before, ...Object.fromEntries(Object.entries(settings).filter(([key]) => !isTable(key))) };
    const changes = Object.entries(settings).flatMap(([object, after]) => {
      if (isTable(object)) return [{ object, before: 'as made', after }];
      const was = before?.[object];
      return was === undefined || was === after ? [] : [{ object, before: was, after }];
    });
    if (changes.length === 0) return;
    this.#options.reports.host(changes, by);
    // Ports of bridges depend on it.
    if (changes.some(({ object }) => !isTable(object))) this.#options.suspect(everything(this.#scene.state));
  }
}
