/** What a process is called. */
import { readFileSync } from 'node:fs';

/** The name of its command; empty where it has ended, or where there never was one of this number. */
export const commandOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
};
