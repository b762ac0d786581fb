/** Every driver, on Linux. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import { tableName } from '../../drivers/kernel/ruleset.ts';
import { driverSuite } from '../contract/driver.suite.ts';
import { clearKernel } from '../support/linux-lab.ts';
import { hasKind, inOwnNamespaces, ipLinks, sh } from '../support/netns.ts';
import { host, realm } from '../support/system.ts';

const table = tableName(realm, host);

/** Elements in our table, as nft lists them. */
const elements = (): readonly string[] => {
  const listed = JSON.parse(sh(`nft -j list table inet ${table}`)) as {
    nftables: { set?: { name: string; elem?: unknown[] } }[];
  };
  return listed.nftables.flatMap(({ set }) =>
    (set?.elem ?? []).map((element) => `${set?.name} ${JSON.stringify(element)}`),
  );
};

const filesIn = (path: string): readonly string[] => {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
};

if (inOwnNamespaces(import.meta.filename)) {
  const open = async () => {
    const runDir = mkdtempSync('/run/cnm-test-');
    const kernel = await linuxKernel({ realm, host, runDir });
    /** Links of somebody else, who takes none of them back when a test ends in the middle. */
    const foreign = new Set<string>();
    const removeLink = (name: string): void => {
      sh(`ip link del ${name}h 2>/dev/null || true`);
      foreign.delete(name);
    };
    return {
      kernel,
      runDir,
      machine: {
        addLink: (name: string) => {
          foreign.add(name);
          sh(`ip link show ${name}h >/dev/null 2>&1 || ip link add ${name} type veth peer name ${name}h`);
        },
        removeLink,
      },
      traces: async () => [
        ...ipLinks().flatMap(({ ifname }) => (ifname === 'lo' ? [] : [ifname])),
        ...filesIn(join(runDir, 'netns')),
        ...filesIn(join(runDir, '.records')),
        ...elements(),
      ],
      close: async () => {
        await clearKernel(kernel);
        for (const name of foreign) removeLink(name);
        sh(`nft delete table inet ${table} 2>/dev/null || true; umount ${runDir}`);
        rmSync(runDir, { recursive: true });
      },
    };
  };
  driverSuite(
    'Linux',
    open,
    ['macvlan', 'ipvlan'].filter((kind) => !hasKind(kind)),
  );
}
