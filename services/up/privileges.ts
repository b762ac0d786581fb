/** Whether this process may change the network of the machine, or of the namespace that it lives in. */
import { readFileSync } from 'node:fs';

/** capabilities(7), include/uapi/linux/capability.h */
const capabilities = { CAP_NET_ADMIN: 12, CAP_NET_RAW: 13, CAP_SYS_ADMIN: 21 } as const;
export type Capability = keyof typeof capabilities;

/** Capabilities of this process that are missing among those that a worker needs. */
export const missingCapabilities = (
  status: string = readFileSync('/proc/self/status', 'utf8'),
): readonly Capability[] => {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  return (['CAP_NET_ADMIN', 'CAP_SYS_ADMIN'] as const).filter(
    (name) => (effective & (1n << BigInt(capabilities[name]))) === 0n,
  );
};
