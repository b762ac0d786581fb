/** Settings under /proc/sys/net, which shows those of the namespace where the thread stands. */
import { fileFailure, KernelFailure, settingFailure } from './failure.ts';
import { readdirSync, readFileSync, writeFileSync } from './file-system.ts';

const root = '/proc/sys/net';

/** The interface's name in the key of a setting. */
const placeholder = 'IFNAME';

/** What a setting says; null where there is none. */
export const readSetting = (path: string): string | null => {
  try {
    return readFileSync(`${root}/${path}`, 'utf8').trim();
  } catch (error) {
    const failure = fileFailure(error, path);
    if (failure.errno === 'ENOENT') return null;
    throw failure;
  }
};

/**
 * @param failureOf what an error comes to, by the name of the setting and its value
 * @throws KernelFailure with the kernel's words
 */
export const writeSetting = (path: string, value: string, failureOf = fileFailure): void => {
  try {
    writeFileSync(`${root}/${path}`, value);
  } catch (error) {
    throw failureOf(error, `net.${path.replaceAll('/', '.')} = ${value}`);
  }
};

/** Names of the interfaces that have settings for IPv6. */
export const ipv6Interfaces = (): readonly string[] => {
  try {
    return readdirSync(`${root}/ipv6/conf`).filter((name) => name !== 'all' && name !== 'default');
  } catch (error) {
    throw fileFailure(error, 'net.ipv6.conf');
  }
};

/** `ipv4/conf/eth0/arp_notify` for `net.ipv4.conf.IFNAME.arp_notify`. The name of an interface may have dots of its own. */
const pathOf = (key: string, device: string): string => {
  const [first, ...parts] = key.split('.');
  if (first !== 'net' || !parts.includes(placeholder) || !parts.every((part) => /^[A-Za-z0-9_-]+$/.test(part))) {
    throw new KernelFailure(
      'SYSCTL_INVALID',
      `${key} is no setting of an interface: net.ipv4.conf.IFNAME.KEY`,
      'EINVAL',
    );
  }
  return parts.map((part) => (part === placeholder ? device : part)).join('/');
};

/** What an interface is born with. */
export interface Birth {
  readonly sysctls: Readonly<Record<string, string>>;
}

export const hasSettings = ({ sysctls }: Birth): boolean => Object.keys(sysctls).length > 0;

/** Gives an interface the settings that it is born with. The thread stands in its namespace, and it is not up yet. @throws SYSCTL_INVALID */
export const writeBirth = (device: string, { sysctls }: Birth): void => {
  for (const [key, value] of Object.entries(sysctls)) writeSetting(pathOf(key, device), value, settingFailure);
};
