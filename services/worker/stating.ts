/** States what a host is as facts: at the start, when something has changed, and anew under another epoch. */
import type { Kernel, KernelFacts } from '../../drivers/port.ts';
import type { EventData } from '../../events/events.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Report } from './reports.ts';
import { statementOf } from './statement.ts';

export interface StatingOptions {
  readonly kernel: Pick<Kernel, 'facts'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What is stated beside what the kernel says. */
  readonly place: Parameters<typeof statementOf>[0];
  /** What was stated last. */
  readonly known: () => EventData<'HostFacts'> | undefined;
  /** Subnets that lead to networks of ours, whoever carries them. */
  readonly carried: () => ReadonlySet<string>;
  /** Takes a statement; what comes before the first one is dropped. */
  readonly report: (reports: readonly Report[]) => void;
  readonly onFault: (error: unknown) => void;
}

/** How often the host is looked at for what decisions depend on: its routes above all. Design value. */
const factsEveryMs = 30_000;
/**
 * An address that other hosts reach this one by may be gone for a moment, while its network is made anew or comes up after a worker: stated as
 * gone, nothing new could join, and hosts would let go of the keys of encrypted tunnels. It is looked for this often before that. Design values.
 */
const [missedMax, againMs] = [30, 1_000];

export class Stating {
  readonly #options: StatingOptions;
  /** Of our latest statement; 0 before the first. */
  #epoch = 0;
  #isStopped = false;
  /** Statements in a row that were made without finding the address that is stated. */
  #missed = 0;
  #cancel: () => void = () => undefined;

  constructor(options: StatingOptions) {
    this.#options = options;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** The first statement: no two workers of a host state the same epoch, since the statement before is what guards this one. */
  first(found: KernelFacts): Report {
    this.#epoch = (this.#options.known()?.epoch ?? 0) + 1;
    return this.#statement(found);
  }

  /** Facts go on the log again when they have changed, so that no subnet is chosen over a route that has come since. */
  watch(): void {
    const { clock, kernel, known, report } = this.#options;
    const look = async (): Promise<void> => {
      const found = await kernel.facts();
      if (this.#isStopped) return;
      const statement = this.#statement(found);
      if (JSON.stringify(statement.fact.data) !== JSON.stringify(known())) report([statement]);
      this.watch();
    };
    this.#cancel();
    this.#cancel = clock.after(this.#missed > 0 ? againMs : factsEveryMs, () => this.#carefully(look));
  }

  /** At once: whatever waits for it shall not wait for the next look. */
  restate(): void {
    const { kernel, report } = this.#options;
    if (this.#isStopped) return;
    this.#carefully(async () => {
      const statement = this.#statement(await kernel.facts());
      if (!this.#isStopped) report([statement]);
    });
  }

  /** We were taken for dead, and are not: a new epoch says so. Who is fenced cannot state one. */
  returned(epoch: number): void {
    if (this.#epoch === epoch) this.renew('this host was found to be away, and is not');
  }

  renew(why: string): void {
    this.#epoch += 1;
    this.#options.logger.warn({ epoch: this.#epoch }, why);
    this.restate();
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel();
  }

  #carefully(work: () => Promise<void>): void {
    work().catch((error) => {
      if (!this.#isStopped) this.#options.onFault(error);
    });
  }

  #statement(found: KernelFacts): Report {
    const { known, place, carried, logger } = this.#options;
    const before = known()?.underlay ?? null;
    this.#missed = found.underlay === null && before !== null ? this.#missed + 1 : 0;
    if (this.#missed === 1)
      logger.warn(
        { address: before?.address, asked: found.underlayAsked },
        'not there, where other hosts reach this one',
      );
    const underlay = this.#missed > 0 && this.#missed <= missedMax ? before : found.underlay;
    const data = statementOf(place, { ...found, underlay }, this.#epoch, carried());
    return { fact: { type: 'HostFacts', data }, intent: null };
  }
}
