/** Every driver, on Linux. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import { tableName } from '../../drivers/kernel/ruleset.ts';
import { diff } from '../../drivers/plan.ts';
import { driverSuite } from '../contract/driver.suite.ts';
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
    return {
      kernel,
      runDir,
      machine: {
        addLink: (name: string) =>
          sh(`ip link show ${name}h >/dev/null 2>&1 || ip link add ${name} type veth peer name ${name}h`),
        removeLink: (name: string) => sh(`ip link del ${name}h 2>/dev/null || true`),
      },
      traces: async () => [
        ...ipLinks().flatMap(({ ifname }) => (ifname === 'lo' ? [] : [ifname])),
        ...filesIn(join(runDir, 'netns')),
        ...filesIn(join(runDir, '.records')),
        ...elements(),
      ],
      close: async () => {
        const { objects } = await kernel.census();
        await kernel.apply([{ id: 'clean', operations: diff([], objects) }]);
        await kernel.settled();
        await kernel.close();
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
