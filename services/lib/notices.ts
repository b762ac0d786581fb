/** The last warning or error of each service of this process, and how many there were: what `cnm status` shows and metrics count. */
import { type Logger, levels } from 'pino';
import { systemClock } from './clock.ts';
import type { Notice } from './health.ts';

const describe = (args: readonly unknown[]): string => {
  const [first, second] = args;
  if (typeof first === 'string') return first;
  const said = typeof second === 'string' ? second : '';
  const error = first instanceof Error ? first : (first as { readonly err?: unknown } | null)?.err;
  const why = error instanceof Error ? error.message : '';
  return [said, why].filter((part) => part !== '').join(': ');
};

export class Notices {
  readonly #last = new Map<string, Notice>();
  readonly #counts = new Map<string, number>();

  /** @param service undefined: of the process itself */
  note(service: unknown, number: number, args: readonly unknown[]): void {
    const level = levels.labels[number] ?? String(number);
    const key = typeof service === 'string' ? service : '';
    this.#last.set(key, { at: new Date(systemClock.nowMs()).toISOString(), level, says: describe(args) });
    this.#counts.set(`${key}\n${level}`, (this.#counts.get(`${key}\n${level}`) ?? 0) + 1);
  }

  last(service: string): Notice | null {
    return this.#last.get(service) ?? null;
  }

  /** By level. */
  counts(service: string): readonly (readonly [level: string, count: number])[] {
    return ['warn', 'error', 'fatal'].map((level) => [level, this.#counts.get(`${service}\n${level}`) ?? 0]);
  }
}

const kept = Symbol('notices');
type Keeping = Logger & { readonly [kept]?: Notices };

/** Children of a logger have it as their prototype, and so its notices. */
export const keepNotices = (logger: Logger, notices: Notices): Logger => Object.assign(logger, { [kept]: notices });

/** Null for loggers that others have made. */
export const noticesOf = (logger: Logger): Notices | null => (logger as Keeping)[kept] ?? null;
