/** What `cnm doctor` finds, one line each. */
export interface Check {
  readonly name: string;
  /** `info` is neither good nor bad. */
  readonly result: 'ok' | 'bad' | 'info';
  readonly says: string;
  /** What to do; empty when there is nothing to do. */
  readonly remedy: string;
}

export const ok = (name: string, says: string): Check => ({ name, result: 'ok', says, remedy: '' });
export const info = (name: string, says: string, remedy = ''): Check => ({ name, result: 'info', says, remedy });
export const bad = (name: string, says: string, remedy: string): Check => ({ name, result: 'bad', says, remedy });
