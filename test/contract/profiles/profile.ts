/** What the conformance suite has to know about a driver. */
import type { KernelObject } from '../../../drivers/objects.ts';

/** hosts, resolv.conf and hostname of a sandbox. */
export const sandboxFiles = ['file', 'file', 'file'] as const;

export interface Profile {
  readonly driver: string;
  /** Kinds of the objects of a network, and of an endpoint in a sandbox. */
  readonly network: readonly KernelObject['kind'][];
  readonly join: readonly KernelObject['kind'][];
  readonly interface: string | null;
  readonly hasAddresses: boolean;
  readonly hasNamespace: boolean;
  /** What it is configured with. */
  readonly options: Readonly<Record<string, string>>;
  /** What not every kernel has: where it is missing, there is only the refusal to test. */
  readonly capability?: string;
}
