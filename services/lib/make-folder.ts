/** Folders that are to be there. */
import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

/**
 * Makes a folder and those that it is in, as far as they are missing. Node's own way of doing so never ends where the system says that there is
 * no such folder, although the one it would be in is there, such as below /proc.
 *
 * @param mode of each folder that is made
 * @throws what the file system says
 */
export const makeFolder = (path: string, mode = 0o777): void => {
  const missing: string[] = [];
  for (let one = resolve(path); !isFolder(one); one = dirname(one)) missing.push(one);
  for (const one of missing.reverse()) {
    try {
      mkdirSync(one, { mode });
    } catch (error) {
      // Somebody else may have been quicker.
      if (!isFolder(one)) throw error;
    }
  }
};
