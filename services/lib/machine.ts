/** What the machine says of itself and of whoever runs us. */
import { readFileSync } from 'node:fs';
import { homedir, hostname, userInfo } from 'node:os';

/** What the machine says where the environment says nothing. */
export interface Machine {
  readonly uid: number;
  readonly user: string;
  readonly home: string;
  readonly hostname: string;
  /** Stays the same over reboots (machine-id(5)); empty where there is none. */
  readonly id: string;
}

const userName = (): string => {
  try {
    return userInfo().username;
  } catch {
    // a container may run under an id that no user has
    return `uid-${process.getuid?.() ?? 0}`;
  }
};

const machineId = (): string => {
  try {
    return readFileSync('/etc/machine-id', 'utf8').trim();
  } catch {
    return '';
  }
};

export const thisMachine = (): Machine => ({
  uid: process.getuid?.() ?? 0,
  user: userName(),
  home: homedir(),
  hostname: hostname(),
  id: machineId(),
});
